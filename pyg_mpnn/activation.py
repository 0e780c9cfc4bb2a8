"""Smooth activation functions that torch does not have."""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor, nn


class ShiftedSoftplus(nn.Module):
    r"""Softplus through the origin: a smooth ramp that is zero at zero.

    .. math:: \mathrm{ssp}(x) = \ln\big(\tfrac12 e^x + \tfrac12\big) = \ln(1 + e^x) - \ln 2

    Infinitely differentiable, as forces need it.

    Shapes:
        any, kept.

    Units:
        none.

    Source:
        Schütt et al., NeurIPS 2017 (SchNet), arXiv:1706.08566, section 4.

    Example:
        >>> import torch
        >>> ShiftedSoftplus()(torch.tensor([0.0, 1.0]))
        tensor([0.0000, 0.6201])
    """

    def forward(self, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Value at each number."""
        return nn.functional.softplus(x) - math.log(2.0)
