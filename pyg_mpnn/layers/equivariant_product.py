"""Equivariant product of two densities at the same atom."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import torch
from e3nn import o3
from jaxtyping import Float
from torch import Tensor, nn

from pyg_mpnn.arguments import check_whole
from pyg_mpnn.basis.symmetry import Symmetry


def coupling_paths(l_max: int) -> list[tuple[int, int, int]]:
    """Degrees (l1, l2, l3), none above ``l_max``, that couple l1 and l2 to l3 and keep parity.

    Args:
        l_max: largest degree, at least 0.

    Returns:
        all with ``|l1 - l2| <= l3 <= l1 + l2`` and l1 + l2 + l3 even, in order.

    Example:
        >>> coupling_paths(1)
        [(0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 0)]
    """
    return [
        (l1, l2, l3)
        for l1, l2, l3 in itertools.product(range(l_max + 1), repeat=3)
        if abs(l1 - l2) <= l3 <= l1 + l2 and (l1 + l2 + l3) % 2 == 0
    ]


class EquivariantProduct(nn.Module):
    r"""Products of two densities at an atom, coupled to densities again: one more body order, at no cost on the edges.

    .. math::
        C_{l_3 m_3, c} = \sum_{l_1 l_2} w_{l_1 l_2 l_3, c} \sqrt{2 l_3 + 1} \sum_{m_1 m_2}
        \begin{pmatrix} l_1 & l_2 & l_3 \\ m_1 & m_2 & m_3 \end{pmatrix} A_{l_1 m_1, c} \, B_{l_2 m_2, c}

    with real Wigner 3j symbols and the weights w of the paths :math:`(l_1, l_2, l_3)` of :func:`coupling_paths`, those
    with an even sum: odd ones would give pseudotensors. It has no parameters; weights may be learned or differ from
    atom to atom. Repeated, it raises the correlation order by one each time.

    Each path is summed over :math:`m_1, m_2` as it is multiplied: compiled, no product of components is stored.

    Args:
        l_max: largest degree of the factors and of the result, 0 to 11.

    Shapes:
        ``first`` and ``second`` ``(nodes, angular, channels)``, ``weights`` ``(nodes, paths, channels)``; output
        ``(nodes, angular, channels)``, angular = (l_max+1)^2.

    Units:
        the product of those of the factors.

    Raises:
        ValueError: ``l_max`` is not between 0 and 11.

    Source:
        products of the atomic basis of Drautz, Phys. Rev. B 99, 014104 (2019), section III, made equivariant and
        repeated as in Nigam, Pozdnyakov and Ceriotti, J. Chem. Phys. 153, 121101 (2020) (N-body iterative contraction);
        Wigner 3j symbols of Geiger and Smidt (e3nn), arXiv:2207.09453.

    Example:
        >>> import torch
        >>> EquivariantProduct(1)(torch.ones(2, 4, 3), torch.ones(2, 4, 3)).shape
        torch.Size([2, 4, 3])
    """

    def __init__(self, l_max: int) -> None:
        super().__init__()
        check_whole(0, l_max=l_max)
        if l_max > 11:
            raise ValueError(f"'l_max' must be between 0 and 11, got {l_max}")
        self.l_max = l_max
        self.paths = coupling_paths(l_max)
        self.tables = {
            _name(path): math.sqrt(2 * path[2] + 1) * o3.wigner_3j(*path, dtype=torch.float64)
            for path in self.paths
            if 0 not in path
        }
        for name, table in self.tables.items():
            self.register_buffer(name, table.to(torch.get_default_dtype()), persistent=False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        """Move to another device or dtype, from the numbers in float64: float32 would lose half of their digits."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, table in self.tables.items():
            setattr(self, name, table.to(getattr(self, name)))
        return self

    def symmetry(self, first: Symmetry, second: Symmetry) -> Symmetry:
        """Symmetry of the products."""
        return "equivariant" if first == second == "equivariant" else "unconstrained"

    def forward(
        self,
        first: Float[Tensor, "nodes angular channels"],
        second: Float[Tensor, "nodes angular channels"],
        weights: Float[Tensor, "nodes _ channels"] | None = None,
    ) -> Float[Tensor, "nodes angular channels"]:
        """Couple component by component and channel by channel; all weights are 1 where none are given."""
        sums: list[Tensor | None] = [None] * (self.l_max + 1)
        for index, (l1, l2, l3) in enumerate(self.paths):
            product = self._couple(first[:, l1 * l1 : (l1 + 1) ** 2], second[:, l2 * l2 : (l2 + 1) ** 2], (l1, l2, l3))
            if weights is not None:
                product = product * weights[:, index : index + 1]
            known = sums[l3]
            sums[l3] = product if known is None else known + product
        return torch.cat([total for total in sums if total is not None], dim=1)

    def _couple(self, first: Tensor, second: Tensor, path: tuple[int, int, int]) -> Tensor:
        if 0 in path[:2]:
            return first * second
        if path[2] == 0:
            return (first * second).sum(dim=1, keepdim=True) / math.sqrt(2 * path[0] + 1)
        table: Tensor = getattr(self, _name(path))
        pairs = first[:, :, None, None] * second[:, None, :, None] * table[..., None]
        return pairs.sum(dim=(1, 2))  # (nodes, 2 l3 + 1, channels)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(l_max={self.l_max})"


def _name(path: tuple[int, int, int]) -> str:
    return "coupling_" + "_".join(map(str, path))
