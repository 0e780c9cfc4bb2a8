"""A GPU gives what the CPU gives, eager and compiled. Skipped without one; ``python -m benchmarks.gpu`` runs them all.

None of this has been run on a GPU so far.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch_geometric.data import Batch

from benchmarks import gpu
from benchmarks.speed.works import sample, silicon
from pyg_mpnn import Potential, PotentialCalculator
from pyg_mpnn.cli import main
from pyg_mpnn.data import ethanol, to_atoms
from pyg_mpnn.testing import check_potential

DEVICE = "cuda"
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
    pytest.mark.usefixtures("unchecked"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning"),
]
WORKS: dict[str, Callable[[], Batch]] = {
    "molecules": lambda: gpu.batch(sample("aspirin", 3)),
    "crystal": lambda: gpu.batch(silicon(2, 2, 2)),
}
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-4}  # that of the laws


def gradients(potential: Potential) -> torch.Tensor:
    return torch.cat([p.grad.flatten().cpu().double() for p in potential.parameters() if p.grad is not None])


@pytest.mark.parametrize("mode", ["off", "on"])
@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("work", WORKS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], indirect=True)
def test_the_gpu_gives_what_the_cpu_gives(mode: str, trained: bool, work: str, dtype: torch.dtype) -> None:
    structures, reference = WORKS[work](), gpu.potential("small", torch.float64)
    potential = gpu.potential("small", dtype).to(DEVICE).compile(mode)
    wanted = gpu.evaluate(reference, structures.clone(), trained)
    found = gpu.evaluate(potential, structures.to(DEVICE), trained)
    assert found.forces is not None
    assert found.forces.device.type == DEVICE
    if mode == "on":
        assert potential.compiler is not None
        assert all(entry is not None for entry in potential.compiler._compiled.values())
    assert gpu.deviation(found.forces, wanted.forces) < TOLERANCE[dtype]
    assert gpu.deviation(found.energy, wanted.energy) < TOLERANCE[dtype]
    if trained:
        assert gpu.deviation(gradients(potential), gradients(reference)) < 10 * TOLERANCE[dtype]


@pytest.mark.parametrize("mode", ["off", "on"])
def test_stress_of_a_crystal(mode: str) -> None:
    structures = WORKS["crystal"]()
    wanted = gpu.potential("small", torch.float64).eval()(structures.clone(), stress=True).stress
    potential = gpu.potential("small", torch.float64).to(DEVICE).eval().compile(mode)
    assert gpu.deviation(potential(structures.to(DEVICE), stress=True).stress, wanted) < 1e-10


def test_tensor_float_32_is_not_used_unless_asked() -> None:
    """Ten bits of mantissa miss the tolerance, so that the test above would see it (on GPUs that have it)."""
    structures = WORKS["molecules"]()
    wanted = gpu.evaluate(gpu.potential("base", torch.float64), structures.clone(), False)
    potential = gpu.potential("base", torch.float32).to(DEVICE)
    assert not torch.backends.cuda.matmul.allow_tf32
    assert gpu.deviation(gpu.evaluate(potential, structures.to(DEVICE), False).forces, wanted.forces) < 1e-4
    if torch.cuda.get_device_capability() < (8, 0):
        pytest.skip("this GPU has no TF32")
    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        found = gpu.evaluate(potential, structures.to(DEVICE), False)
    finally:
        torch.backends.cuda.matmul.allow_tf32 = False
    assert gpu.deviation(found.forces, wanted.forces) > 1e-4, "control"


def test_laws_hold() -> None:
    potential = gpu.potential("small", torch.float64).to(DEVICE)
    report = check_potential(
        potential, ethanol("test")[0], dtype=torch.float64, rebuild=lambda: copy.deepcopy(potential)
    )
    assert report.passed, str(report)


@pytest.mark.parametrize("mode", ["off", "on"])
def test_memory_does_not_grow(mode: str) -> None:
    """Over batches of many sizes, and from step to step; compiled code needs no more than eager evaluation."""
    potential = gpu.potential("small", torch.float32).to(DEVICE).compile(mode)
    works = [gpu.batch(sample("aspirin", count)).to(DEVICE) for count in (2, 8, 3, 16, 5)]
    for work in works:
        gpu.evaluate(potential, work, True)
    before = torch.cuda.memory_allocated()
    for _ in range(10):
        for work in works:
            gpu.evaluate(potential, work, True)
    assert torch.cuda.memory_allocated() <= before + 2**20
    if mode == "on":
        eager = gpu.time_of(copy.deepcopy(potential).compile("off"), works[3], True, 3)["peak_MiB"]
        assert gpu.time_of(potential, works[3], True, 3)["peak_MiB"] <= 1.2 * eager


@pytest.mark.parametrize("trained", [False, True])
def test_compiled_code_is_not_slower(trained: bool) -> None:
    work = gpu.batch(silicon(4, 4, 4)).to(DEVICE)
    times = {
        mode: gpu.time_of(gpu.potential("base", torch.float32).to(DEVICE).compile(mode), work, trained, 10)["ms"]  # type: ignore[arg-type]
        for mode in ("off", "on")
    }
    assert times["on"] <= times["off"]


def test_commands(tmp_path: Path) -> None:
    flags = ["--data", "ethanol", "--size", "small", "--epochs", "2", "--dtype", "float64", "--valid-size", "20"]
    errors: dict[str, Any] = {}
    for device in ("cpu", DEVICE):
        run = tmp_path / device
        assert main(["train", *flags, "--device", device, "--seed", "3", "--out", str(run)]) == 0
        model = ["--model", str(tmp_path / "cpu" / "best.ckpt"), "--device", device]
        assert main(["evaluate", *model, "--data", "ethanol", "--json", str(run / "test.json")]) == 0
        assert main(["md", *model, "--structure", "ethanol", "--steps", "20", "--out", str(run / "md")]) == 0
        assert main(["check", *model]) == 0
        assert main(["inspect", "--data", "ethanol", "--size", "small", "--steps", "1", "--device", device]) == 0
        uncertain = ["--out", str(tmp_path / f"{device}.pt"), "--device", device]
        assert main(["calibrate", "--runs", str(tmp_path / "cpu"), *uncertain]) == 0
        errors[device] = json.loads((run / "test.json").read_text())
    assert errors[DEVICE] == pytest.approx(errors["cpu"], rel=1e-8)


def test_calculator_takes_one_of_several_gpus() -> None:
    atoms = to_atoms(ethanol("test")[0])
    wanted = PotentialCalculator(gpu.potential("small", torch.float64)).get_forces(atoms)
    atoms.calc = PotentialCalculator(gpu.potential("small", torch.float64), device=f"{DEVICE}:0")
    assert abs(atoms.get_forces() - wanted).max() < 1e-8 * abs(wanted).max()
