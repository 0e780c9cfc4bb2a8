"""Charges of the atoms that add up to that of the molecule, and its dipole moment."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from pyg_mpnn.readout.aggregate import check_atoms
from pyg_mpnn.scatter import scatter_sum


def conserve_charge(
    q: Float[Tensor, " nodes"],
    batch: Int[Tensor, " nodes"],
    num_graphs: int,
    total: Float[Tensor, " graphs"] | None = None,
) -> Float[Tensor, " nodes"]:
    r"""Charges shifted by the same amount for all atoms of a graph, so that they add up to a given total.

    .. math:: q_i' = q_i + \frac{1}{N} \Big(Q - \sum_k q_k\Big)

    Args:
        q: charge of each atom.
        batch: graph of each atom.
        num_graphs: number of graphs.
        total: total charge Q of each graph; zero where not given.

    Returns:
        charges.

    Shapes:
        ``q`` and ``batch`` ``(nodes,)``, ``total`` ``(graphs,)``; output ``(nodes,)``.

    Units:
        those of ``q``, elementary charges as a rule.

    Source:
        Unke and Meuwly, J. Chem. Theory Comput. 15, 3678 (2019) (PhysNet), arXiv:1902.08408, Eq. (14).

    Example:
        >>> conserve_charge(torch.tensor([1.0, 0.0]), torch.zeros(2, dtype=torch.long), 1)
        tensor([ 0.5000, -0.5000])
    """
    count = scatter_sum(torch.ones_like(q), batch, num_graphs).clamp(min=1)
    missing = -scatter_sum(q, batch, num_graphs) if total is None else total - scatter_sum(q, batch, num_graphs)
    return q + (missing / count)[batch]


class DipoleReadout(nn.Module):
    r"""Length of the dipole moment of atomic charges that add up to zero.

    .. math:: \mu = \Big| \sum_i \Big(q_i - \frac{1}{N} \sum_k q_k\Big) \, r_i \Big|

    with the charge :math:`q_i` and the position :math:`r_i` of atom i of N. As the net charge is taken away, the result
    does not depend on the origin; it is invariant under rotation and inversion. Its gradient at a dipole of zero is
    set to zero. For neutral molecules only; atomic dipoles are left out.

    Shapes:
        ``q`` ``(nodes,)``, ``pos`` ``(nodes, 3)``, ``batch`` ``(nodes,)``; output ``(graphs,)``.

    Units:
        ``pos`` in angstrom; output that of ``q`` times angstrom.

    Raises:
        ValueError: when called with tensors of other shapes.

    Source:
        Gastegger, Behler and Marquetand, Chem. Sci. 8, 6924 (2017), Eq. (9); zero net charge as in Unke and Meuwly, J.
        Chem. Theory Comput. 15, 3678 (2019) (PhysNet), arXiv:1902.08408, Eq. (14).

    Example:
        >>> pos = torch.tensor([[0.0, 0.0, 0.0], [2.0, 0.0, 0.0]])
        >>> DipoleReadout()(torch.tensor([0.5, -0.5]), pos, torch.zeros(2, dtype=torch.long), 1)
        tensor([1.])
    """

    def forward(
        self,
        q: Float[Tensor, " nodes"],
        pos: Float[Tensor, "nodes 3"],
        batch: Int[Tensor, " nodes"],
        num_graphs: int,
    ) -> Float[Tensor, " graphs"]:
        """Length of the dipole of each graph."""
        check_atoms(q, pos, batch)
        charges = conserve_charge(q, batch, num_graphs)
        squared = scatter_sum(charges[:, None] * pos, batch, num_graphs).square().sum(dim=1)
        nonzero = squared > 0
        length: Tensor = torch.where(nonzero, torch.where(nonzero, squared, 1).sqrt(), 0)
        return length
