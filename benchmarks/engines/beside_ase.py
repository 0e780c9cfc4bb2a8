"""Each engine beside ASE, in double precision: differences, conserved energy over 200 steps, cost of a step.

Ethanol and 64 atoms of silicon with random weights. Steps of ASE and of the engine alternate in blocks; times are CPU
times of the process, which other programs on the machine change little, and their ratio is the median over the rounds.
What of a step is outside the model is what is not spent in calls of the potential; metatomic, which takes the
derivative of a file itself, has no such calls.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import ase.io
import numpy as np
import torch
from ase import Atoms, units
from ase.md.verlet import VelocityVerlet
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from benchmarks.record import RESULTS, provenance, write
from pyg_mpnn import Potential, PotentialCalculator
from pyg_mpnn.data import ethanol, to_atoms
from pyg_mpnn.md.velocities import thermal_velocities
from pyg_mpnn.models import EnergyModel

ASSETS = Path(__file__).parents[2] / "tests" / "data" / "assets"
PACKAGES = {
    "lammps": "lammps",
    "openmm": "openmm",
    "ipi": "ipi",
    "torchsim": "torch-sim-atomistic",
    "metatomic": "metatomic-torch",
}
STEP = 0.2  # fs, for forces of random weights
QUIET = ["-screen", "none", "-log", "none"]


class Run(NamedTuple):
    """An engine that has a structure: results in eV and A, and what makes it step and gives its total energy."""

    energy: float
    forces: np.ndarray
    virial: np.ndarray | None
    steps: Callable[[int], None]
    total: Callable[[], float]


def by_ase(model: Path, atoms: Atoms, folder: Path) -> Run:
    atoms = atoms.copy()
    atoms.calc = PotentialCalculator(model, dtype=torch.float64)
    return _with_calculator(atoms)


def _with_calculator(atoms: Atoms) -> Run:
    energy, forces = atoms.get_potential_energy(), atoms.get_forces()
    virial = -atoms.get_stress(voigt=False) * atoms.get_volume() if atoms.pbc.all() else None
    dynamics = VelocityVerlet(atoms, STEP * units.fs)
    return Run(energy, forces, virial, lambda count: dynamics.run(count), atoms.get_total_energy)


def by_metatomic(model: Path, atoms: Atoms, folder: Path) -> Run:
    from metatomic_ase import MetatomicCalculator

    from pyg_mpnn.engines.metatomic import export_metatomic

    export_metatomic(model, folder / "metatomic.pt")
    atoms = atoms.copy()
    atoms.calc = MetatomicCalculator(folder / "metatomic.pt")
    return _with_calculator(atoms)


def by_lammps(model: Path, atoms: Atoms, folder: Path) -> Run:
    from pyg_mpnn.engines.lammps import Lammps

    atoms = atoms.copy()
    if not atoms.pbc.any():
        atoms.center(vacuum=8.0)
    symbols = sorted(set(atoms.symbols))
    ase.io.write(
        folder / "box.data", atoms, format="lammps-data", specorder=symbols, masses=True, velocities=True, units="metal"
    )
    lmp = Lammps(QUIET)
    lmp.commands_string(f"""
        units metal
        atom_style atomic
        atom_modify map yes sort 0 0
        boundary {" ".join("p" if flag else "f" for flag in atoms.pbc)}
        read_data {folder / "box.data"}
        pair_style pyg_mpnn
        pair_coeff * * {model} {" ".join(symbols)}
        thermo_style custom step pe etotal pxx pyy pzz pxy pxz pyz vol
        thermo 1
        timestep {STEP / 1000}
        fix atoms all nve
        run 0
    """)
    forces = np.array(lmp.gather_atoms("f", 1, 3)).reshape(-1, 3)
    press = [lmp.get_thermo(name) for name in ("pxx", "pxy", "pxz", "pxy", "pyy", "pyz", "pxz", "pyz", "pzz")]
    # the pressure has the momenta in it: take them out
    momenta, velocities = atoms.get_momenta(), atoms.get_velocities()
    kinetic = momenta.T @ velocities
    virial = np.array(press).reshape(3, 3) / 1.602176634e6 * atoms.get_volume() - kinetic if atoms.pbc.all() else None
    steps = "run {} pre no post no"  # without evaluating the first structure again
    return Run(
        lmp.get_thermo("pe"),
        forces,
        virial,
        lambda count: lmp.command(steps.format(count)),
        lambda: float(lmp.get_thermo("etotal")),
    )


def by_openmm(model: Path, atoms: Atoms, folder: Path) -> Run:
    import openmm
    from openmm import app, unit

    from pyg_mpnn.engines.openmm import openmm_simulation
    from pyg_mpnn.units import KJ_PER_MOL

    topology = app.Topology()
    residue = topology.addResidue("ALL", topology.addChain())
    for symbol in atoms.symbols:
        topology.addAtom(symbol, app.Element.getBySymbol(symbol), residue)
    if atoms.pbc.all():
        topology.setPeriodicBoxVectors(atoms.cell.array * 0.1 * unit.nanometer)
    integrator = openmm.VerletIntegrator(STEP * unit.femtosecond)
    simulation = openmm_simulation(model, topology, atoms.positions * 0.1, integrator)
    simulation.context.setVelocities(atoms.get_velocities() * (0.1 * units.fs * 1e3))

    def state() -> Any:
        return simulation.context.getState(energy=True, forces=True)

    found = state()
    return Run(
        found.getPotentialEnergy()._value * KJ_PER_MOL,
        found.getForces(asNumpy=True)._value * KJ_PER_MOL / 10,
        None,
        simulation.step,
        lambda: (lambda s: (s.getPotentialEnergy() + s.getKineticEnergy())._value * KJ_PER_MOL)(state()),
    )


def by_torchsim(model: Path, atoms: Atoms, folder: Path) -> Run:
    import torch_sim

    from pyg_mpnn.engines.torchsim import torchsim_model

    unit = torch_sim.units.MetalUnits
    wrapped = torchsim_model(model, compute_stress=bool(atoms.pbc.all()))
    state = torch_sim.io.atoms_to_state(atoms, torch.device("cpu"), torch.float64)
    output = wrapped(state)
    virial = -output["stress"][0].numpy() * atoms.get_volume() if atoms.pbc.all() else None
    start, step = torch_sim.integrators.nve(
        torchsim_model(model, compute_stress=False), dt=STEP / 1000 * unit.time, kT=300 * unit.temperature, seed=1
    )
    held = [start(state)]

    def steps(count: int) -> None:
        for _ in range(count):
            held[0] = step(held[0])

    def total() -> float:
        now = held[0]
        kinetic = torch_sim.quantities.calc_kinetic_energy(
            momenta=now.momenta, masses=now.masses, system_idx=now.system_idx
        )
        return float(now.energy + kinetic)

    return Run(output["energy"].item(), output["forces"].numpy(), virial, steps, total)


def by_ipi(model: Path, atoms: Atoms, folder: Path) -> Run:
    from ipi.scripting import InteractiveSimulation, simulation_xml
    from ipi.utils.units import unit_to_internal

    from pyg_mpnn.engines.ipi_driver import ipi_forcefield

    ase.io.write(folder / "start.xyz", atoms)
    angstrom, electronvolt = (
        unit_to_internal("length", "angstrom", 1.0),
        unit_to_internal("energy", "electronvolt", 1.0),
    )
    boxed = atoms.copy()
    if not boxed.pbc.any():
        boxed.cell = [20, 20, 20]
    step = f"<timestep units='femtosecond'> {STEP} </timestep>"
    nve = f"<motion mode='dynamics'><dynamics mode='nve'>{step}</dynamics></motion>"
    forcefield = ipi_forcefield(model, folder / "start.xyz")
    xml = simulation_xml(boxed, forcefield, nve, temperature=300, output="<output prefix='out'></output>")
    simulation = InteractiveSimulation(xml)
    system = simulation.syslist[0]
    system.beads.q[:] = atoms.positions.flatten() * angstrom
    if atoms.pbc.all():
        system.cell.h = atoms.cell.array.T * angstrom
    forces = np.array(system.forces.f[0]).reshape(-1, 3) * angstrom / electronvolt
    upper = np.triu(np.array(system.forces.vir) / electronvolt)  # i-PI keeps no other part, as its cell has none
    virial = upper + np.triu(upper, 1).T if atoms.pbc.all() else None
    return Run(
        float(system.forces.pots[0]) / electronvolt,
        forces,
        virial,
        lambda count: simulation.run(count, write_outputs=False),
        lambda: float(simulation.properties("conserved")),
    )


ENGINES = {"lammps": by_lammps, "openmm": by_openmm, "torchsim": by_torchsim, "metatomic": by_metatomic, "ipi": by_ipi}


class Inside:
    """CPU seconds spent in the potential, whoever calls it."""

    def __init__(self) -> None:
        self.seconds, self._start = 0.0, 0.0
        register_module_forward_pre_hook(self._enter)
        register_module_forward_hook(self._leave)

    def _enter(self, module: torch.nn.Module, _: Any) -> None:
        if isinstance(module, EnergyModel):
            self._start = time.process_time()

    def _leave(self, module: torch.nn.Module, *_: Any) -> None:
        if isinstance(module, EnergyModel):
            self.seconds += time.process_time() - self._start


INSIDE = Inside()


def measure(engine: str, model: Path, atoms: Atoms, rounds: int, block: int, drift_steps: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        reference, run = by_ase(model, atoms, folder), ENGINES[engine](model, atoms, folder)
        rms = float(np.sqrt((reference.forces**2).mean()))
        record: dict[str, Any] = {
            "energy_relative": float(abs(run.energy / reference.energy - 1)),
            "forces_over_rms": float(np.abs(run.forces - reference.forces).max() / rms),
        }
        if run.virial is not None and reference.virial is not None:
            largest = np.abs(reference.virial).max()
            record["virial_relative"] = float(np.abs(run.virial - reference.virial).max() / largest)
        totals = []
        for _ in range(drift_steps // 10):
            run.steps(10)
            totals.append(run.total())
        record["nve_range_meV_per_atom"] = 1e3 * float(np.ptp(totals)) / len(atoms)
        times: dict[str, list[float]] = {"ase": [], "engine": []}
        shares = []
        for _ in range(rounds):
            for key, one in (("ase", reference), ("engine", run)):
                start, before = time.process_time(), INSIDE.seconds
                one.steps(block)
                spent = time.process_time() - start
                times[key].append(spent / block)
                if key == "engine":
                    shares.append(1 - (INSIDE.seconds - before) / spent)
        ratios = [mine / ase for mine, ase in zip(times["engine"], times["ase"], strict=True)]
        record |= {
            "ms_per_step": 1e3 * float(np.median(times["engine"])),
            "ase_ms_per_step": 1e3 * float(np.median(times["ase"])),
            "step_over_ase": float(np.median(ratios)),
            "share_outside_the_model": None if min(shares) == 1 else float(np.median(shares)),
            "step_over_ase_quartiles": np.quantile(ratios, [0.25, 0.75]).tolist(),
        }
        return record


def structures() -> dict[str, Atoms]:
    molecule = to_atoms(ethanol("test")[0])
    crystal = ase.io.read(ASSETS / "si.extxyz", index=2)
    found = {"ethanol": Atoms(molecule.numbers, molecule.positions)}
    found["silicon64"] = Atoms(crystal.numbers, crystal.positions, cell=crystal.cell, pbc=True)
    found["silicon64"].rattle(0.05, seed=1)
    for atoms in found.values():
        atoms.set_velocities(thermal_velocities(atoms.get_masses(), 300.0, np.random.default_rng(0)))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--block", type=int, default=5, help="steps of each round")
    parser.add_argument("--smoke", action="store_true", help="few steps, no file")
    parser.add_argument("--json", type=Path, default=RESULTS / "engines.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    potential = Potential.from_size("small", cutoff=4.0, zbl=True)
    potential.set_reference({1: -13.6, 6: -1029.5, 8: -2042.1, 14: -7870.2}, scale=5.0, neighbors=[15.0])
    record: dict[str, Any] = {"command": "python -m benchmarks.engines.beside_ase", **provenance(), "engines": {}}
    rounds, block, steps = (1, 2, 10) if arguments.smoke else (arguments.rounds, arguments.block, 200)
    with tempfile.TemporaryDirectory() as name:
        model = Path(name) / "potential.pt"
        potential.double().save(model)
        for engine in arguments.engines:
            found = {key: measure(engine, model, atoms, rounds, block, steps) for key, atoms in structures().items()}
            record["engines"][engine] = {"version": version(PACKAGES[engine]), **found}
            print(engine, record["engines"][engine], flush=True)
    if not arguments.smoke:
        write(arguments.json, record)


if __name__ == "__main__":
    main()
