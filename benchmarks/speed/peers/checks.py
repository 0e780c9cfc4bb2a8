"""What must hold before a model is timed: forces are the gradient, the given edges are used, modes agree.

Fast code that computes something else is not fast. All in float32, as timed; the bounds leave room for its rounding.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.speed.peers.work import Work

Evaluate = Callable[[Work], tuple[Tensor, Tensor]]
STEP = 0.01  # A, of the atom that moves most
MAX_ATOMS = 1500  # in larger graphs the sum of the energies is too coarse; the same models are checked on smaller ones


def check_inference(evaluate: Evaluate, work: Work, eager: Evaluate | None) -> None:
    """Raise AssertionError unless energies and forces of `evaluate` are sound, and those of `eager` where given."""
    energy, forces = evaluate(work)
    graph = int(work.batch[forces.abs().amax(dim=1).argmax()])
    along = torch.where((work.batch == graph)[:, None], forces, 0.0) / forces.abs().max()  # all atoms of a structure
    plus, minus = (float(evaluate(work.displaced(step * along))[0][graph]) for step in (STEP, -STEP))
    slope, force = (plus - minus) / (2 * STEP), float((forces * along).sum())
    rounding = 4 * torch.finfo(torch.float32).eps * max(abs(plus), 1.0) / STEP
    assert rounding < 0.2 * force, f"energy {plus:.3g} too coarse to check forces of {force:.3g}"
    assert abs(slope + force) < 0.03 * force + rounding, f"forces of {force:.5g} but -dE/dx {-slope:.5g}"

    changed = evaluate(work.with_edge_changed())[0][work.batch[work.edge_index[1, 0]]]
    before = energy[work.batch[work.edge_index[1, 0]]]
    assert changed != before, f"the energy stays {before:.6g} when an edge is replaced: the given edges are not used"

    if eager is not None:
        for name, own, other in zip(("energies", "forces"), (energy, forces), eager(work), strict=True):
            _check_close(name, own, other)


def check_training(loss: float, gradient: float, eager: tuple[float, float]) -> None:
    """Raise AssertionError unless loss and length of its gradient in the first step are those of the eager model."""
    for name, own, other in (("loss", loss, eager[0]), ("gradient of the loss", gradient, eager[1])):
        _check_close(name, torch.tensor(own), torch.tensor(other))


def _check_close(name: str, own: Tensor, eager: Tensor) -> None:
    size = float(eager.abs().max())
    difference = float((own - eager).abs().max())
    assert difference <= 2e-3 * size, (
        f"{name} differ by {difference:.3g} from the eager ones, the largest is {size:.3g}"
    )
