"""The two halves of a PaiNN layer: vectors from the neighbours, and their update at the atom."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pyg_mpnn.arguments import check_positive, check_whole
from pyg_mpnn.basis.symmetry import Symmetry, nonlinear
from pyg_mpnn.layers.edge_block import Adjacency, EdgeBlock, edge_pairs, ends
from pyg_mpnn.mlp import MLP


class VectorConvolution(EdgeBlock):
    r"""Add to scalar and vector features of an atom those of its neighbours, and their directions.

    .. math::
        h_i' = h_i + \sum_j s^0_{ij}, \quad
        v_i' = v_i + \sum_j \big(s^1_{ij} \, \hat r_{ij} + s^2_{ij} \, v_j\big), \quad
        s_{ij} = f_c(r_{ij}) \, (W b_{ij} + \beta) \odot \mathrm{MLP}(h_j)

    with the radial basis :math:`b_{ij}`, unit vectors :math:`\hat r_{ij}` from centre to neighbour, the cutoff function
    :math:`f_c`, and three gates :math:`s^0, s^1, s^2` per channel. Vectors are only scaled and added, so they rotate as
    the directions do; without vectors they start at zero.

    Args:
        channels: number of scalar features, and of vector features.
        num_radial: number of radial functions.
        activation: between the two layers of the network; SiLU where not given.

    Shapes:
        ``x`` ``(nodes, channels)``, ``edge_index`` ``(2, edges)``, ``radial`` ``(edges, radial)``, ``envelope``
        ``(edges,)``, ``unit_vec`` ``(edges, 3)``, ``vec`` ``(nodes, 3, channels)``; output: new ``x`` and ``vec``.

    Units:
        none.

    Raises:
        ValueError: a width below 1.
        TypeError: an activation that is not known to be smooth.

    Source:
        Schütt, Unke and Gastegger, ICML 2021 (PaiNN), arXiv:2102.03150, figure 2 (message block). Deviation: the cutoff
        function multiplies the filter with its bias, as in the authors' SchNetPack.

    Example:
        >>> import torch
        >>> layer = VectorConvolution(4, num_radial=3)
        >>> edge_index = torch.tensor([[1, 0], [0, 1]])
        >>> x, vec = layer(torch.ones(2, 4), edge_index, torch.ones(2, 3), torch.ones(2), torch.ones(2, 3))
        >>> x.shape, vec.shape
        (torch.Size([2, 4]), torch.Size([2, 3, 4]))
    """

    def __init__(self, channels: int, num_radial: int, activation: nn.Module | None = None) -> None:
        super().__init__(sums=True)
        check_whole(channels=channels, num_radial=num_radial)
        self.channels, self.num_radial = channels, num_radial
        self.activation = nn.SiLU() if activation is None else activation
        self.mlp = MLP([channels, channels, 3 * channels], self.activation)
        self.filter = nn.Linear(num_radial, 3 * channels)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new weights."""
        super().reset_parameters()
        self.mlp.reset_parameters()
        nn.init.xavier_uniform_(self.filter.weight)
        nn.init.zeros_(self.filter.bias)

    def symmetry(self, x: Symmetry, radial: Symmetry, unit_vec: Symmetry, vec: Symmetry) -> tuple[Symmetry, Symmetry]:
        """Symmetry of the new scalars and vectors."""
        scalars = nonlinear(x, radial)
        kept = (scalars, unit_vec, vec) == ("invariant", "equivariant", "equivariant")
        return scalars, "equivariant" if kept else "unconstrained"

    def forward(
        self,
        x: Float[Tensor, "nodes channels"] | tuple[Float[Tensor, "_ channels"], Float[Tensor, "nodes channels"]],
        edge_index: Adjacency,
        radial: Float[Tensor, "edges radial"],
        envelope: Float[Tensor, " edges"],
        unit_vec: Float[Tensor, "edges 3"],
        vec: Float[Tensor, "nodes 3 channels"]
        | tuple[Float[Tensor, "_ 3 channels"], Float[Tensor, "nodes 3 channels"]]
        | None = None,
    ) -> tuple[Float[Tensor, "nodes channels"], Float[Tensor, "nodes 3 channels"]]:
        """New scalars and vectors."""
        (source, target), (source_vec, target_vec) = ends(x), ends(vec)
        change: Tensor = self.propagate(
            edge_pairs(edge_index),
            x=self.mlp(source),
            weight=self.filter(radial) * envelope.unsqueeze(-1),
            unit_vec=unit_vec,
            vec=source_vec,
            size=(source.shape[0], target.shape[0]),
        )  # (nodes, 4, channels): the change of the scalar, then of the vector
        vectors = change[:, 1:] if target_vec is None else target_vec + change[:, 1:]
        return target + change[:, 0], vectors

    def message(self, x_j: Tensor, weight: Tensor, unit_vec: Tensor, vec_j: Tensor | None) -> Tensor:
        """One term of both sums."""
        scalar, direct, carried = torch.unflatten(x_j * weight, -1, (3, 1, self.channels)).unbind(dim=1)
        vectors = direct * unit_vec.unsqueeze(-1)  # (edges, 3, channels)
        if vec_j is not None:
            vectors = vectors + carried * vec_j
        return torch.cat([scalar, vectors], dim=1)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.channels}, {self.num_radial}, {self.activation})"


class VectorUpdate(nn.Module):
    r"""Mix scalar and vector features of each atom with each other.

    .. math::
        h_i' = h_i + a^0_i + a^2_i \, \langle U v_i, V v_i \rangle, \quad
        v_i' = v_i + a^1_i \, U v_i, \quad
        a_i = \mathrm{MLP}\Big(h_i, \sqrt{\langle V v_i, V v_i \rangle + \epsilon}\Big)

    with matrices U and V that mix the channels of the vectors, without bias, products over the three components, and
    three gates :math:`a^0, a^1, a^2` per channel. The small number :math:`\epsilon` lets the length have derivatives
    where vectors vanish; they are steep there, as :math:`\epsilon^{-1/2}`.

    Args:
        channels: number of scalar features, and of vector features.
        activation: between the two layers of the network; SiLU where not given.
        eps: :math:`\epsilon`, positive.

    Shapes:
        ``x`` ``(nodes, channels)``, ``vec`` ``(nodes, 3, channels)``; output: new ``x`` and ``vec``.

    Units:
        none.

    Raises:
        ValueError: a width below 1, or an ``eps`` that is not positive.
        TypeError: an activation that is not known to be smooth.

    Source:
        Schütt, Unke and Gastegger, ICML 2021 (PaiNN), arXiv:2102.03150, figure 2 (update block). Deviation:
        :math:`\epsilon`, as in the authors' SchNetPack.

    Example:
        >>> import torch
        >>> x, vec = VectorUpdate(4)(torch.ones(2, 4), torch.ones(2, 3, 4))
        >>> x.shape, vec.shape
        (torch.Size([2, 4]), torch.Size([2, 3, 4]))
    """

    def __init__(self, channels: int, activation: nn.Module | None = None, eps: float = 1e-8) -> None:
        super().__init__()
        check_whole(channels=channels)
        check_positive(eps=eps)  # without it forces are not finite where vectors vanish
        self.channels, self.eps = channels, float(eps)
        self.activation = nn.SiLU() if activation is None else activation
        self.mix = nn.Linear(channels, 2 * channels, bias=False)
        self.mlp = MLP([2 * channels, channels, 3 * channels], self.activation)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new weights."""
        nn.init.xavier_uniform_(self.mix.weight)
        self.mlp.reset_parameters()

    def symmetry(self, x: Symmetry, vec: Symmetry) -> tuple[Symmetry, Symmetry]:
        """Symmetry of the new scalars and vectors."""
        if vec != "equivariant" or nonlinear(x) != "invariant":
            return "unconstrained", "unconstrained"
        return "invariant", "equivariant"

    def forward(
        self, x: Float[Tensor, "nodes channels"], vec: Float[Tensor, "nodes 3 channels"]
    ) -> tuple[Float[Tensor, "nodes channels"], Float[Tensor, "nodes 3 channels"]]:
        """New scalars and vectors."""
        other, mixed = self.mix(vec).chunk(2, dim=-1)  # V v and U v, each (nodes, 3, channels)
        length = (other.square().sum(dim=1) + self.eps).sqrt()
        scalar, vector, product = self.mlp(torch.cat([x, length], dim=-1)).chunk(3, dim=-1)
        return x + scalar + product * (mixed * other).sum(dim=1), vec + vector.unsqueeze(1) * mixed

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.channels}, {self.activation}, eps={self.eps:g})"
