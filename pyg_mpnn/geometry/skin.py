"""A neighbour list for dynamics that is searched anew only when atoms have moved far enough."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from pyg_mpnn.geometry.backends import Backend, check_backend
from pyg_mpnn.geometry.cutoffs import as_single_cutoff
from pyg_mpnn.geometry.neighbors import NeighborList, neighbor_list, select
from pyg_mpnn.geometry.structures import Structures, check_structures


class SkinList:
    r"""Neighbour lists along a trajectory of one structure or a batch, identical to fresh ones and cheaper.

    .. math:: |\mathbf{r}_i - \mathbf{r}_i^0| < \tfrac12 \delta \ \forall i \quad \Rightarrow \quad
        r_{ij} < r_c \text{ only where } r_{ij}^0 < r_c + \delta

    A search at positions :math:`\mathbf{r}^0` finds candidates within the cutoff :math:`r_c` plus a skin
    :math:`\delta`. They hold every neighbour until an atom has moved half the skin. Each call selects from them the
    pairs within the cutoff, so its result is that of :func:`neighbor_list` to the last bit. A changed cell, ``pbc``,
    number of atoms, dtype or device also starts a new search. ``num_rebuilds`` counts the searches.

    Args:
        cutoff: radius, positive.
        skin: added to the cutoff in a search, at least 0; larger means fewer searches and more candidates.
        backend: as for :func:`neighbor_list`.

    Shapes:
        pos (nodes, 3), cell (3, 3) or (graphs, 3, 3), pbc (3,) or (graphs, 3), batch (nodes,); result as of
        :func:`neighbor_list`.

    Units:
        A.

    Raises:
        ValueError: ``cutoff`` is not positive, ``skin`` negative or ``backend`` unknown; and the errors of
            :func:`neighbor_list`.

    Source:
        L. Verlet, Phys. Rev. 159, 98 (1967), doi:10.1103/PhysRev.159.98. Deviation: searched anew when
        atoms have moved, not after a number of steps.

    Example:
        >>> skin_list = SkinList(cutoff=5.0, skin=0.5)
        >>> pos = torch.tensor([[0.0, 0.0, 0.0], [4.9, 0.0, 0.0]])
        >>> [skin_list(pos + torch.tensor([[0.0], [x]])).edge_index.shape[1] for x in (0.0, 0.2, 0.3)]
        [2, 0, 0]
        >>> skin_list.num_rebuilds
        2
    """

    def __init__(self, cutoff: float, skin: float = 0.5, backend: Backend = "auto") -> None:
        if not 0.0 <= skin < float("inf"):
            raise ValueError(f"'skin' must be at least 0 and finite (in A), got {skin}: pass for example 0.5.")
        check_backend(backend)
        self.cutoff = as_single_cutoff(cutoff)
        self.skin = skin
        self.backend: Backend = backend
        self.num_rebuilds = 0
        self._candidates: NeighborList | None = None
        self._structure: Structures | None = None
        self._cell: Tensor | None = None
        self._pbc: Tensor | None = None
        self._batch: Tensor | None = None
        self._allowed = 0.0

    def __call__(
        self,
        pos: Float[Tensor, "nodes 3"],
        cell: Float[Tensor, "3 3"] | Float[Tensor, "graphs 3 3"] | None = None,
        pbc: Bool[Tensor, "3"] | Bool[Tensor, "graphs 3"] | None = None,
        batch: Int64[Tensor, " nodes"] | None = None,
    ) -> NeighborList:
        pos = pos.detach()
        if self._candidates is None or self._structure is None or not self._holds(pos, cell, pbc, batch):
            self._rebuild(pos, cell, pbc, batch)
        assert self._candidates is not None
        assert self._structure is not None
        return select(self._candidates, self._structure._replace(pos=pos), self.cutoff)

    def _holds(self, pos: Tensor, cell: Tensor | None, pbc: Tensor | None, batch: Tensor | None) -> bool:
        """Whether the candidates still hold every neighbour (False for positions that are not finite)."""
        assert self._structure is not None
        old = self._structure.pos
        if (pos.shape, pos.dtype, pos.device) != (old.shape, old.dtype, old.device):
            return False
        if not (_same(cell, self._cell) and _same(pbc, self._pbc) and _same(batch, self._batch)):
            return False
        return pos.shape[0] == 0 or torch.linalg.vector_norm(pos - old, dim=1).max().item() < self._allowed

    def _rebuild(self, pos: Tensor, cell: Tensor | None, pbc: Tensor | None, batch: Tensor | None) -> None:
        self._candidates = None  # nothing stale is left behind by an error
        structure = check_structures(pos.clone(), batch, None, cell, pbc)
        reach = self.cutoff + self.skin
        self._candidates = neighbor_list(structure.pos, reach, batch=batch, cell=cell, pbc=pbc, backend=self.backend)
        self._structure = structure
        self._cell, self._pbc, self._batch = _copy(cell), _copy(pbc), _copy(batch)
        self._allowed = 0.5 * (self.skin - structure.margin(reach))
        self.num_rebuilds += 1

    def __repr__(self) -> str:
        return f"{type(self).__name__}(cutoff={self.cutoff}, skin={self.skin}, backend={self.backend!r})"


def _same(a: Tensor | None, b: Tensor | None) -> bool:
    if a is None or b is None:
        return a is b
    return a.dtype == b.dtype and a.device == b.device and torch.equal(a, b)


def _copy(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.detach().clone()
