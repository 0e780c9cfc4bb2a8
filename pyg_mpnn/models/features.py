"""What a representation gives for each atom: invariant features after each layer and, where it has one, a density."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn


class Features(NamedTuple):
    """Features of the atoms of one or more structures.

    Shapes:
        ``x``: ``(nodes, channels)`` after each layer; ``density``: ``(nodes, angular, channels)`` after the last one,
        its components in the order of :class:`~pyg_mpnn.DirectionalBasis`.

    Units:
        none.
    """

    x: Sequence[Tensor]
    density: Tensor | None = None


def compute_features(
    representation: nn.Module, z: Tensor, edge_index: Tensor, edge_vec: Tensor, **options: Any
) -> Features:
    """Features of any representation: by its method ``features`` where it has one, else by its call, without a density.

    A subclass that writes ``forward`` alone is called, whatever ``features`` it inherits.

    Args:
        representation: as for :class:`~pyg_mpnn.Potential`.
        z: atomic numbers.
        edge_index: edges, source first.
        edge_vec: vectors from centre to neighbour in angstrom.
        **options: what else it takes: ``near``, ``memory``, or what it names in ``graph_inputs``, for each atom.

    Returns:
        the features.

    Raises:
        TypeError: the representation returns something else than a list of tensors of its width, one row an atom.
    """
    if _is_newer(representation, "features", "forward"):
        found: Features = representation.features(z, edge_index, edge_vec, **options)  # type: ignore[operator]
        return found
    x = representation(z, edge_index, edge_vec, **options)
    if isinstance(x, Tensor) or len(x) != representation.num_layers:
        kind = f"a tensor of shape {tuple(x.shape)}" if isinstance(x, Tensor) else f"{len(x)} tensors"
        raise TypeError(
            f"{type(representation).__name__}.forward must return a list of 'num_layers' ({representation.num_layers}) "
            f"tensors of the shape (nodes, out_channels), got {kind}"
        )
    width = int(representation.out_channels)  # type: ignore[arg-type]
    for number, features in enumerate(x):
        rows = features.shape[0] if features.ndim else 0  # a symbol while it is traced, which is compared with nothing
        if features.shape[1:] != (width,) or (isinstance(rows, int) and rows != len(z)):
            raise TypeError(
                f"{type(representation).__name__}.forward must return tensors of the shape (nodes, out_channels) = "
                f"({len(z)}, {width}), got {tuple(features.shape)} as number {number}"
            )
    return Features(x)


def _is_newer(part: nn.Module, name: str, other: str) -> bool:
    """Whether a method is written by the same class as another one, or by one that is derived from it."""
    if other in vars(part) or not hasattr(part, name):
        return name in vars(part)
    classes = type(part).__mro__
    first, second = (
        next((k for k, cls in enumerate(classes) if word in vars(cls)), len(classes)) for word in (name, other)
    )
    return first <= second
