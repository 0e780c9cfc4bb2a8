"""What a block's output does when the atoms are rotated, and how that carries through functions."""

from __future__ import annotations

from typing import Literal, get_args

Symmetry = Literal["invariant", "equivariant", "unconstrained"]


def nonlinear(*inputs: Symmetry) -> Symmetry:
    r"""Symmetry of a general nonlinear function, such as an MLP, of inputs with the given symmetries.

    A function of invariants is invariant. A nonlinear function of the components of an equivariant quantity follows
    no law under rotation, so one input that is not invariant leaves the output unconstrained.

    Args:
        *inputs: symmetry of each input, ``"invariant"``, ``"equivariant"`` or ``"unconstrained"``.

    Returns:
        ``"invariant"`` where all inputs are, else ``"unconstrained"``.

    Raises:
        ValueError: an input is none of the three.

    Example:
        >>> nonlinear("invariant", "invariant")
        'invariant'
        >>> nonlinear("invariant", "equivariant")
        'unconstrained'
    """
    for symmetry in inputs:
        if symmetry not in get_args(Symmetry):
            raise ValueError(f"'inputs' must be among {get_args(Symmetry)}, got {symmetry!r}: pass one of these words.")
    return "invariant" if all(symmetry == "invariant" for symmetry in inputs) else "unconstrained"
