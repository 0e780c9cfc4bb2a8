"""Strain: deform positions and cells together, so that energy derivatives give virial and stress."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor


def apply_strain(
    pos: Float[Tensor, "nodes 3"],
    cell: Float[Tensor, "graphs 3 3"] | None,
    strain: Float[Tensor, "graphs 3 3"],
    batch: Int64[Tensor, " nodes"] | None = None,
) -> tuple[Float[Tensor, "nodes 3"], Float[Tensor, "graphs 3 3"] | None]:
    r"""Positions and cells after a homogeneous symmetric strain.

    .. math:: \mathbf{r}' = \mathbf{r} (1 + \bar\varepsilon), \quad \mathsf{C}' = \mathsf{C} (1 + \bar\varepsilon),
        \quad \bar\varepsilon = \tfrac12 (\varepsilon + \varepsilon^\mathsf{T})

    for positions :math:`\mathbf{r}`, cell vectors as the rows of :math:`\mathsf{C}` and strain :math:`\varepsilon`.
    Integer shifts stay as they are. Only the symmetric part counts: the rest would be a rotation. The derivative of the
    energy at :math:`\varepsilon = 0` is minus the virial; divided by the volume it is the stress.

    Args:
        pos: positions of the atoms.
        cell: cell vectors as rows, or None for molecules.
        strain: one strain per structure, usually zeros that require a gradient.
        batch: structure of each atom; None for a single structure.

    Returns:
        The strained positions and the strained cells (None where there were none).

    Shapes:
        pos (nodes, 3), cell (graphs, 3, 3), strain (graphs, 3, 3), batch (nodes,); result (nodes, 3), (graphs, 3, 3).

    Units:
        pos and cell in A, strain dimensionless.

    Raises:
        ValueError: several strains without ``batch``, a number of cells that is not the number of strains.

    Source:
        O. H. Nielsen and R. M. Martin, Phys. Rev. Lett. 50, 697 (1983), doi:10.1103/PhysRevLett.50.697: stress as
        the strain derivative of the total energy. Deviation: the strain is symmetrised here, not the derivative.

    Example:
        >>> pos, cell = torch.ones(1, 3), 2.0 * torch.eye(3)[None]
        >>> strain = torch.diag(torch.tensor([0.5, 0.0, 0.0]))[None]
        >>> pos, cell = apply_strain(pos, cell, strain)
        >>> pos, cell.diagonal(dim1=1, dim2=2)
        (tensor([[1.5000, 1.0000, 1.0000]]), tensor([[3., 2., 2.]]))
    """
    if batch is None and strain.shape[0] != 1:
        raise ValueError(f"'batch' must be given with several strains, got {strain.shape[0]} strains: pass it.")
    if cell is not None and cell.shape[0] != strain.shape[0]:
        raise ValueError(
            f"'strain' must hold one matrix per cell, got {strain.shape[0]} strains for {cell.shape[0]} cells: "
            "pass strains of shape (graphs, 3, 3)."
        )
    symmetric = 0.5 * (strain + strain.transpose(1, 2))
    per_atom = symmetric.expand(pos.shape[0], 3, 3) if batch is None else symmetric.index_select(0, batch)
    strained = pos + torch.einsum("na,nab->nb", pos, per_atom)
    return strained, None if cell is None else cell + cell @ symmetric
