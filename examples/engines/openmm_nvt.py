"""Ethanol at 300 K in OpenMM."""

from __future__ import annotations

import openmm
from openmm import app, unit

from pyg_mpnn.data import ethanol
from pyg_mpnn.engines import openmm_simulation

frame = ethanol("test")[0]
topology = app.Topology()
residue = topology.addResidue("ETH", topology.addChain())
for z in frame.z.tolist():
    topology.addAtom(str(z), app.Element.getByAtomicNumber(z), residue)

integrator = openmm.LangevinMiddleIntegrator(300 * unit.kelvin, 1 / unit.picosecond, 0.5 * unit.femtosecond)
simulation = openmm_simulation("best.ckpt", topology, frame.pos.numpy() * unit.angstrom, integrator)
simulation.reporters.append(app.StateDataReporter("log.csv", 5, step=True, potentialEnergy=True, temperature=True))
simulation.step(20)
