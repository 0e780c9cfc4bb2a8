"""The one dense network of the package."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from pyg_mpnn.activation import ShiftedSoftplus
from pyg_mpnn.arguments import check_whole

_SMOOTH_ACTIVATIONS = (nn.SiLU, nn.Tanh, nn.Sigmoid, nn.Softplus, ShiftedSoftplus, nn.GELU, nn.Mish, nn.Identity)


class MLP(nn.Module):
    r"""Dense network with smooth activations between its linear layers.

    .. math:: \mathrm{MLP}(x) = W_n \, \sigma( \ldots \sigma(W_1 x + b_1) \ldots ) + b_n

    with weights :math:`W_k`, biases :math:`b_k` and a :math:`C^\infty` activation :math:`\sigma`, because forces are
    derivatives of the network and are trained through second derivatives.

    Args:
        channels: layer widths, input first and output last; two widths make one linear layer.
        activation: module applied between the layers, an infinitely differentiable one of torch's, or
            :class:`~pyg_mpnn.ShiftedSoftplus`.
        bias: whether the linear layers have a bias.
        activate_last: whether the activation also follows the last layer.

    Shapes:
        input ``(nodes or edges, channels[0])``, output ``(nodes or edges, channels[-1])``; leading axes are free.

    Units:
        none.

    Raises:
        ValueError: fewer than two widths, or a width below one.
        TypeError: an activation that has a kink or is not known to be smooth.

    Source:
        textbook; SiLU from Elfwing, Uchibe and Doya, Neural Networks 107 (2018), arXiv:1702.03118.

    Example:
        >>> import torch
        >>> MLP([4, 8, 2])(torch.ones(3, 4)).shape
        torch.Size([3, 2])
    """

    def __init__(
        self,
        channels: Sequence[int],
        activation: nn.Module | None = None,
        *,
        bias: bool = True,
        activate_last: bool = False,
    ) -> None:
        super().__init__()
        if len(channels) < 2:
            raise ValueError(f"'channels' must hold two or more widths, got {list(channels)}")
        for width in channels:
            check_whole(channels=width)
        activation = nn.SiLU() if activation is None else activation
        if not isinstance(activation, _SMOOTH_ACTIVATIONS):
            names = ", ".join(kind.__name__ for kind in _SMOOTH_ACTIVATIONS)
            raise TypeError(
                f"'activation' must be infinitely differentiable (one of {names}), because forces are its derivative; "
                f"got {type(activation).__name__}"
            )
        self.channels = tuple(channels)
        self.activation, self.bias = activation, bias
        self.activate_last = activate_last
        self.linears = nn.ModuleList(
            nn.Linear(width_in, width_out, bias=bias) for width_in, width_out in pairwise(channels)
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new weights: uniform Glorot, biases zero."""
        for linear in self.linears:
            nn.init.xavier_uniform_(linear.weight)  # type: ignore[arg-type]
            if linear.bias is not None:
                nn.init.zeros_(linear.bias)  # type: ignore[arg-type]

    def forward(self, x: Float[Tensor, "... _"]) -> Float[Tensor, "... _"]:
        """Apply the layers in turn."""
        last = len(self.linears) - 1
        for depth, linear in enumerate(self.linears):
            x = linear(x)
            if depth < last or self.activate_last:
                x = self.activation(x)
        return x

    def hidden(self, x: Float[Tensor, "... _"]) -> Float[Tensor, "... _"]:
        """Input of the last linear layer, of which the output is a linear function where nothing follows it.

        Args:
            x: as of :meth:`forward`.

        Returns:
            ``(..., channels[-2])``.
        """
        for linear in list(self.linears)[:-1]:
            x = self.activation(linear(x))
        return x

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self.channels)}, {self.activation})"
