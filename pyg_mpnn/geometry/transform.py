"""The neighbour list as a PyG transform."""

from __future__ import annotations

from collections.abc import Sequence

from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform

from pyg_mpnn.geometry.backends import Backend, check_backend
from pyg_mpnn.geometry.cutoffs import as_cutoffs
from pyg_mpnn.geometry.neighbors import neighbor_list


class RadiusGraph(BaseTransform):
    r"""Attach the neighbour list to PyG data: ``edge_index``, ``shifts`` and the ``cutoff`` that they are for.

    .. math:: \{(j, i, \mathbf{n}) : |\mathbf{r}_j + \mathbf{n} \mathsf{C} - \mathbf{r}_i| < r_c\}

    as :func:`neighbor_list` has it, for the largest of several cutoffs :math:`r_c`: it holds the lists of the smaller
    ones. ``shifts`` are attached to molecules too, as zeros, so that molecules and crystals go into one batch. A
    potential refuses edges whose ``cutoff`` is smaller than its own.

    Args:
        cutoff: one radius, or two to three increasing radii.
        backend: as for :func:`neighbor_list`.

    Shapes:
        data with pos (nodes, 3), optional cell (1, 3, 3) and pbc (1, 3), or a batch of such data; result: edge_index
        (2, edges), shifts (edges, 3), cutoff a number.

    Units:
        A.

    Raises:
        ValueError: ``cutoff`` is not positive, finite and increasing, an unknown ``backend``; data without positions;
            and the errors of :func:`neighbor_list`.

    Source:
        PyG's transform of the same name has no periodic images and truncates; own design for the rest.

    Example:
        >>> import torch
        >>> data = Data(pos=torch.tensor([[0.0, 0.0, 0.0], [2.0, 0.0, 0.0], [6.0, 0.0, 0.0]]))
        >>> data = RadiusGraph(5.0)(data)
        >>> data.edge_index
        tensor([[1, 0, 2, 1],
                [0, 1, 1, 2]])
    """

    def __init__(self, cutoff: float | Sequence[float], backend: Backend = "auto") -> None:
        check_backend(backend)
        self.cutoffs = as_cutoffs(cutoff)
        self.backend: Backend = backend

    def forward(self, data: Data) -> Data:
        pos, batch = data.pos, getattr(data, "batch", None)
        if pos is None:
            raise ValueError("'data' must have positions, got data.pos = None: set data.pos of shape (nodes, 3).")
        data.edge_index, data.shifts = neighbor_list(
            pos,
            self.cutoffs[-1],
            batch=batch,
            num_graphs=None if batch is None else data.num_graphs,
            cell=getattr(data, "cell", None),
            pbc=getattr(data, "pbc", None),
            backend=self.backend,
        )
        data.cutoff = self.cutoffs[-1]
        return data

    def __repr__(self) -> str:
        return f"{type(self).__name__}(cutoff={self.cutoffs}, backend={self.backend!r})"
