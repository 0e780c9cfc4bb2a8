"""The neighbour list as a PyG transform."""

from __future__ import annotations

from collections.abc import Sequence

from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform

from pyg_mpnn.geometry.backends import Backend
from pyg_mpnn.geometry.cutoffs import as_cutoffs, edge_scale
from pyg_mpnn.geometry.edges import edge_vectors
from pyg_mpnn.geometry.neighbors import neighbor_list


class RadiusGraph(BaseTransform):
    r"""Attach the neighbour list to PyG data: ``edge_index`` and ``shifts``, and ``edge_scale`` for several cutoffs.

    .. math:: s_{ij} = \min \{s : r_{ij} < r_c^{(s)}\}

    is the ``edge_scale`` of an edge of length :math:`r_{ij}` for increasing cutoffs :math:`r_c^{(0)} < r_c^{(1)}
    \ldots`: one list at the largest cutoff holds all the others, the edges of scale s being those with
    :math:`s_{ij} \le s`. ``shifts`` are attached to molecules too, as zeros, so that molecules and crystals go into
    one batch.

    Args:
        cutoff: one radius, or two to three increasing radii.
        backend: as for :func:`neighbor_list`.

    Shapes:
        data with pos (nodes, 3), optional cell (1, 3, 3) and pbc (1, 3), or a batch of such data; result: edge_index
        (2, edges), shifts (edges, 3), edge_scale (edges,).

    Units:
        A.

    Raises:
        ValueError: ``cutoff`` is not positive, finite and increasing; data without positions; and the errors of
            :func:`neighbor_list`.

    Source:
        PyG's transform of the same name has no periodic images and truncates; own design for the rest.

    Example:
        >>> import torch
        >>> data = Data(pos=torch.tensor([[0.0, 0.0, 0.0], [2.0, 0.0, 0.0], [6.0, 0.0, 0.0]]))
        >>> data = RadiusGraph([3.0, 5.0])(data)
        >>> data.edge_index
        tensor([[1, 0, 2, 1],
                [0, 1, 1, 2]])
        >>> data.edge_scale
        tensor([0, 0, 1, 1])
    """

    def __init__(self, cutoff: float | Sequence[float], backend: Backend = "auto") -> None:
        self.cutoffs = as_cutoffs(cutoff)
        self.backend: Backend = backend

    def forward(self, data: Data) -> Data:
        pos, batch, cell = data.pos, getattr(data, "batch", None), getattr(data, "cell", None)
        if pos is None:
            raise ValueError("'data' must have positions, got data.pos = None: set data.pos of shape (nodes, 3).")
        data.edge_index, data.shifts = neighbor_list(
            pos,
            self.cutoffs[-1],
            batch=batch,
            num_graphs=None if batch is None else data.num_graphs,
            cell=cell,
            pbc=getattr(data, "pbc", None),
            backend=self.backend,
        )
        if len(self.cutoffs) > 1:
            vec = edge_vectors(pos.detach(), data.edge_index, data.shifts, cell, batch)
            data.edge_scale = edge_scale(vec.norm(dim=1), self.cutoffs)
        return data

    def __repr__(self) -> str:
        return f"{type(self).__name__}(cutoff={self.cutoffs}, backend={self.backend!r})"
