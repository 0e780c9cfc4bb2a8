"""PyG's own SchNet, DimeNet++ and ViSNet, small and seeded, as nn.Modules called as `model(z, pos, batch)`.

The models' code runs as PyG ships it (2.8.1). What they cannot do without pyg-lib and torch-sparse, which the package
index does not have as wheels, is handed to them: the edges, and for DimeNet++ the triplets.

- `max_num_neighbors=32`, the default of all three models, is torch-cluster's `radius_graph` with that bound, which was
  PyG's own until 2.7. On a CPU it keeps the 32 neighbours that it happens to meet first (31 for ViSNet, which asks for
  loops: the atom itself counts).
- `max_num_neighbors=None` is `pyg_mpnn.neighbor_list`: every pair. It raises ValueError for coincident atoms, where
  torch-cluster returns an edge of length zero.

SchNet takes the edges through its official hook, `interaction_graph`. In the other two, the names `radius_graph` and
`triplets` of the model's module are replaced while `forward` runs, and only then (not thread-safe).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from unittest import mock

import torch
import torch_cluster
from torch import Tensor, nn
from torch_geometric.nn import DimeNetPlusPlus, SchNet, ViSNet

from pyg_mpnn import neighbor_list


def schnet(
    *,
    hidden_channels: int = 64,
    num_interactions: int = 3,
    cutoff: float = 5.0,
    max_num_neighbors: int | None = 32,
    bias_std: float = 0.1,
    seed: int = 0,
) -> nn.Module:
    """PyG's SchNet; energies (graphs, 1)."""
    with _seeded(seed):
        model = SchNet(
            hidden_channels=hidden_channels,
            num_filters=hidden_channels,
            num_interactions=num_interactions,
            cutoff=cutoff,
            interaction_graph=InteractionGraph(cutoff, Edges(max_num_neighbors)),
        )
        return _with_biases(model, bias_std)


def dimenet_plus_plus(
    *,
    hidden_channels: int = 32,
    num_blocks: int = 2,
    cutoff: float = 5.0,
    max_num_neighbors: int | None = 32,
    bias_std: float = 0.1,
    seed: int = 0,
) -> nn.Module:
    """PyG's DimeNet++, last layers not zero as by default (nothing would be left to check); energies (graphs, 1)."""
    with _seeded(seed):
        model = DimeNetPlusPlus(
            hidden_channels=hidden_channels,
            out_channels=1,
            num_blocks=num_blocks,
            int_emb_size=hidden_channels // 2,
            basis_emb_size=8,
            out_emb_channels=2 * hidden_channels,
            num_spherical=7,
            num_radial=6,
            cutoff=cutoff,
            output_initializer="glorot_orthogonal",
        )
        return HandedEdges(_with_biases(model, bias_std), Edges(max_num_neighbors))


def visnet(
    *,
    hidden_channels: int = 64,
    num_layers: int = 2,
    lmax: int = 1,
    vecnorm_type: str | None = None,
    vertex: bool = False,
    cutoff: float = 5.0,
    max_num_neighbors: int | None = 32,
    bias_std: float = 0.1,
    seed: int = 0,
    mend_float64: bool = False,
) -> nn.Module:
    """PyG's ViSNet; energies (graphs, 1). In float64 it raises RuntimeError unless `mend_float64` (see HandedEdges)."""
    with _seeded(seed):
        model = ViSNet(
            lmax=lmax,
            vecnorm_type=vecnorm_type,
            num_layers=num_layers,
            hidden_channels=hidden_channels,
            vertex=vertex,
            cutoff=cutoff,
        )
        return HandedEdges(_with_biases(model, bias_std), Edges(max_num_neighbors), mend_float64)


class HandedEdges(nn.Module):
    """A PyG model whose module-level `radius_graph` (and `triplets`) are replaced while it runs.

    With `mend_float64` torch's default dtype is that of the positions meanwhile: ViSNet allocates its distances in the
    default dtype (visnet.py, line 332), so that `model.double()` alone cannot be called.
    """

    def __init__(self, model: nn.Module, radius_graph: Callable[..., Tensor], mend_float64: bool = False) -> None:
        super().__init__()
        self.model = model
        self.radius_graph = radius_graph
        self.mend_float64 = mend_float64

    def forward(self, z: Tensor, pos: Tensor, batch: Tensor | None = None) -> Tensor:
        names: dict[str, Callable] = {"radius_graph": self.radius_graph}
        if isinstance(self.model, DimeNetPlusPlus):
            names["triplets"] = triplets
        batch = torch.zeros_like(z) if batch is None else batch
        with (
            mock.patch.multiple(f"torch_geometric.nn.models.{_MODULES[type(self.model)]}", **names),
            _default_dtype(pos.dtype) if self.mend_float64 else nullcontext(),
        ):
            out = self.model(z, pos, batch)
        return out[0] if isinstance(out, tuple) else out  # ViSNet: (energies, None)


class InteractionGraph(nn.Module):
    """Edges and their lengths for SchNet's hook `interaction_graph`, as in PyG's `RadiusInteractionGraph`."""

    def __init__(self, cutoff: float, radius_graph: Callable[..., Tensor]) -> None:
        super().__init__()
        self.cutoff = cutoff
        self.radius_graph = radius_graph

    def forward(self, pos: Tensor, batch: Tensor) -> tuple[Tensor, Tensor]:
        edge_index = self.radius_graph(pos, r=self.cutoff, batch=batch)
        row, col = edge_index
        return edge_index, (pos[row] - pos[col]).norm(dim=-1)


class Edges:
    """A `radius_graph` with PyG's signature: torch-cluster's with this bound, or every pair where the bound is None."""

    def __init__(self, max_num_neighbors: int | None) -> None:
        self.max_num_neighbors = max_num_neighbors

    def __call__(self, x: Tensor, r: float, batch: Tensor, loop: bool = False, **ignored: int) -> Tensor:
        x = x.detach()
        if self.max_num_neighbors is not None:
            return torch_cluster.radius_graph(x, r, batch, loop, self.max_num_neighbors)
        edge_index = neighbor_list(x, r, batch=batch).edge_index
        if not loop:
            return edge_index
        atoms = torch.arange(x.shape[0], device=x.device)
        return torch.cat([edge_index, atoms.expand(2, -1)], dim=1)


def triplets(edge_index: Tensor, num_nodes: int) -> tuple[Tensor, ...]:
    """DimeNet's `triplets` k -> j -> i, k != i, without torch-sparse: same results in the same order."""
    row, col = edge_index  # j -> i
    by_target = (col * num_nodes + row).argsort(stable=True)  # edges k -> j, by j and then k
    degree = col.bincount(minlength=num_nodes)
    count = degree[row]  # edges k -> j for every edge j -> i
    idx_ji = torch.arange(row.numel(), device=row.device).repeat_interleave(count)
    rank = torch.arange(idx_ji.numel(), device=row.device) - (count.cumsum(0) - count)[idx_ji]
    idx_kj = by_target[(degree.cumsum(0) - degree)[row[idx_ji]] + rank]
    mask = col[idx_ji] != row[idx_kj]
    idx_kj, idx_ji = idx_kj[mask], idx_ji[mask]
    return col, row, col[idx_ji], row[idx_ji], row[idx_kj], idx_kj, idx_ji


_MODULES = {DimeNetPlusPlus: "dimenet", ViSNet: "visnet"}


def _with_biases(model: nn.Module, std: float) -> nn.Module:
    """The model with random numbers added to its biases: they start at zero and training does not keep them there."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter += std * torch.randn_like(parameter)
    return model


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
