"""Engines by the clock, on two quiet cores: what two processes gain, what a step costs outside the model, MACE beside.

python -m benchmarks.engines.scaling                       8 minutes, writes benchmarks/results/engines_scaling.json
python -m benchmarks.engines.scaling --mace PYTHON         MACE by this Python (an environment with peers/mace.txt)
python -m benchmarks.engines.scaling --mace PYTHON --beside 5   only MACE and base, of 1,000 atoms (5 cells along each
                                                           side), writes engines_scaling_mace.json
python -m benchmarks.engines.scaling --smoke               few atoms, nothing written

Each part runs in processes of its own, each of one thread bound to a core. Weights are random. Parts that no longer fit
into ``--minutes`` are named in the file.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import RESULTS, provenance, write

STEPS = 6
# Cubic cells of eight atoms along each side.
LARGEST = (12, 14, 16, 18, 20, 22, 24, 26)
MEMORY = 0.75  # of what is free
PATIENCE = 90.0  # seconds for a start and two steps of the largest cell on one process
MACE = {"MACE 64x0e": "64x0e", "MACE 128x0e+128x1o": "128x0e+128x1o"}


def lammps(cells: int, steps: int, size: str, mode: str, dtype: str) -> dict[str, Any]:
    """A step of LAMMPS in one process, and how much of it is the model."""
    import torch

    from benchmarks.engines.domains import BOX
    from pyg_mpnn.engines.lammps import Lammps

    with tempfile.TemporaryDirectory() as folder:
        model = f"{folder}/model.pt"
        _potential(size, 5.0, {14: -100.0}).save(model)
        lmp = Lammps(["-screen", "none", "-log", "none"])
        text = BOX.replace("pair_style pyg_mpnn", f"pair_style pyg_mpnn compile {mode} dtype {dtype}")
        lmp.commands_string(text.format(n=cells, model=model))
        lmp.command("run 1")
        assert lmp.evaluator is not None
        spent = _clock(lmp.evaluator.potential)
        start = time.perf_counter()
        lmp.command(f"run {steps} pre no post no")
        wall = time.perf_counter() - start
    atoms = lmp.get_natoms()
    return {
        **_step(wall / steps, sum(spent) / steps, atoms),
        "size": size,
        "compile": mode,
        "dtype": dtype,
        "threads": torch.get_num_threads(),
    }


def torchsim(replicas: int, steps: int, size: str, mode: str, dtype: str) -> dict[str, Any]:
    """The same of TorchSim, for replicas of ethanol in one graph."""
    import torch
    import torch_sim

    from benchmarks.engines.beside_ase import STEP, structures
    from pyg_mpnn.engines.torchsim import torchsim_model

    potential = _potential(size, 5.0, {1: -13.6, 6: -1029.5, 8: -2042.1})
    model = torchsim_model(potential, compute_stress=False, compile=mode, dtype=getattr(torch, dtype))  # type: ignore[arg-type]
    unit = torch_sim.units.MetalUnits
    atoms = [structures()["ethanol"]] * replicas
    state = torch_sim.io.atoms_to_state(atoms, torch.device("cpu"), getattr(torch, dtype))
    start, step = torch_sim.integrators.nve(model, dt=STEP / 1000 * unit.time, kT=300 * unit.temperature, seed=1)
    state = step(start(state))
    spent = _clock(model.potential)
    begun = time.perf_counter()
    for _ in range(steps):
        state = step(state)
    wall = time.perf_counter() - begun
    found = _step(wall / steps, sum(spent) / steps, len(state.positions))
    return {**found, "replicas": replicas, "size": size, "compile": mode, "dtype": dtype}


def mace(cells: int, steps: int, irreps: str, dtype: str) -> dict[str, Any]:
    """A step of MACE through its own ASE calculator, the same crystal and cutoff."""
    from ase import Atoms, units
    from ase.md.verlet import VelocityVerlet
    from mace.calculators import MACECalculator  # before e3nn

    from benchmarks.speed.peers.mace import Peer
    from benchmarks.speed.works import silicon

    crystal = silicon(cells, cells, cells)
    atoms = Atoms(crystal.z, crystal.pos, cell=crystal.cell, pbc=True)
    model = Peer(5.0, [14], irreps).build("eager", train=False)
    atoms.calc = MACECalculator(models=[model], default_dtype=dtype, device="cpu")
    dynamics = VelocityVerlet(atoms, 1.0 * units.fs)
    dynamics.run(1)
    start = time.perf_counter()
    dynamics.run(steps)
    wall = (time.perf_counter() - start) / steps
    return {"ms_per_step": 1e3 * wall, "us_per_atom": 1e6 * wall / len(atoms), "atoms": len(atoms), "dtype": dtype}


def _potential(size: str, cutoff: float, energies: dict[int, float]) -> Any:
    import torch

    from pyg_mpnn import Potential

    torch.manual_seed(0)
    potential = Potential.from_size(size, cutoff=cutoff, zbl=True)  # type: ignore[arg-type]
    potential.set_reference(energies, 5.0, [18.0])
    return potential


def _clock(model: Any) -> list[float]:
    """Seconds of each call of a potential, neighbour list left out where the engine has its own."""
    begun, spent = [0.0], []
    model.register_forward_pre_hook(lambda *_: begun.__setitem__(0, time.perf_counter()))
    model.register_forward_hook(lambda *_: spent.append(time.perf_counter() - begun[0]))
    return spent


def _step(wall: float, model: float, atoms: int) -> dict[str, Any]:
    return {
        "atoms": int(atoms),
        "ms_per_step": 1e3 * wall,
        "us_per_atom": 1e6 * wall / atoms,
        "share_outside_the_model": 1 - model / wall,
    }


PARTS = {"lammps": lammps, "torchsim": torchsim, "mace": mace}


class Session:
    """Parts in processes of their own, as long as there is time."""

    def __init__(self, minutes: float, folder: Path) -> None:
        self.end, self.folder, self.left_out = time.monotonic() + 60 * minutes, folder, list[str]()

    def part(self, name: str, *arguments: Any, python: str = sys.executable) -> dict[str, Any] | None:
        """One of ``PARTS``."""
        out = self.folder / "part.json"
        command = [python, "-W", "ignore", "-m", "benchmarks.engines.scaling", "--part", name, *map(str, arguments)]
        return self._read(f"{name} {' '.join(map(str, arguments))}", [*command, "--json", str(out)], out)

    def domains(self, ranks: int, cells: int, steps: int) -> dict[str, Any] | None:
        """LAMMPS on so many processes, by ``benchmarks.engines.domains``."""
        out = self.folder / f"{cells}-{ranks}.json"
        command = [str(Path(sys.executable).with_name("mpiexec")), "-n", str(ranks), sys.executable]
        script = [str(Path(__file__)), "--domains", str(cells), str(steps), "--json", str(out)]
        return self._read(f"LAMMPS on {ranks} processes, {8 * cells**3} atoms", [*command, *script], out)

    def _read(self, name: str, command: list[str], out: Path) -> dict[str, Any] | None:
        left, start = self.end - time.monotonic(), time.monotonic()
        root = str(Path(__file__).parents[2])
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": root}
        print(f"{name} ...", flush=True)
        try:
            done = subprocess.run(
                command, env=environment, cwd=root, capture_output=True, text=True, timeout=max(1, left), check=False
            )
        except subprocess.TimeoutExpired:
            self.left_out.append(f"{name}: no time left")
            return None
        print(f"  {time.monotonic() - start:.0f} s", flush=True)
        if done.returncode != 0:
            said = (done.stdout + done.stderr).strip().splitlines() or [f"exit status {done.returncode}, nothing said"]
            self.left_out.append(f"{name}: {said[-1][:300]}")
            print(f"  {self.left_out[-1]}", flush=True)
            return None
        found: dict[str, Any] = json.loads(out.read_text())
        return found


def scaling(session: Session, cells: int, steps: int) -> dict[str, Any] | None:
    """One and two processes: the gain by the clock, the same forces, and what travels."""
    one, two = (session.domains(ranks, cells, steps) for ranks in (1, 2))
    if one is None:
        return None
    found: dict[str, Any] = {"atoms": one["atoms"], "steps": steps, "one": one["processes"]}
    if two is None:
        return found
    forces = [np.load(session.folder / f"{cells}-{ranks}.npz")["forces"] for ranks in (1, 2)]
    walls = [max(process["wall_s"] for process in run["processes"]) for run in (one, two)]
    sent = sum(process["sent"] for process in two["processes"])
    return found | {
        "two": two["processes"],
        "gain": walls[0] / walls[1],
        "ms_per_step": [1e3 * wall / steps for wall in walls],
        "forces_over_rms": float(np.abs(forces[1] - forces[0]).max() / np.sqrt((forces[0] ** 2).mean())),
        "halo_atoms_over_own": sum(process["halo"] for process in two["processes"]) / one["atoms"],
        "bytes_per_own_atom_and_layer": sent / one["atoms"] / one["layers"],
    }


def beside(session: Session, cells: int, python: str) -> dict[str, Any]:
    """Each MACE on the same crystal."""
    return {name: session.part("mace", cells, 2, irreps, "float32", python=python) for name, irreps in MACE.items()}


def largest(run: dict[str, Any]) -> int:
    """The largest cell whose start and two steps on one process fit into memory and patience, from a smaller one."""
    (process,) = run["one"]
    free = 2**-20 * int(Path("/proc/meminfo").read_text().split("MemAvailable:")[1].split()[0])
    base = 0.5  # GiB of a process without atoms
    per_atom = max(process["peak_GiB"] - base, 0.0) / run["atoms"]
    seconds = process["wall_s"] / run["steps"] / run["atoms"]
    fits = [n for n in LARGEST if base + per_atom * 8 * n**3 < MEMORY * free and 4 * seconds * 8 * n**3 < PATIENCE]
    return max(fits, default=LARGEST[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--mace", help="Python of an environment with MACE")
    parser.add_argument("--beside", type=int, metavar="CELLS", help="only MACE and base, with so many cells")
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--part", nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("--domains", nargs=2, type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.beside and not options.mace:
        parser.error("--beside measures MACE beside base: give --mace PYTHON too")
    cores = sorted(os.sched_getaffinity(0))
    if options.domains:
        rank = int(os.environ.get("PMI_RANK", "0"))
        os.sched_setaffinity(0, {cores[rank % len(cores)]})
        from benchmarks.engines.domains import measure

        measure(*options.domains, options.json)
        return
    if options.part:
        os.sched_setaffinity(0, {cores[0]})
        name, *words = options.part
        arguments = [int(word) if word.isdigit() else word for word in words]
        options.json.write_text(json.dumps(PARTS[name](*arguments)))
        return
    record: dict[str, Any] = {"command": "python -m benchmarks.engines.scaling", **provenance(), "cores": len(cores)}
    record["load_at_the_start"] = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        session = Session(options.minutes, Path(folder))
        if options.beside:
            record["lammps"] = [session.part("lammps", options.beside, STEPS, "base", "on", "float32")]
            record["mace"] = beside(session, options.beside, options.mace)
            record["left_out"] = session.left_out
            write(options.json or RESULTS / "engines_scaling_mace.json", record)
            return
        cells, steps, count = (2, 2, 4) if options.smoke else (10, STEPS, 64)
        record["scaling"] = [small] = [scaling(session, cells, steps)]
        record["lammps"] = [
            session.part("lammps", cells, steps, size, mode, dtype)
            for size, mode, dtype in (
                [("small", "off", "float64")]
                if options.smoke
                else [("small", "on", "float64"), ("base", "on", "float32")]
            )
        ]
        record["torchsim"] = [
            session.part("torchsim", count, steps, "small", mode, "float64")
            for mode in (["off"] if options.smoke else ["off", "on"])
        ]
        if options.mace:
            record["mace"] = beside(session, cells, options.mace)
        if small is not None:
            record["scaling"].append(scaling(session, 4 if options.smoke else largest(small), 2))
        record["left_out"] = session.left_out
    if options.smoke:
        print(json.dumps(record, indent=1))
    else:
        write(options.json or RESULTS / "engines_scaling.json", record)


if __name__ == "__main__":
    main()
