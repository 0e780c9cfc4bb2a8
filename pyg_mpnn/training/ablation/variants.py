"""The potentials that are compared: a reference, and others that differ from it in one block."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pyg_mpnn.models.mpnn import MPNN
from pyg_mpnn.models.sizes import SIZES

REFERENCE = "reference"
BLOCKS = (
    "attention",
    "scales",
    "directions",
    "l_max",
    "invariants",
    "num_layers",
    "edge_dim",
    "hidden_channels",
    "channels",
)
"""What is varied, in the order of the tables."""
_WIDTHS = ("edge_dim", "hidden_channels", "channels")
_SCALES = {1: (1.0,), 2: (0.6, 1.0), 3: (0.4, 0.7, 1.0)}  # parts of the largest cutoff: 3 + 5 and 2 + 3.5 + 5 A


@dataclass(frozen=True)
class Variant:
    """One potential of the comparison.

    Args:
        name: What it is called, unique.
        block: Which block differs from the reference; ``reference`` for that itself.
        cutoffs: Cutoff radii.
        model: Arguments of the potential beside size and cutoff.

    Units:
        ``cutoffs`` in A.
    """

    name: str
    block: str
    cutoffs: tuple[float, ...]
    model: dict[str, Any] = field(default_factory=dict)

    @property
    def slug(self) -> str:
        """The name as part of a file name."""
        letters = "".join(letter if letter.isalnum() or letter in "._" else "-" for letter in self.name)
        return "-".join(part for part in letters.split("-") if part)


def make_variants(
    size: str, cutoff: float, only: Sequence[str] | None = None, model: Mapping[str, Any] | None = None
) -> list[Variant]:
    """The reference, then the variants of each block.

    Attention none, sigmoid, softmax; one, two and three scales; directions contracted, raw (with random rotations in
    training) and radial; l_max 1, 2, 3; invariants of the receiver or of both ends; a layer less and more; each width
    halved and doubled.

    Args:
        size: Size of the reference.
        cutoff: Its cutoff, the largest one of all variants, in A.
        only: Blocks to vary; all of them without it.
        model: Arguments of the potential in which the reference differs from its size, and all variants with it.

    Returns:
        The reference first.

    Raises:
        ValueError: A block is unknown, or the size is.

    Example:
        >>> [variant.name for variant in make_variants("small", 5.0, ["l_max"])]
        ['reference', 'l_max 1', 'l_max 3']
    """
    if size not in SIZES:
        raise ValueError(f"'size' must be one of {tuple(SIZES)}, got {size!r}.")
    unknown = [block for block in only or () if block not in BLOCKS]
    if unknown:
        raise ValueError(f"'only' must hold blocks of {', '.join(BLOCKS)}, got {', '.join(map(repr, unknown))}.")
    defaults = {name: parameter.default for name, parameter in inspect.signature(MPNN).parameters.items()}
    own = dict(model or {})
    reference = defaults | SIZES[size] | own
    found = [Variant(REFERENCE, REFERENCE, (float(cutoff),), own)]
    for block in BLOCKS:
        if not only or block in only:
            found += [
                replace(variant, model=own | variant.model) for variant in _of_block(block, float(cutoff), reference)
            ]
    return found


def _of_block(block: str, cutoff: float, reference: dict[str, Any]) -> list[Variant]:
    if block == "scales":
        radii = [tuple(round(part * cutoff, 6) for part in parts) for count, parts in _SCALES.items() if count > 1]
        return [Variant(f"scales {' + '.join(f'{r:g}' for r in own)} A", block, own) for own in radii]
    variants = []
    for value in _values(block, reference):
        if value != reference[block]:
            model = {block: value}
            if value == "raw":
                model["symmetry"] = "unconstrained"
            label = " + ".join(value) if isinstance(value, tuple) else "none" if value is None else value
            note = " with random rotations" if value == "raw" else ""
            variants.append(Variant(f"{block} {label}{note}", block, (cutoff,), model))
    return variants


def _values(block: str, reference: dict[str, Any]) -> tuple[Any, ...]:
    if block in _WIDTHS:
        return reference[block] // 2, 2 * reference[block]
    if block == "num_layers":
        return tuple(count for count in (reference[block] - 1, reference[block] + 1) if count > 0)
    return {
        "attention": (None, "sigmoid", "softmax"),
        "directions": ("contracted", "raw", "radial"),
        "l_max": (1, 2, 3),
        "invariants": (("receiver",), ("receiver", "sender")),
    }[block]
