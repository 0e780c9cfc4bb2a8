"""What the file of a peer provides: how to build the model, and how to call it on given edges."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.speed.peers.work import Work

Evaluator = Callable[[], tuple[Tensor, Tensor]]


class Adapter(ABC):
    """A model, its settings from `benchmarks.speed.models` as keyword arguments.

    Args:
        cutoff: cutoff radius in A.
        elements: atomic numbers that occur, ascending.
    """

    def __init__(self, cutoff: float, elements: Sequence[int]) -> None:
        self.cutoff = cutoff
        self.elements = list(elements)

    @abstractmethod
    def build(self, mode: str, train: bool) -> nn.Module:
        """The model, random weights from torch's seed; in training or evaluation mode as asked, compiled by mode.

        A mode that the peer does not have raises an exception that says so.
        """

    @abstractmethod
    def evaluator(self, model: nn.Module, mode: str, work: Work) -> Evaluator:
        """A function that returns energies (graphs,) and forces (nodes, 3), everything else prepared beforehand."""

    def calculator(self, mode: str) -> Any:
        """The peer's own ASE calculator."""
        raise NotImplementedError("has no ASE calculator that takes a model")

    def neighbors(self, work: Work) -> Callable[[], Any]:
        """The peer's own neighbour list for these structures."""
        raise NotImplementedError("brings no neighbour list of its own, or none that runs here")


def with_gradient(energies: Callable[[Tensor], Tensor], pos: Tensor, train: bool) -> tuple[Tensor, Tensor]:
    """Energies and forces of a model that has no forces itself."""
    pos = pos.detach().requires_grad_()
    energy = energies(pos).flatten()
    (gradient,) = torch.autograd.grad(energy.sum(), pos, create_graph=train)
    return (energy if train else energy.detach()), -gradient
