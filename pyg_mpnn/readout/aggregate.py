"""From atoms to structures: sums, means and learned aggregations over the atoms of each graph."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.index import ptr2index
from torch_geometric.nn import Aggregation

from pyg_mpnn.arguments import check_whole
from pyg_mpnn.scatter import scatter_max, scatter_sum


class Readout(Aggregation, ABC):
    r"""Interface: one value for each graph from a value for each atom.

    A PyG ``Aggregation``, called as ``readout(x, index, dim_size=num_graphs)``. ``extensive`` says whether the result
    of two separate structures together is the sum of both; energies accept only such readouts. Implementations write
    :meth:`atom_values`, which weights the atoms; the sum over the atoms of a graph follows.

    Shapes:
        ``x`` ``(nodes, channels)``, ``index`` ``(nodes,)``, ``features`` ``(nodes, in_channels)``; output
        ``(graphs, channels)``. Atoms are along the axis ``dim`` of ``x``, by PyG's default the last but one, and
        graphs take its place.

    Raises:
        ValueError: when called: an ``index`` that does not hold one graph for each atom, learned weights without
            features to learn from.
    """

    extensive: bool

    @abstractmethod
    def atom_values(self, x: Tensor, index: Tensor, num_graphs: int, features: Tensor | None = None) -> Tensor:
        """Weighted value of each atom; their sum over a graph is the result."""

    def forward(
        self,
        x: Tensor,
        index: Tensor | None = None,
        ptr: Tensor | None = None,
        dim_size: int | None = None,
        dim: int = 0,
        features: Tensor | None = None,
    ) -> Tensor:
        """Sum the weighted values of the atoms of each graph.

        Args:
            x: value of each atom.
            index: graph of each atom; without ``index`` and ``ptr`` all are one graph.
            ptr: first atom of each graph and the end, in place of ``index``.
            dim_size: number of graphs; without it empty graphs at the end are not seen.
            dim: axis of the atoms in ``x``.
            features: what learned weights depend on; ``x`` where not given.

        Returns:
            one row for each graph.
        """
        rows = x.movedim(dim, 0)  # atoms first
        if index is None and ptr is not None:
            index, dim_size = ptr2index(ptr), len(ptr) - 1
        if index is None:
            index = torch.zeros(rows.shape[0], dtype=torch.long, device=x.device)
            dim_size = 1
        if dim_size is None:
            dim_size = int(index.max()) + 1 if len(index) else 0
        if index.dim() != 1 or index.shape[0] != rows.shape[0]:
            raise ValueError(
                f"'index' must hold the graph of each of the {rows.shape[0]} atoms along 'dim' {dim} of 'x', got shape "
                f"{tuple(index.shape)}: name the axis of the atoms by 'dim' (PyG's default is the last but one)"
            )
        return scatter_sum(self.atom_values(rows, index, dim_size, features), index, dim_size).movedim(0, dim)


class SumReadout(Readout):
    r"""Sum over the atoms of a graph; extensive.

    .. math:: y = \sum_i x_i

    with the value :math:`x_i` of atom i.

    Shapes:
        ``x`` ``(nodes, channels)``, ``index`` ``(nodes,)``; output ``(graphs, channels)``.

    Units:
        those of ``x``.

    Source:
        Behler and Parrinello, Phys. Rev. Lett. 98, 146401 (2007), Eq. (1).

    Example:
        >>> SumReadout()(torch.ones(3, 1), torch.tensor([0, 0, 1]), dim_size=2).flatten()
        tensor([2., 1.])
    """

    extensive = True

    def atom_values(
        self, x: Float[Tensor, "nodes *channels"], index: Tensor, num_graphs: int, features: Tensor | None = None
    ) -> Float[Tensor, "nodes *channels"]:
        """The values themselves."""
        return x


class MeanReadout(Readout):
    r"""Mean over the atoms of a graph; intensive, so refused for energies.

    .. math:: y = \frac{1}{N} \sum_i x_i

    with the value :math:`x_i` of atom i of N. An empty graph gives zero.

    Shapes:
        ``x`` ``(nodes, channels)``, ``index`` ``(nodes,)``; output ``(graphs, channels)``.

    Units:
        those of ``x``.

    Source:
        textbook.

    Example:
        >>> MeanReadout()(torch.ones(3, 1), torch.tensor([0, 0, 1]), dim_size=2).flatten()
        tensor([1., 1.])
    """

    extensive = False

    def atom_values(
        self, x: Float[Tensor, "nodes *channels"], index: Tensor, num_graphs: int, features: Tensor | None = None
    ) -> Float[Tensor, "nodes *channels"]:
        """Values divided by the number of atoms of their graph."""
        ones = x.new_ones(x.shape[0], *(1 for _ in x.shape[1:]))
        return x / scatter_sum(ones, index, num_graphs)[index]


class LearnedSumReadout(Readout):
    r"""Sum over the atoms of a graph with a learned weight for each atom; extensive.

    .. math:: y = \sum_i \mathrm{sigmoid}(\langle w, h_i \rangle + b) \, x_i

    with the value :math:`x_i` and the features :math:`h_i` of atom i: the weight of an atom does not depend on the
    others.

    Args:
        in_channels: width of the features.

    Shapes:
        ``x`` ``(nodes, channels)``, ``index`` ``(nodes,)``, ``features`` ``(nodes, in_channels)``; output
        ``(graphs, channels)``.

    Units:
        those of ``x``.

    Raises:
        ValueError: ``in_channels`` below 1.

    Source:
        gate of Li et al., ICLR 2016, arXiv:1511.05493, Eq. (7).

    Example:
        >>> readout = LearnedSumReadout(4)
        >>> readout(torch.ones(3, 1), torch.tensor([0, 0, 1]), dim_size=2, features=torch.ones(3, 4)).shape
        torch.Size([2, 1])
    """

    extensive = True

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.gate = _gate(in_channels)

    def reset_parameters(self) -> None:
        """Draw new weights."""
        self.gate.reset_parameters()

    def atom_values(
        self, x: Float[Tensor, "nodes *channels"], index: Tensor, num_graphs: int, features: Tensor | None = None
    ) -> Float[Tensor, "nodes *channels"]:
        """Values times their gates."""
        gate: Tensor = self.gate(_features(x, features)).sigmoid()
        return x * gate.reshape(-1, *(1 for _ in x.shape[1:]))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.in_channels})"


class SoftmaxReadout(Readout):
    r"""Mean over the atoms of a graph with learned weights that sum to one; intensive, so refused for energies.

    .. math:: y = \sum_i \frac{e^{s_i - M}}{\sum_k e^{s_k - M}} \, x_i, \quad s_i = \langle w, h_i \rangle + b

    with the value :math:`x_i` and the features :math:`h_i` of atom i, and :math:`M = \max_k s_k` without gradient.

    Args:
        in_channels: width of the features.

    Shapes:
        ``x`` ``(nodes, channels)``, ``index`` ``(nodes,)``, ``features`` ``(nodes, in_channels)``; output
        ``(graphs, channels)``.

    Units:
        those of ``x``.

    Raises:
        ValueError: ``in_channels`` below 1.

    Source:
        Li et al., ICML 2019, arXiv:1904.12787, Eq. (3), as PyG's ``AttentionalAggregation``.

    Example:
        >>> readout = SoftmaxReadout(4)
        >>> readout(torch.ones(3, 1), torch.tensor([0, 0, 1]), dim_size=2, features=torch.ones(3, 4)).flatten().tolist()
        [1.0, 1.0]
    """

    extensive = False

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.gate = _gate(in_channels)

    def reset_parameters(self) -> None:
        """Draw new weights."""
        self.gate.reset_parameters()

    def atom_values(
        self, x: Float[Tensor, "nodes *channels"], index: Tensor, num_graphs: int, features: Tensor | None = None
    ) -> Float[Tensor, "nodes *channels"]:
        """Values times their softmax weights."""
        score: Tensor = self.gate(_features(x, features))
        weight = (score - scatter_max(score.detach(), index, num_graphs)[index]).exp()
        weight = weight / scatter_sum(weight, index, num_graphs)[index]
        return x * weight.reshape(-1, *(1 for _ in x.shape[1:]))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.in_channels})"


def _gate(in_channels: int) -> nn.Linear:
    check_whole(in_channels=in_channels)
    return nn.Linear(in_channels, 1)


def _features(x: Tensor, features: Tensor | None) -> Tensor:
    """What the weights of the atoms depend on, a row for each."""
    found = x if features is None else features
    if found.dim() != 2 or found.shape[0] != x.shape[0]:
        raise ValueError(
            f"'features' must hold one row for each of the {x.shape[0]} atoms, got shape {tuple(found.shape)}"
            + (" of 'x' in their place" if features is None else "")
        )
    return found


def check_atoms(q: Tensor, pos: Tensor, batch: Tensor) -> None:
    """Raise if values, positions and graphs of atoms do not fit: broadcasting would sum over pairs of atoms.

    Args:
        q: value of each atom.
        pos: position of each atom.
        batch: graph of each atom.
    """
    if q.dim() != 1 or pos.shape != (q.shape[0], 3) or batch.shape != q.shape:
        raise ValueError(
            "'q' must hold one number for each atom, 'pos' three and 'batch' one, got shapes "
            f"{tuple(q.shape)}, {tuple(pos.shape)} and {tuple(batch.shape)}"
        )
