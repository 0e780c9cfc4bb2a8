"""What changes the weights: Muon for matrices, Adam for the rest, or an optimizer of another package."""

from __future__ import annotations

import inspect
import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from pyg_mpnn.layers import AtomEmbedding
from pyg_mpnn.models.build import find_object

LEARNING_RATES = {"muon": 1e-2, "adamw": 3e-3}
"""Highest learning rates that do well on small molecules, by the short name of the optimizer."""
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_STEPS = 5
_SMALLEST = 2  # rows and columns, below which a matrix is a vector
_RMS = 0.2  # root mean square of a step of Adam in units of the learning rate, which those of Muon are made to have


def orthogonalize(matrices: Tensor) -> Tensor:
    r"""The matrices with all their singular values near one.

    .. math:: X_{k+1} = a X_k + b X_k X_k^T X_k + c (X_k X_k^T)^2 X_k, \qquad X_0 = X / \lVert X \rVert

    five times, a Newton-Schulz iteration that ends with singular values between 0.7 and 1.2.

    Args:
        matrices: one or several.

    Returns:
        as many.

    Shapes:
        ``(..., rows, columns)``, as the output.

    Units:
        none.

    Source:
        K. Jordan et al., Muon (2024), https://kellerjordan.github.io/posts/muon, with its coefficients a, b, c.

    Example:
        >>> values = torch.linalg.svdvals(orthogonalize(torch.diag(torch.tensor([1.0, 50.0]))))
        >>> bool(values.min() > 0.6), bool(values.max() < 1.3)
        (True, True)
    """
    a, b, c = _COEFFICIENTS
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + 1e-12)
    shape = x.shape
    x = x.reshape(math.prod(shape[:-2]), *shape[-2:])
    for _ in range(_STEPS):
        gram = torch.bmm(x, x.mT)
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    x = x.view(shape)
    found: Tensor = x.mT if tall else x
    return found


class Muon(torch.optim.Optimizer):
    r"""Momentum whose matrices are made orthogonal, with Adam for all that is no matrix.

    .. math::
        M \leftarrow \mu M + (1 - \mu) G, \qquad
        W \leftarrow (1 - \eta \lambda) W
            - 0.2 \, \eta \sqrt{\max(m, n)} \; \mathrm{orthogonalize}\big((1 - \mu) G + \mu M\big)

    for weights W of m rows and n columns with gradient G. Steps have the size of Adam's, so that one learning rate
    :math:`\eta` and one weight decay :math:`\lambda` are for both. A weight of three axes is several matrices; all of
    one shape are orthogonalized together. Vectors, numbers, matrices of a single row and tables of which each atom
    reads one row (:class:`~pyg_mpnn.AtomEmbedding`) are left to ``torch.optim.AdamW``.

    ``torch.optim.Muon`` takes matrices of two axes alone, one after the other.

    Args:
        model: what is trained; its parameters that require a gradient.
        lr: learning rate.
        weight_decay: decoupled weight decay.
        momentum: the number mu.

    Units:
        none.

    Source:
        K. Jordan et al., Muon (2024), https://kellerjordan.github.io/posts/muon; size of the steps: J. Liu et al.,
        arXiv:2502.16982, Eq. (4); Adam: Kingma and Ba, ICLR 2015, arXiv:1412.6980.

    Example:
        >>> layer = nn.Linear(4, 4)
        >>> optimizer = Muon(layer, lr=0.1)
        >>> layer(torch.ones(1, 4)).sum().backward()
        >>> optimizer.step()
    """

    def __init__(self, model: nn.Module, lr: float, weight_decay: float = 0.0, momentum: float = 0.95) -> None:
        tables = {
            id(weight) for part in model.modules() if isinstance(part, AtomEmbedding) for weight in part.parameters()
        }
        matrices: list[Tensor] = []
        others: list[Tensor] = []
        for weight in model.parameters():
            if weight.requires_grad:
                is_matrix = weight.ndim >= 2 and min(weight.shape[-2:]) >= _SMALLEST and id(weight) not in tables
                (matrices if is_matrix else others).append(weight)
        self._adam = torch.optim.AdamW([torch.zeros(())], lr=lr, weight_decay=weight_decay)
        groups: list[dict[str, Any]] = [
            {"params": matrices, "momentum": momentum},
            {"params": others, "momentum": None},
        ]
        super().__init__([group for group in groups if group["params"]], self._adam.defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Change the weights by their gradients.

        Args:
            closure: not used.
        """
        self._adam.param_groups = [group for group in self.param_groups if group["momentum"] is None]
        self._adam.state = self.state
        self._adam.step()
        for group in self.param_groups:
            if group["momentum"] is not None:
                self._step(group)

    def _step(self, group: dict[str, Any]) -> None:
        weights = [weight for weight in group["params"] if weight.grad is not None]
        if not weights:
            return
        gradients = [weight.grad for weight in weights]
        for weight in weights:
            if "momentum" not in self.state[weight]:
                self.state[weight]["momentum"] = torch.zeros_like(weight)
        momenta = [self.state[weight]["momentum"] for weight in weights]
        torch._foreach_lerp_(momenta, gradients, 1 - group["momentum"])
        directions = torch._foreach_lerp(gradients, momenta, group["momentum"])
        torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
        for shape, members in _by_shape(directions).items():
            whole = torch.cat([directions[k].reshape(-1, *shape) for k in members])
            sizes = [directions[k].numel() // shape.numel() for k in members]
            parts = torch.split(orthogonalize(whole), sizes)
            for k, part in zip(members, parts, strict=True):
                weights[k].add_(part.reshape(weights[k].shape), alpha=-_RMS * group["lr"] * max(shape) ** 0.5)


def _by_shape(tensors: Iterable[Tensor]) -> dict[torch.Size, list[int]]:
    """Places of the tensors whose matrices have one shape."""
    found: dict[torch.Size, list[int]] = defaultdict(list)
    for place, tensor in enumerate(tensors):
        found[tensor.shape[-2:]].append(place)
    return found


def find_optimizer(name: str) -> type[torch.optim.Optimizer]:
    """The class of an optimizer of a name, before anything is read or trained.

    Args:
        name: ``"muon"``, ``"adamw"``, or a class as ``package.module:Class`` or ``file.py:Class``.

    Returns:
        the class.

    Raises:
        TypeError: the name is not that of an optimizer.
        ValueError: there is no such name.
    """
    ours: dict[str, type[torch.optim.Optimizer]] = {"muon": Muon, "adamw": torch.optim.AdamW}
    if name in ours:
        return ours[name]
    if ":" not in name:
        raise ValueError(f"'optimizer' must be {', '.join(ours)} or package.module:Class, got {name!r}")
    found = find_object(name)
    if not (inspect.isclass(found) and issubclass(found, torch.optim.Optimizer)):
        raise TypeError(f"'optimizer' must name a subclass of torch.optim.Optimizer, got {name!r}")
    return found


def make_optimizer(name: str, model: nn.Module, learning_rate: float, weight_decay: float) -> torch.optim.Optimizer:
    """The optimizer of a name.

    Args:
        name: ``"muon"``, ``"adamw"``, or a class that takes parameters, ``lr`` and ``weight_decay``, as
            ``package.module:Class`` or ``file.py:Class``.
        model: what is trained.
        learning_rate: highest learning rate.
        weight_decay: decoupled weight decay.

    Returns:
        the optimizer.

    Raises:
        TypeError: the name is not that of an optimizer.
        ValueError: there is no such name.
    """
    kind: Any = find_optimizer(name)
    weights: Any = model if kind is Muon else [weight for weight in model.parameters() if weight.requires_grad]
    options = {"fused": True} if kind is torch.optim.AdamW else {}
    made: torch.optim.Optimizer = kind(weights, lr=learning_rate, weight_decay=weight_decay, **options)
    return made
