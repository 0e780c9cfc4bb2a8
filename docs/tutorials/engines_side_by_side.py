r"""
One file in ASE, OpenMM, LAMMPS, i-PI, TorchSim, metatomic
==========================================================

A trained file gives the same energy and forces wherever it runs. This page drives it in every engine that is installed
where the page is built: ASE always, the others where their packages are (``make test-engines`` makes an environment
with all five). What each can and cannot do: :doc:`/engines`.
"""

# %%
# A file
# ------

import contextlib
import io
import json
import os
import tempfile
from importlib.util import find_spec
from pathlib import Path

import ase.io
import matplotlib.pyplot as plt
import numpy as np
import torch
from ase import Atoms, units
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.md.verlet import VelocityVerlet

from pyg_mpnn import PotentialCalculator
from pyg_mpnn.data import ethanol, to_atoms
from pyg_mpnn.training import TrainingSettings, train

here = Path.cwd()
folder = Path(tempfile.mkdtemp())
model = folder / "best.ckpt"
settings = TrainingSettings(
    data="ethanol", out=f"{folder}/run", size="small", cutoff=4, epochs=4, batch_size=4, compile="off"
)
with contextlib.redirect_stdout(io.StringIO()):
    train(settings, frames=ethanol("train")[:200])
(folder / "run/best.ckpt").rename(model)
frame = to_atoms(ethanol("test")[0])
atoms = Atoms(frame.numbers, frame.positions)

# %%
# ASE
# ---
#
# 100 steps at constant energy, in double precision, which is what engines take too.

calculator = PotentialCalculator(model, dtype=torch.float64)
atoms.calc = calculator
energy, forces = atoms.get_potential_energy(), atoms.get_forces()
print(f"{energy:.6f} eV, largest force {abs(forces).max():.3f} eV/Å")

moving = atoms.copy()
moving.calc = calculator
MaxwellBoltzmannDistribution(moving, temperature_K=300, rng=np.random.default_rng(0))
dynamics = VelocityVerlet(moving, 0.25 * units.fs)
kept: list[tuple[float, float]] = []
dynamics.attach(lambda: kept.append((moving.get_potential_energy(), moving.get_total_energy())))
dynamics.run(100)
potential, total = 1000 * (np.array(kept) - kept[0]).T / len(atoms)
figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
time = 0.25 * np.arange(len(kept))
axes.plot(time, potential, label="potential energy")
axes.plot(time, total, label="total energy")
axes.set(xlabel="time (fs)", ylabel="change (meV/atom)")
axes.legend()
plt.show()
assert np.ptp(total) < 0.05 * np.ptp(potential)


# %%
# The others
# ----------
#
# Each function returns energy and forces of the same molecule in eV and eV/Å. LAMMPS moves in a box; its walls are far
# away. OpenMM keeps energies in kJ/mol, and its last digits of the constants differ.


def in_openmm() -> tuple[float, np.ndarray]:
    import openmm
    from openmm import app, unit

    from pyg_mpnn.engines import openmm_simulation

    topology = app.Topology()
    residue = topology.addResidue("ETH", topology.addChain())
    for symbol in atoms.symbols:
        topology.addAtom(symbol, app.Element.getBySymbol(symbol), residue)
    integrator = openmm.VerletIntegrator(0.25 * unit.femtosecond)
    state = openmm_simulation(model, topology, atoms.positions * unit.angstrom, integrator).context.getState(
        energy=True, forces=True
    )
    ev = unit.elementary_charge * unit.volt * unit.AVOGADRO_CONSTANT_NA
    return state.getPotentialEnergy() / ev, state.getForces(asNumpy=True) / (ev / unit.angstrom)


def in_lammps() -> tuple[float, np.ndarray]:
    from pyg_mpnn.engines import Lammps

    boxed = atoms.copy()
    boxed.center(vacuum=8)
    symbols = sorted(set(atoms.symbols))
    data = folder / "box.data"
    ase.io.write(data, boxed, format="lammps-data", specorder=symbols, masses=True, units="metal")
    engine = Lammps(["-screen", "none", "-log", "none"])
    engine.commands_string(f"""
        units metal
        atom_style atomic
        atom_modify map yes sort 0 0
        boundary f f f
        read_data {data}
        pair_style pyg_mpnn
        pair_coeff * * {model} {" ".join(symbols)}
        fix atoms all nve
        run 0
    """)
    return engine.get_thermo("pe"), np.array(engine.gather_atoms("f", 1, 3)).reshape(-1, 3)


def in_ipi() -> tuple[float, np.ndarray]:
    from ipi.scripting import InteractiveSimulation, simulation_xml
    from ipi.utils.units import unit_to_internal

    from pyg_mpnn.engines import ipi_forcefield

    ase.io.write(folder / "start.xyz", atoms)
    boxed = atoms.copy()
    boxed.cell = [20, 20, 20]
    step = "<timestep units='femtosecond'> 0.25 </timestep>"
    nve = f"<motion mode='dynamics'><dynamics mode='nve'>{step}</dynamics></motion>"
    forcefield = ipi_forcefield(model, folder / "start.xyz")
    simulation = InteractiveSimulation(simulation_xml(boxed, forcefield, nve, temperature=300))
    system = simulation.syslist[0]
    angstrom, ev = unit_to_internal("length", "angstrom", 1), unit_to_internal("energy", "electronvolt", 1)
    system.beads.q[:] = atoms.positions.flatten() * angstrom
    return float(system.forces.pots[0]) / ev, np.array(system.forces.f[0]).reshape(-1, 3) * angstrom / ev


def in_torchsim() -> tuple[float, np.ndarray]:
    import torch_sim

    from pyg_mpnn.engines import torchsim_model

    state = torch_sim.io.atoms_to_state(atoms, torch.device("cpu"), torch.float64)
    output = torchsim_model(model, compute_stress=False)(state)
    return output["energy"].item(), output["forces"].numpy()


def in_metatomic() -> tuple[float, np.ndarray]:
    from metatomic_ase import MetatomicCalculator

    from pyg_mpnn.engines import export_metatomic

    export_metatomic(model, folder / "metatomic.pt")
    other = atoms.copy()
    other.calc = MetatomicCalculator(folder / "metatomic.pt")
    return other.get_potential_energy(), other.get_forces()


engines = {
    "OpenMM": ("openmm", in_openmm),
    "LAMMPS": ("lammps", in_lammps),
    "i-PI": ("ipi", in_ipi),
    "TorchSim": ("torch_sim", in_torchsim),
    "metatomic in ASE": ("metatomic_ase", in_metatomic),
}
for name, (package, compute) in engines.items():
    if find_spec(package) is None:
        print(f"{name:17} not installed here")
        continue
    os.chdir(folder)  # some write files where they run
    with contextlib.redirect_stdout(io.StringIO()):
        other_energy, other_forces = compute()
    os.chdir(here)
    difference = abs(other_forces - forces).max() / np.sqrt((forces**2).mean())
    print(f"{name:17} energy {other_energy - energy:+.0e} eV, forces {difference:.0e} of their RMS")
    assert abs(other_energy - energy) < 1e-6 * abs(energy)
    assert difference < 1e-6

# %%
# Measured
# --------
#
# The same comparison with 200 steps of dynamics, ethanol and 64 atoms of silicon, from the committed results
# (``benchmarks/results/engines.json``, by ``python -m benchmarks.engines.beside_ase``): what a step takes over that of
# ASE. Values near 1 mean that the potential takes nearly all of the time.

measured = json.loads(Path("../../benchmarks/results/engines.json").read_text())["engines"]
figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
places = np.arange(len(measured))
for offset, (structure, label) in enumerate({"ethanol": "ethanol", "silicon64": "64 atoms of silicon"}.items()):
    steps = [engine[structure]["step_over_ase"] for engine in measured.values()]
    axes.bar(places + 0.4 * offset - 0.2, steps, width=0.38, label=label)
axes.axhline(1, color="black", linewidth=0.8)
axes.set_xticks(places, list(measured))
axes.set(ylabel="time of a step over ASE's", ylim=(0, 1.6))
axes.legend()
plt.show()
for name, engine in measured.items():
    print(f"{name:10} {engine['version']:15} forces {engine['ethanol']['forces_over_rms']:.0e} of their RMS apart")

# %%
# Scripts to start from stand in ``examples/engines`` and on :doc:`the page of the engines </engines>`.
