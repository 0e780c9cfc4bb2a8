"""Terms of an energy: what is added to the energies of a network, such as a repulsion or electrostatics."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn


class Geometry(NamedTuple):
    """What a term may read of one or more structures.

    Shapes:
        ``z`` and ``batch`` ``(nodes,)``, ``edge_index`` ``(2, edges)``, ``edge_vec`` ``(edges, 3)``, ``pos`` ``(nodes,
        3)``, ``cell`` ``(graphs, 3, 3)``.

    Units:
        angstrom.
    """

    z: Tensor
    batch: Tensor
    num_graphs: int
    """Number of graphs; 0 in compiled code, which has no use for it."""
    edge_index: Tensor
    """Edges up to the cutoff of the model, source first."""
    edge_vec: Tensor
    """Vectors from centre to neighbour, in the dtype of the model."""
    pos: Tensor | None
    """Positions; ``None`` in compiled code, which terms with ``needs_positions`` never meet."""
    cell: Tensor | None
    """Cells; ``None`` without and, like positions, in compiled code."""


class EnergyTerm(nn.Module, ABC):
    """Interface: energies of atoms that are added to those of a network, differentiated and saved with it.

    A subclass writes :meth:`forward`, has the arguments of its constructor as attributes of their names, and declares
    what follows. What depends on the structure must come from edges or from positions and cell, of which forces and
    stress are the derivatives.

    Shapes:
        input :class:`Geometry`; output ``(nodes,)``.

    Units:
        angstrom, eV.

    Source:
        own design.

    Example:
        >>> import torch
        >>> from pyg_mpnn import Potential
        >>> from pyg_mpnn.scatter import scatter_sum
        >>> class Springs(EnergyTerm):
        ...     cutoff = 3.0
        ...     def forward(self, geometry):
        ...         energies = (3.0 - geometry.edge_vec.norm(dim=1)).clamp(min=0) ** 4
        ...         return scatter_sum(energies, geometry.edge_index[1], geometry.z.shape[0])
        >>> potential = Potential(terms=[Springs()])
        >>> pair = torch.tensor([1, 1]), torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
        >>> bool(potential(*pair).energy > Potential(potential.representation)(*pair).energy + 20)
        True
    """

    cutoff: float = 0.0
    """Longest edge that it reads, in angstrom; at most the cutoff of the representation."""
    smoothness: float = math.inf
    """Number of continuous derivatives."""
    needs_positions: bool = False
    """Whether it reads positions or cell; such a model is evaluated eagerly, compiled or not."""

    @abstractmethod
    def forward(self, geometry: Geometry) -> Tensor:
        """Energy of each atom.

        Args:
            geometry: one or more structures.

        Returns:
            energies in eV.
        """


def check_terms(terms: Sequence[nn.Module], cutoff: float) -> None:
    """Refuse terms that a potential cannot have.

    Args:
        terms: the terms.
        cutoff: cutoff of the representation in angstrom.

    Raises:
        TypeError: one is neither an :class:`EnergyTerm` nor an energy model.
        ValueError: one reads longer edges than there are, or numbers of graphs.
    """
    for term in terms:
        if not isinstance(term, EnergyTerm) and not hasattr(term, "interaction_energies"):
            raise TypeError(f"'terms' must be EnergyTerm or energy models (ZBL), got {type(term).__name__}")
        if getattr(term, "graph_inputs", ()):
            raise ValueError(
                f"'terms' must read no numbers of graphs, got {type(term).__name__}, which reads "
                f"{', '.join(term.graph_inputs)}: add it by SumPotential"  # type: ignore[arg-type]
            )
        if float(term.cutoff) > cutoff:  # type: ignore[arg-type]
            raise ValueError(
                f"'terms' must have at most the cutoff of the representation ({cutoff:g} A), got {term.cutoff:g} A of "
                f"{type(term).__name__}"
            )


def check_term(term: EnergyTerm, energies: Tensor, num_nodes: int) -> None:
    """Refuse what a term returns in another shape than the energies of the atoms.

    Args:
        term: the term.
        energies: what it returned.
        num_nodes: number of atoms.

    Raises:
        TypeError: another shape.
    """
    if not isinstance(energies, Tensor) or energies.shape != (num_nodes,):
        found = tuple(energies.shape) if isinstance(energies, Tensor) else type(energies).__name__
        raise TypeError(
            f"{type(term).__name__}.forward must return the energy of each atom, a tensor of the shape (nodes,) = "
            f"({num_nodes},), got {found}"
        )
