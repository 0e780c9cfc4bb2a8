"""Time of energies and forces and of a training step, all variants in the same rounds."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch_geometric.data import Batch, Data

from pyg_mpnn.data import StructureDataset
from pyg_mpnn.models import Potential
from pyg_mpnn.models.checks import choose_device
from pyg_mpnn.training.ablation.settings import AblationSettings, Variant

ROUNDS, CALLS = 8, 3
_EVALUATE, _STEP = "evaluate", "train"


def time_variants(settings: AblationSettings, variants: Sequence[Variant], frames: Sequence[Data]) -> dict[str, Any]:
    """Time energies and forces of one structure, as dynamics needs them, and a training step.

    Edges are given. The variants take turns, in random order, with one untimed call in each turn: a noisy minute hits
    all of them. The weights are random, which changes nothing.

    Args:
        settings: The comparison: size, compilation, device, threads and batch size count.
        variants: What to time.
        frames: At least one structure; the first one is evaluated, the first ones make the batch.

    Returns:
        by the name of the variant: medians and 10th and 90th percentiles, per atom.

    Units:
        microseconds per atom.
    """
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    device = str(choose_device(settings.device))
    works = {
        (variant.name, kind): work
        for variant in variants
        for kind, work in _works(settings, variant, frames, device).items()
    }
    seconds: dict[tuple[str, str], list[float]] = {key: [] for key in works}
    order = random.Random(0)
    for _ in range(ROUNDS):
        for key in order.sample(list(works), len(works)):
            call = works[key]
            _timed(call, device)
            seconds[key] += [_timed(call, device) for _ in range(CALLS)]
    atoms = {_EVALUATE: len(frames[0].z), _STEP: sum(len(frame.z) for frame in frames[: settings.batch_size])}
    found: dict[str, Any] = {}
    for (name, kind), values in seconds.items():
        ordered = sorted(1e6 * value / atoms[kind] for value in values)
        tenth = len(ordered) // 10
        numbers = (statistics.median(ordered), ordered[tenth], ordered[-1 - tenth])
        found.setdefault(name, {})[kind] = dict(zip(("median", "p10", "p90"), numbers, strict=True))
    return found


def _works(
    settings: AblationSettings, variant: Variant, frames: Sequence[Data], device: str
) -> dict[str, Callable[[], object]]:
    torch.manual_seed(0)
    potential = Potential.from_size(settings.size, cutoff=variant.cutoffs, **variant.model).to(device)
    potential.compile(settings.compile)
    data = StructureDataset(frames[: settings.batch_size], potential.cutoffs)
    single, batch = (Batch.from_data_list([data[k] for k in range(n)]).to(device) for n in (1, len(data)))

    def evaluate() -> None:
        potential.eval()
        potential(single)

    def step() -> None:
        potential.train()
        output = potential(batch)
        assert output.forces is not None
        (output.forces.square().mean() + output.energy.square().mean()).backward()

    works: dict[str, Callable[[], object]] = {_EVALUATE: evaluate, _STEP: step}
    for work in works.values():
        work()
    return works


def _timed(call: Callable[[], object], device: str) -> float:
    start = time.perf_counter()
    call()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter() - start
