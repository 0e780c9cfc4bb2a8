"""Generated batches, and what eager evaluation makes of them: what compiled code is compared with."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pyg_mpnn.deploy.tracing import Inputs, Kind, Traced, eager_function, example_tensors

SIZES = ((9, 1, 4), (5, 6, 5, 6, 5), (200, 2))
"""Atoms of the structures of each batch."""

Run = Callable[[list[Tensor]], list[Tensor]]


class Trial(NamedTuple):
    """A generated batch, and what eager evaluation makes of it."""

    tensors: list[Tensor]  # as a traced graph takes them
    wanted: dict[str, Tensor]


def make_trials(module: nn.Module, traced: Traced, kind: Kind, dtype: torch.dtype) -> list[Trial]:
    """Generate the batches and evaluate them eagerly, with weights near those of the module but none of them zero.

    Args:
        module: as for ``pyg_mpnn.deploy.tracing.trace``.
        traced: its graph.
        kind: what the graph computes.
        dtype: dtype of the network.

    Returns:
        a trial for each of ``SIZES``.
    """
    random = torch.Generator().manual_seed(0)
    weights = [_moved(tensor, random, kind.trained) for tensor in example_tensors(module, traced, kind)]
    weights = weights[: len(traced.names)]
    evaluate, trials = eager_function(module, traced.names, kind, dtype), []
    for sizes in SIZES:
        tensors = [
            *weights,
            *(tensor.to(weights[0].device) for tensor in generated(module, kind, sizes, random).flat()),
        ]
        trials.append(Trial(tensors, results_of(evaluate, tensors, kind.trained)))
    return trials


def results_of(run: Run, tensors: list[Tensor], trained: bool) -> dict[str, Tensor]:
    """Evaluate a batch; for training, differentiate the sum of the squares of all results too.

    Args:
        run: eager or compiled function of a list of tensors.
        tensors: the batch, weights first.
        trained: whether to differentiate.

    Returns:
        results by name, gradients by number.
    """
    with torch.set_grad_enabled(trained):
        *results, _ = run(tensors)
    found = dict(zip(("energies", "forces", "virial"), results, strict=False))
    if trained:
        weights = [tensor for tensor in tensors if tensor.requires_grad]
        loss = torch.stack([result.square().sum().double() for result in results]).sum()
        gradients = torch.autograd.grad(loss, weights, allow_unused=True)
        for number, (weight, gradient) in enumerate(zip(weights, gradients, strict=True)):
            found[f"gradient {number}"] = torch.zeros_like(weight) if gradient is None else gradient
    return {name: tensor.detach() for name, tensor in found.items()}


def generated(module: nn.Module, kind: Kind, sizes: tuple[int, ...], random: torch.Generator) -> Inputs:
    """Atoms near the points of a cubic grid, up to 40 within the cutoff of each, in cells without right angles.

    Args:
        module: whose elements and cutoff count.
        kind: whether with cells, and the number of scales.
        sizes: atoms of each structure.
        random: where the numbers come from.

    Returns:
        a batch.
    """
    elements = torch.tensor(getattr(module, "elements", None) or (1,))
    cutoff = float(getattr(module, "cutoff", 4.0))
    spacing = 0.47 * cutoff
    places, cells, sources, receivers, shifts, first = [], [], [], [], [], 0
    around = torch.cartesian_prod(*[torch.arange(-1, 2)] * 3) if kind.periodic else torch.zeros(1, 3, dtype=torch.long)
    for size in sizes:
        side = round(size ** (1 / 3) + 0.5)
        grid = torch.cartesian_prod(*[torch.arange(side)] * 3)[:size].double()
        pos = spacing * (grid + 0.3 * torch.rand(size, 3, generator=random, dtype=torch.float64))
        cell = spacing * side * (torch.eye(3) + 0.1 * torch.rand(3, 3, generator=random, dtype=torch.float64))
        vectors = pos[None, :, None] + (around.double() @ cell)[None, None] - pos[:, None, None]  # from, to, image
        distances = vectors.norm(dim=-1)
        i, j, image = ((distances < cutoff) & (distances > 0)).nonzero().T
        places.append(pos)
        cells.append(cell)
        sources.append(first + j)
        receivers.append(first + i)
        shifts.append(around[image])
        first += size
    count = sum(map(len, sources))
    batch = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    return Inputs(
        elements[torch.randint(len(elements), (first,), generator=random)],
        torch.cat(places),
        batch,
        torch.stack([torch.cat(sources), torch.cat(receivers)]),
        torch.cat(shifts) if kind.periodic else None,
        torch.stack(cells) if kind.periodic else None,
        tuple(torch.arange(count // (2 + scale)) for scale in range(kind.scales - 1)),  # lists of lists hold too
        tuple(torch.randint(3, (len(sizes),), generator=random).double()[batch] for _ in kind.inputs),
    )


def _moved(tensor: Tensor, random: torch.Generator, trained: bool) -> Tensor:
    """A weight near one of the module but not zero, to be differentiated where it is trained; a buffer as it is."""
    moved = tensor.detach().clone()
    if isinstance(tensor, nn.Parameter) and tensor.is_floating_point():
        noise = torch.randn(tensor.shape, generator=random, dtype=torch.float64).to(tensor)
        moved = moved + 0.05 * noise
    if isinstance(tensor, nn.Parameter) and trained:
        return nn.Parameter(moved, requires_grad=tensor.requires_grad)
    return moved if trained else moved.contiguous()
