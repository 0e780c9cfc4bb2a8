"""What energies are differentiated by: positions and strain as leaves of a graph, also inside inference mode."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from pyg_mpnn.models.structure import Structure


@contextmanager
def gradients(enabled: bool) -> Iterator[None]:
    """Leave no_grad and inference mode where derivatives are needed."""
    if not enabled or (torch.is_grad_enabled() and not torch.is_inference_mode_enabled()):
        yield
        return
    with torch.inference_mode(False), torch.enable_grad():
        yield


def make_variables(structure: Structure, stress: bool) -> tuple[Tensor, Tensor | None]:
    """Positions, and a strain where the stress is asked for, as leaves of the graph.

    Args:
        structure: one or more structures.
        stress: whether the stress is asked for.

    Returns:
        positions ``(nodes, 3)`` and zero strain ``(graphs, 3, 3)``.
    """
    pos = structure.pos if structure.pos.requires_grad else structure.pos.detach().requires_grad_()
    strain = pos.new_zeros(structure.num_graphs, 3, 3).requires_grad_() if stress else None
    return pos, strain
