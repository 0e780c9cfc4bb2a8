"""The floor: the matrix products of a call alone, at the shapes and memory layouts that the model gives them.

The products are recorded while the model runs eagerly, below autograd, so that those of the forces (and of the weights'
gradients in training) are among them. `MatrixProducts` then does the same products one after the other on three buffers
allocated beforehand (left, right, result): no sum over neighbours, no activation, no allocation. Where products are
small, the microsecond that calling each of them takes is part of the floor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

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


class Layout(NamedTuple):
    """How a matrix, or a stack of them, lies in memory."""

    shape: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def span(self) -> int:
        """Numbers from the first element to the last."""
        return 1 + sum((size - 1) * stride for size, stride in zip(self.shape, self.stride, strict=True))


class MatrixProducts:
    """The matrix products of a call, to be done again alone.

    Args:
        call: what to record; it runs once.
    """

    def __init__(self, call: Callable[[], Any]) -> None:
        with _Recorder() as recorder:
            call()
        self.flops = recorder.flops
        layouts = list(zip(*recorder.layouts, strict=True))  # of all left factors, right factors, results
        buffers = [torch.randn(max(layout.span for layout in side)) for side in layouts]
        self.sequence = [
            (product, *(buffer.as_strided(*layout) for buffer, layout in zip(buffers, own, strict=True)))
            for product, own in zip(recorder.products, recorder.layouts, strict=True)
        ]

    def __call__(self) -> None:
        """Do them all."""
        for product, left, right, out in self.sequence:
            product(left, right, out=out)


class _Recorder(TorchDispatchMode):
    """Notes operation and layouts of every matrix product."""

    def __init__(self) -> None:
        super().__init__()
        self.products: list[Callable[..., Tensor]] = []
        self.layouts: list[tuple[Layout, Layout, Layout]] = []
        self.flops = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if func in PRODUCTS:
            first, product = PRODUCTS[func]
            left, right = args[first : first + 2]
            self.products.append(product)
            self.layouts.append((_layout(left), _layout(right), _layout(out)))
            self.flops += 2 * left.numel() * right.shape[-1]
        return out


def _layout(matrix: Tensor) -> Layout:
    return Layout(tuple(matrix.shape), tuple(matrix.stride()))
