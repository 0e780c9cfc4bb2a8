"""How long a training will take, from a few real steps."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
from torch_geometric.data import Batch, Data

from pyg_mpnn.data import StructureDataset, fit_reference
from pyg_mpnn.inspection.finding import Finding
from pyg_mpnn.models import Potential
from pyg_mpnn.models.sizes import Size
from pyg_mpnn.training.evaluate import evaluate_batch
from pyg_mpnn.training.loss import loss_terms
from pyg_mpnn.training.optimizer import LEARNING_RATES, Muon
from pyg_mpnn.training.settings import DEFAULT_MINUTES

__all__ = ["check_training_time"]


def check_training_time(
    frames: Sequence[Data],
    cutoffs: Sequence[float],
    *,
    size: Size = "base",
    batch_size: int = 8,
    steps: int = 5,
    device: str = "cpu",
    seconds: float = 10.0,
) -> Finding:
    """Time some steps of training: energies, forces and stress of a batch, their derivatives, a step of Muon.

    Eager, in the present number of threads of a CPU; a compiled training is faster.

    Args:
        frames: structures with energies and forces.
        cutoffs: of the model, in A.
        size: of the model.
        batch_size: structures a step.
        steps: to time, besides a first one.
        device: where to compute.
        seconds: after which no further step is begun.

    Returns:
        The finding; the numbers have the seconds of a step and of an epoch.

    Raises:
        ValueError: ``batch_size`` or ``steps`` is not positive.
    """
    for name, value in (("batch_size", batch_size), ("steps", steps)):
        if value < 1:
            raise ValueError(f"'{name}' must be at least 1, got {value}")
    if "forces" not in frames[0]:
        return Finding("training time", "note", "Not measured: there are no forces to train on.")
    batch_size = min(batch_size, len(frames))
    chosen = [frames[k * len(frames) // (batch_size * steps) % len(frames)] for k in range(batch_size * steps)]
    with torch.random.fork_rng():
        potential = Potential.from_size(size, cutoff=tuple(cutoffs)).to(device)
    reference = fit_reference(chosen, tuple(cutoffs))
    potential.set_reference(reference.energies, reference.scale, reference.neighbors)
    dataset = StructureDataset(chosen, tuple(cutoffs))
    optimizer = Muon(potential, lr=LEARNING_RATES["muon"])
    times: list[float] = []
    begun = time.perf_counter()
    timed = (
        1  # structures of a step: at first one, which tells how many there is time for, and on a small machine memory
    )
    for k in range(-1, steps + 1):
        batch = Batch.from_data_list([dataset[(k * batch_size + m) % len(dataset)] for m in range(timed)]).to(device)
        start = time.perf_counter()
        loss = torch.stack(loss_terms(evaluate_batch(potential, batch), batch, reference.scale)).sum()
        torch.autograd.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
        if potential.device.type == "cuda":
            torch.cuda.synchronize(potential.device)
        times.append(time.perf_counter() - start)
        if k == 0:  # the very first one is slower
            timed = max(1, min(batch_size, int(seconds / 2 / times[-1])))
        if k > 0 and time.perf_counter() - begun > seconds:
            break
    step = sorted(times[2:])[len(times[2:]) // 2] * batch_size / timed
    per_epoch = -(-len(frames) // batch_size)
    epochs = 60 * DEFAULT_MINUTES / (step * per_epoch)
    numbers: dict[str, object] = {
        "size": size,
        "seconds_per_step": step,
        "steps_per_epoch": per_epoch,
        "seconds_per_epoch": step * per_epoch,
        "steps_timed": len(times) - 2,
        "batch_size": batch_size,
        "threads": torch.get_num_threads(),
    }
    processor = device if device != "cpu" else f"CPU, {torch.get_num_threads()} threads"
    where = f"{processor}, not compiled" + (f"; timed with {timed} at a time" if timed < batch_size else "")
    a_step, an_epoch = _count(batch_size, "structure"), _count(per_epoch, "step")
    text = (
        f"size {size}, {a_step} a step: {step:.2g} s a step, {step * per_epoch:.3g} s an epoch of {an_epoch}, "
        f"{epochs:.3g} epochs in {DEFAULT_MINUTES:g} minutes ({where})."
    )
    return Finding("training time", "note" if epochs < 10 else "ok", text, numbers)


def _count(number: int, name: str) -> str:
    return f"{number} {name}{'s' * (number != 1)}"
