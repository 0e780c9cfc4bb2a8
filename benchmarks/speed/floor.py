"""The floor: the matrix products of a call alone, at the shapes and memory layouts that the model gives them.

The products are recorded while the model runs eagerly, below autograd, so that those of the forces (and of the weights'
gradients in training) are among them. `MatrixProducts` then does the same products one after the other, operands and
results allocated beforehand and warm in the cache: no sum over neighbours, no activation, nothing moved. Where products
are small, the microsecond that calling each of them takes is part of the floor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

ATEN = torch.ops.aten
# Where the two factors stand among the arguments, and the product to time.
PRODUCTS = {
    ATEN.mm.default: (0, torch.mm),
    ATEN.addmm.default: (1, torch.mm),
    ATEN.bmm.default: (0, torch.bmm),
    ATEN.baddbmm.default: (1, torch.bmm),
}


class MatrixProducts:
    """The matrix products of a call, to be done again alone.

    Args:
        call: what to record; it runs once.
    """

    def __init__(self, call: Callable[[], Any]) -> None:
        with _Recorder() as recorder:
            call()
        self.flops = recorder.flops
        operands: dict[tuple[Any, ...], tuple[Callable[..., Tensor], Tensor, Tensor, Tensor]] = {}
        for key in recorder.keys:
            if key not in operands:
                product, *layouts = key
                left, right = (torch.randn(span).as_strided(shape, stride) for shape, stride, span in layouts)
                operands[key] = (product, left, right, product(left, right))
        self.sequence = [operands[key] for key in recorder.keys]

    def __call__(self) -> None:
        """Do them all."""
        for product, left, right, out in self.sequence:
            product(left, right, out=out)


class _Recorder(TorchDispatchMode):
    """Notes operation, shapes and strides of every matrix product."""

    def __init__(self) -> None:
        super().__init__()
        self.keys: list[tuple[Any, ...]] = []
        self.flops = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in PRODUCTS:
            first, product = PRODUCTS[func]
            left, right = args[first : first + 2]
            self.keys.append((product, _layout(left), _layout(right)))
            self.flops += 2 * left.numel() * right.shape[-1]
        return func(*args, **(kwargs or {}))


def _layout(factor: Tensor) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """Shape, strides, and how many numbers they reach over."""
    span = 1 + sum((size - 1) * stride for size, stride in zip(factor.shape, factor.stride(), strict=True))
    return tuple(factor.shape), tuple(factor.stride()), span
