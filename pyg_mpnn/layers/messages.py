"""Messages of one scale: learned features, edge network, attention and cutoff in one."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pyg_mpnn.arguments import check_positive, check_whole
from pyg_mpnn.basis.symmetry import Symmetry, nonlinear
from pyg_mpnn.layers.attention import Attention
from pyg_mpnn.layers.edge_block import Adjacency, NodeDensity, NodeFeatures, edge_pairs
from pyg_mpnn.layers.edge_mlp import EdgeMLP
from pyg_mpnn.layers.learned_features import LearnedFeatures


class Messages(nn.Module):
    r"""Messages of one scale, ready to be summed: every one carries the cutoff function.

    .. math::
        m_{ij} = \frac{1}{\nu} \, f_c(r_{ij}) \, \alpha_{ij} \, (V b_{ij}) \odot \mathrm{EdgeMLP}(h_i, h_j, RY_{ij})

    with learned features :math:`RY`, an optional attention :math:`\alpha`, a linear function :math:`V` of the radial
    basis :math:`b` without bias, the cutoff function :math:`f_c` and a fixed number :math:`\nu`.

    Args:
        features: learned features of the edges.
        edge_mlp: network that makes the message.
        num_radial: number of radial functions.
        attention: weights of the messages; ``None`` for none, at no cost.
        nu: number that divides the messages, positive; near the effective number of neighbours.

    Shapes:
        ``x`` ``(nodes, in_channels)``, ``edge_index`` ``(2, edges)``, ``radial`` ``(edges, radial)``, ``envelope``
        ``(edges,)``, ``sphere`` ``(edges, angular)``, ``density`` ``(nodes, angular, channels)``; output
        ``(edges, edge_mlp.out_channels)``.

    Units:
        none.

    Raises:
        ValueError: widths of ``features``, ``edge_mlp`` and ``attention`` that do not fit, or ``nu`` not positive.
        TypeError: an ``attention`` that is none, or when called one that returns another shape.

    Source:
        own design, after Gilmer et al., ICML 2017, arXiv:1704.01212, and the continuous filters of SchNet,
        arXiv:1706.08566.

    Example:
        >>> import torch
        >>> from pyg_mpnn import EdgeMLP, RadialFeatures
        >>> layer = Messages(RadialFeatures(3, out_channels=4), EdgeMLP(8, 4, 6, 5), num_radial=3)
        >>> layer(torch.ones(2, 8), torch.tensor([[1, 0], [0, 1]]), torch.ones(2, 3), torch.ones(2)).shape
        torch.Size([2, 5])
    """

    nu: Tensor

    def __init__(
        self,
        features: LearnedFeatures,
        edge_mlp: EdgeMLP,
        num_radial: int,
        *,
        attention: Attention | None = None,
        nu: float = 1.0,
    ) -> None:
        super().__init__()
        if features.out_channels != edge_mlp.edge_dim:
            raise ValueError(
                f"'edge_mlp' must take the features' {features.out_channels} channels as edge_dim, got "
                f"{edge_mlp.edge_dim}"
            )
        if attention is not None and not isinstance(attention, Attention):
            raise TypeError(f"'attention' must be a pyg_mpnn.Attention, got {type(attention).__name__}")
        if attention is not None and attention.edge_dim != edge_mlp.out_channels:
            raise ValueError(
                f"'attention' must take the message's {edge_mlp.out_channels} channels as edge_dim, got "
                f"{attention.edge_dim}"
            )
        check_whole(num_radial=num_radial)
        check_positive(nu=nu)
        self.features, self.edge_mlp, self.attention, self.num_radial = features, edge_mlp, attention, num_radial
        self.out_channels = edge_mlp.out_channels
        self.register_buffer("nu", torch.tensor(float(nu)))
        self.filter = nn.Linear(num_radial, self.out_channels, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new weights in every part."""
        self.features.reset_parameters()
        self.edge_mlp.reset_parameters()
        if self.attention is not None:
            self.attention.reset_parameters()
        nn.init.xavier_uniform_(self.filter.weight)

    def symmetry(self, x: Symmetry, radial: Symmetry, sphere: Symmetry, density: Symmetry) -> Symmetry:
        """Symmetry of the messages."""
        message = self.edge_mlp.symmetry(x, self.features.symmetry(density, radial, sphere))
        return nonlinear(message if self.attention is None else self.attention.symmetry(x, message), message, radial)

    def forward(
        self,
        x: NodeFeatures,
        edge_index: Adjacency,
        radial: Float[Tensor, "edges radial"],
        envelope: Float[Tensor, " edges"],
        sphere: Float[Tensor, "edges angular"] | None = None,
        density: NodeDensity | None = None,
    ) -> Float[Tensor, "edges _"]:
        """Weighted message of each edge."""
        edge_index = edge_pairs(edge_index)
        message = self.edge_mlp(x, edge_index, self.features(density, edge_index, radial, sphere))
        weighted: Tensor = message * self.filter(radial) * (envelope / self.nu).unsqueeze(-1)
        if self.attention is None:
            return weighted
        alpha: Tensor = self.attention(x, edge_index, message, envelope)
        if alpha.shape[1:] != (self.attention.heads,):
            raise TypeError(
                f"{type(self.attention).__name__}.forward must return the weight of each edge in each head, a tensor "
                f"of the shape (edges, heads) = ({len(message)}, {self.attention.heads}), got {tuple(alpha.shape)}"
            )
        per_head = torch.unflatten(weighted, -1, (alpha.shape[1], -1))  # (edges, heads, channels)
        return (per_head * alpha.unsqueeze(-1)).flatten(1)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.features}, {self.edge_mlp}, attention={self.attention})"
