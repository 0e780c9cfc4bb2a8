"""Ethanol at 300 K with four beads in i-PI, all beads in one graph."""

from __future__ import annotations

import ase.io
from ipi.scripting import InteractiveSimulation, simulation_xml

from pyg_mpnn.data import ethanol, to_atoms
from pyg_mpnn.engines import ipi_forcefield

atoms = to_atoms(ethanol("test")[0])
ase.io.write("start.xyz", atoms)  # the elements, and which directions are periodic
atoms.cell = [20, 20, 20]  # i-PI always has a cell
nvt = """<motion mode='dynamics'><dynamics mode='nvt'><timestep units='femtosecond'> 0.5 </timestep>
<thermostat mode='pile_l'><tau units='femtosecond'> 100 </tau></thermostat></dynamics></motion>"""
simulation = InteractiveSimulation(
    simulation_xml(
        [atoms] * 4, ipi_forcefield("best.ckpt", "start.xyz", beads=4), nvt, temperature=300, prefix="ethanol"
    )
)
simulation.run(10)
print("conserved quantity:", simulation.properties("conserved"), "eV")
