"""How far two results are apart, and how far they may be."""

from __future__ import annotations

import torch
from jaxtyping import Num
from torch import Tensor

# A few hundred thousand roundings in float64, a thousand in float32: far above what a network of a few layers
# gathers, far below any mistake in a formula.
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-4}


def deviation(actual: Num[Tensor, "..."], expected: Num[Tensor, "..."]) -> float:
    r"""Largest difference of two results, relative to the largest expected value.

    .. math:: \max |a - e| \; / \; \max |e|

    with the actual values a and the expected ones e; not divided where all of e are zero.

    Args:
        actual: the result.
        expected: what it should be, of the same shape.

    Returns:
        The deviation, dimensionless; infinite where shapes differ or a value is not finite.

    Example:
        >>> deviation(torch.tensor([1.0, 4.0]), torch.tensor([1.0, 5.0]))
        0.2
    """
    if actual.shape != expected.shape:
        return float("inf")
    actual, expected = actual.detach().double(), expected.detach().double()
    if not (actual.isfinite().all() and expected.isfinite().all()):
        return float("inf")
    if actual.numel() == 0:
        return 0.0
    scale = float(expected.abs().max())
    return float((actual - expected).abs().max()) / (scale if scale > 0.0 else 1.0)


def require(
    law: str, actual: Num[Tensor, "..."], expected: Num[Tensor, "..."], tolerance: float | None = None
) -> float:
    """Raise unless two results agree.

    Args:
        law: what is broken if they do not, for the message.
        actual: the result.
        expected: what it should be.
        tolerance: largest deviation allowed; None takes 1e-10 in float64 and 1e-4 in float32, the coarser of the two
            results.

    Returns:
        The deviation.

    Raises:
        AssertionError: the deviation is above the tolerance.

    Example:
        >>> require("doubling law", torch.tensor([2.0]), 2 * torch.tensor([1.0]))
        0.0
    """
    if tolerance is None:
        tolerance = max(TOLERANCE.get(result.dtype, 0.0) for result in (actual, expected))
    found = deviation(actual, expected)
    if not found <= tolerance:
        shapes = f"; shapes {tuple(actual.shape)} and {tuple(expected.shape)}" if actual.shape != expected.shape else ""
        raise AssertionError(f"{law} broken: relative deviation {found:.2e}, allowed {tolerance:.0e}{shapes}")
    return found
