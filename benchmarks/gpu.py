"""Energies, forces and training steps on a GPU: parity with the CPU, time, memory; eager and compiled, with TF32 too.

python -m benchmarks.gpu             runs tests/gpu and measures; writes benchmarks/results/gpu.json
python -m benchmarks.gpu --smoke     the same measurements, eager on the CPU, of small structures; nothing written

No GPU has been lent yet: there is no such file.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import subprocess
import sys
import time
from typing import Any

import torch
from torch_geometric.data import Batch, Data

from benchmarks.record import RESULTS, provenance, write
from benchmarks.speed.works import Structures, sample, silicon
from pyg_mpnn import Potential, PotentialOutput, RadiusGraph
from pyg_mpnn.deploy.proof import read_verdict
from pyg_mpnn.deploy.support import code_folder

ENERGIES = {1: -13.6, 6: -1029.0, 7: -1480.0, 8: -2041.0, 14: -7800.0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true")
    if parser.parse_args().smoke:
        works = {"aspirin x 2": batch(sample("aspirin", 2))}
        print(*measure(works, "cpu", modes=("off",), size="small", rounds=1), sep="\n")
        return
    if not torch.cuda.is_available():
        sys.exit("benchmarks.gpu needs a CUDA device, and torch finds none; --smoke runs on the CPU")
    tests = subprocess.run(
        [sys.executable, "-m", "pytest", "tests/gpu", "-m", "gpu", "-q", "-rA", "--tb=short"],
        capture_output=True,
        text=True,
        check=False,
    )
    print(tests.stdout)
    works = {
        "aspirin": batch(sample("aspirin", 1)),
        "aspirin x 32": batch(sample("aspirin", 32)),
        "Si 512": batch(silicon(4, 4, 4)),
        "Si 8000": batch(silicon(10, 10, 10)),
    }
    record = provenance() | {
        "device": torch.cuda.get_device_name(),
        "cuda": torch.version.cuda,
        "tests": {
            "passed": tests.returncode == 0,
            "lines": [line for line in tests.stdout.splitlines() if "::" in line],
        },
        "records": measure(works, "cuda"),
        "verdicts": [
            verdict._asdict() for path in code_folder().glob("*/verdict.json") if (verdict := read_verdict(path.parent))
        ],
    }
    write(RESULTS / "gpu.json", record)


def measure(
    works: dict[str, Batch],
    device: str,
    *,
    modes: tuple[str, ...] = ("off", "on"),
    size: str = "base",
    rounds: int = 20,
) -> list[dict[str, Any]]:
    """Milliseconds, peak memory in MiB and the deviation from eager float64 on the CPU, of each way to compute."""
    records = []
    for (name, work), trained in itertools.product(works.items(), (False, True)):
        wanted = evaluate(potential(size, torch.float64), work.clone(), trained)
        for mode, dtype, tf32 in itertools.product(modes, (torch.float32, torch.float64), (False, True)):
            if tf32 and (dtype == torch.float64 or device == "cpu"):
                continue
            torch.backends.cuda.matmul.allow_tf32 = tf32
            try:
                found = time_of(potential(size, dtype).to(device).compile(mode), work.to(device), trained, rounds)
            finally:
                torch.backends.cuda.matmul.allow_tf32 = False
            forces = found.pop("forces")
            kind = "training step" if trained else "energies and forces"
            records.append(
                {"work": name, "atoms": len(work.z), "kind": kind, "compile": mode, "dtype": str(dtype), "tf32": tf32}
                | {"deviation": deviation(forces, wanted.forces)}
                | found
            )
    return records


def time_of(model: Potential, work: Batch, trained: bool, rounds: int) -> dict[str, Any]:
    """Median time of an evaluation or a training step, and its peak memory."""
    gpu, forces = work.pos.is_cuda, evaluate(model, work, trained).forces
    evaluate(model, work, trained)
    if gpu:
        torch.cuda.reset_peak_memory_stats()
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        evaluate(model, work, trained)
        if gpu:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    peak = torch.cuda.max_memory_allocated() / 2**20 if gpu else None
    return {"ms": 1e3 * statistics.median(seconds), "peak_MiB": peak, "forces": forces}


def evaluate(model: Potential, work: Batch, trained: bool) -> PotentialOutput:
    """Energies and forces; for training also the gradients of a loss of both, which stay in the parameters."""
    output: PotentialOutput = model.train(trained)(work)
    if trained:
        model.zero_grad()
        assert output.forces is not None
        (output.forces.square().mean() + output.energy.square().mean()).backward()  # type: ignore[no-untyped-call]
    return output


def deviation(found: torch.Tensor | None, wanted: torch.Tensor | None) -> float:
    """Largest difference, relative to the largest wanted value."""
    assert found is not None
    assert wanted is not None
    return float((found.detach().cpu().double() - wanted.detach().double()).abs().max() / wanted.detach().abs().max())


def potential(size: str, dtype: torch.dtype) -> Potential:
    """The same random weights each time."""
    torch.manual_seed(0)
    model = Potential.from_size(size)  # type: ignore[arg-type]
    model.set_reference(ENERGIES, 1.0, [14.0])
    return model.to(dtype)


def batch(structures: Structures) -> Batch:
    """Structures with their edges, as one batch."""
    frames, first = [], 0
    for count in structures.num_atoms.tolist():
        place = slice(first, first + count)
        data = Data(z=torch.tensor(structures.z[place]).long(), pos=torch.tensor(structures.pos[place]).double())
        if structures.cell is not None:
            data.cell = torch.tensor(structures.cell).double()[None]
            data.pbc = torch.ones(1, 3, dtype=torch.bool)
        frames.append(RadiusGraph(5.0)(data))
        first += count
    return Batch.from_data_list(frames)


if __name__ == "__main__":
    main()
