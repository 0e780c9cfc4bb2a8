"""Scalars and vectors of an atom, mixed with each other: the update of PaiNN."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pyg_mpnn.arguments import check_positive, check_whole
from pyg_mpnn.basis.symmetry import Symmetry, nonlinear
from pyg_mpnn.mlp import MLP


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
