"""Silicon in LAMMPS on several processes: is it the same on 1 and 2, how is the work divided, what travels?

Run by ``mpiexec -n N python -m benchmarks.engines.domains --cells 10 --json FILE`` for N = 1 and 2; ``--table``
compares the files. The work of a process is its CPU time without the calls of MPI, in which it waits: what can be told
on a machine whose cores are shared with other programs. Times by the clock are in the files too; they mean something
on quiet cores (``benchmarks.engines.scaling``).
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.record import provenance
from pyg_mpnn import Potential
from pyg_mpnn.deploy import keep_freed_memory

BOX = """
units metal
atom_style atomic
atom_modify map yes
lattice diamond 5.43
region box block 0 {n} 0 {n} 0 {n}
create_box 1 box
create_atoms 1 box
mass 1 28.0855
velocity all create 600 7 loop geom
fix atoms all nve
timestep 0.001
thermo 10
pair_style pyg_mpnn
pair_coeff * * {model} Si
"""


class Timed:
    """A communicator that counts the CPU time of its calls."""

    def __init__(self, comm: Any) -> None:
        self.comm, self.seconds = comm, 0.0

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.comm, name)
        if not callable(value):
            return value

        def call(*arguments: Any, **options: Any) -> Any:
            start = time.process_time()
            try:
                return value(*arguments, **options)
            finally:
                self.seconds += time.process_time() - start

        return call


def measure(cells: int, steps: int, path: Path) -> None:
    from mpi4py import MPI

    from pyg_mpnn.engines.lammps import Lammps

    torch.set_num_threads(1)
    keep_freed_memory()
    world = MPI.COMM_WORLD
    model = path.with_suffix(".pt")
    if world.rank == 0:
        torch.manual_seed(0)
        potential = Potential.from_size("small", cutoff=4.5, zbl=True).double()
        potential.set_reference({14: -100.0}, 5.0, [18.0])
        potential.save(model)
    world.Barrier()
    lmp = Lammps(["-screen", "none", "-log", "none"])
    lmp.comm = Timed(world)
    lmp.commands_string(BOX.format(n=cells, model=model))
    lmp.command("run 0")
    places = np.round(np.array(lmp.gather_atoms("x", 1, 3)).reshape(-1, 3), 3)
    order = np.lexsort((places % round(lmp.get_thermo("lx"), 3)).T)  # LAMMPS numbers the atoms process by process
    lmp.comm.seconds = 0.0
    sent = lmp._domain.halo.bytes_sent if lmp._domain else 0
    ghosts = lmp._domain.halo.num_nodes - lmp._domain.halo.num_own if lmp._domain else 0
    start, clock, compute = time.process_time(), time.perf_counter(), lmp._compute
    spent = [0.0]

    def timed(*arguments: Any) -> None:
        before = time.process_time() - lmp.comm.seconds
        compute(*arguments)
        spent[0] += time.process_time() - lmp.comm.seconds - before

    lmp._compute = timed
    rebuilds = lmp.num_rebuilds
    lmp.command(f"run {steps}")
    total, wall = time.process_time() - start, time.perf_counter() - clock
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    forces = np.array(lmp.gather_atoms("f", 1, 3)).reshape(-1, 3)
    positions = np.array(lmp.gather_atoms("x", 1, 3)).reshape(-1, 3)
    energy = lmp.get_thermo("etotal")
    times = {"work_s": spent[0], "cpu_s": total, "wall_s": wall, "peak_GiB": peak}
    every = world.gather({**times, "own": lmp.extract_setting("nlocal"), "halo": ghosts, "sent": sent})
    if world.rank == 0:
        np.savez(path.with_suffix(".npz"), forces=forces[order], positions=positions[order])
        record = {
            **provenance(),
            "atoms": len(forces),
            "ranks": world.size,
            "steps": steps,
            "energy_eV": energy,
            "rebuilds": lmp.num_rebuilds - rebuilds,
            "layers": potential.representation.num_layers,
            "processes": every,
        }
        path.write_text(json.dumps(record, indent=1) + "\n")


def compare(paths: list[Path], out: Path) -> None:
    runs = [json.loads(path.read_text()) for path in paths]
    first = np.load(paths[0].with_suffix(".npz"))
    rms = float(np.sqrt((first["forces"] ** 2).mean()))
    alone = max(process["work_s"] for process in runs[0]["processes"])
    for path, run in zip(paths, runs, strict=True):
        other = np.load(path.with_suffix(".npz"))
        work = max(process["work_s"] for process in run["processes"])
        run["compared_with_one"] = {
            "forces_over_rms": float(np.abs(other["forces"] - first["forces"]).max() / rms),
            "positions_A": float(np.abs(other["positions"] - first["positions"]).max()),
            "energy_eV": run["energy_eV"] - runs[0]["energy_eV"],
            "work_of_one_over_largest": alone / work,
        }
        sent = sum(process["sent"] for process in run["processes"])
        halo = sum(process["halo"] for process in run["processes"])
        run["kB_per_halo_atom_and_step"] = sent / halo / 1e3 if halo else 0.0
        run["halo_atoms_over_own"] = halo / run["atoms"]
    out.write_text(json.dumps({"command": "python -m benchmarks.engines.domains", "runs": runs}, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=10, help="cubic cells of eight atoms along each side")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--table", type=Path, nargs="*", help="files of 1 and more processes to compare")
    arguments = parser.parse_args()
    if arguments.table:
        compare(arguments.table, arguments.json)
    else:
        measure(arguments.cells, arguments.steps, arguments.json)


if __name__ == "__main__":
    main()
