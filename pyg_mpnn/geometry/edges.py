"""Vectors along edges, also of strained structures."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor


def edge_vectors(
    pos: Float[Tensor, "nodes 3"],
    edge_index: Int64[Tensor, "2 edges"],
    shifts: Int64[Tensor, "edges 3"] | None = None,
    cell: Float[Tensor, "3 3"] | Float[Tensor, "graphs 3 3"] | None = None,
    batch: Int64[Tensor, " nodes"] | None = None,
) -> Float[Tensor, "edges 3"]:
    r"""Vectors from the centre i to the neighbour j, differentiable in positions and cell.

    .. math:: \mathbf{r}_{ij} = \mathbf{r}_j - \mathbf{r}_i + \mathbf{n}_{ij} \mathsf{C}

    with :math:`\mathbf{r}` the positions, :math:`\mathbf{n}_{ij}` the integer shift of the neighbour's periodic image
    and :math:`\mathsf{C}` the matrix whose rows are the cell vectors. The difference is taken first, so that
    :math:`\mathbf{r}_{ji} = -\mathbf{r}_{ij}` holds to the last bit.

    Args:
        pos: positions of the atoms.
        edge_index: row 0 holds the neighbours j (sources), row 1 the centres i (targets).
        shifts: number of cells, along each cell vector, from the neighbour to its image; needed with a cell.
        cell: cell vectors as rows, one cell for all structures or one for each; taken to the dtype of ``pos``.
        batch: structure of each atom; needed with several cells.

    Returns:
        One vector per edge, in the dtype of ``pos``.

    Shapes:
        pos (nodes, 3), edge_index (2, edges), shifts (edges, 3), cell (3, 3) or (graphs, 3, 3), batch (nodes,);
        result (edges, 3).

    Units:
        A.

    Raises:
        ValueError: a cell without shifts, shifts that are not zero without a cell, several cells without ``batch``.

    Source:
        The minimum needed for periodic systems; the convention is the one of ASE's neighbour list.

    Example:
        >>> import torch
        >>> pos = torch.tensor([[0.0, 0.0, 0.0], [0.9, 0.0, 0.0]])
        >>> edge_index, shifts = torch.tensor([[1], [0]]), torch.tensor([[-1, 0, 0]])
        >>> edge_vectors(pos, edge_index, shifts, cell=2.0 * torch.eye(3))
        tensor([[-1.1000,  0.0000,  0.0000]])
    """
    source, target = edge_index[0], edge_index[1]
    vec = pos.index_select(0, source) - pos.index_select(0, target)
    if cell is None:
        if shifts is not None and bool(shifts.any()):
            raise ValueError("'cell' must be given with shifts that are not zero, got None: pass the cell vectors.")
        return vec
    if shifts is None:
        raise ValueError("'shifts' must be given with a cell, got None: pass those of the neighbour list.")
    if cell.dim() == 3 and batch is not None:
        cell = cell.index_select(0, batch.index_select(0, target))  # (edges, 3, 3)
    elif cell.dim() == 3 and cell.shape[0] == 1:
        cell = cell[0]
    elif cell.dim() == 3:
        raise ValueError(f"'batch' must be given with several cells, got {cell.shape[0]} cells and no batch: pass it.")
    # Written out, not a matrix product: the sum then has one order for every number of edges, and lists built in
    # different ways agree to the last bit.
    a, b, c = cell.to(pos.dtype).unbind(-2)
    n_a, n_b, n_c = shifts.to(pos.dtype).unsqueeze(-1).unbind(1)
    return vec + (n_a * a + n_b * b + n_c * c)


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
