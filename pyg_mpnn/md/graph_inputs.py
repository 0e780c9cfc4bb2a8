"""Numbers of a whole structure that a model reads, such as its charge, from an ASE structure."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyg_mpnn.models import EnergyModel

try:
    from ase import Atoms
except ImportError as error:  # the first module of the folder that needs it
    raise ImportError('pyg_mpnn.md needs ASE; install it with: pip install "pyg_mpnn[md]"') from error

__all__ = ["names_of_inputs", "stored_inputs", "graph_inputs", "numbers_of", "evaluate"]


def names_of_inputs(potential: EnergyModel) -> tuple[str, ...]:
    """Names in ``atoms.info`` that a model reads: those of its representation, and a charge for its other outputs."""
    return tuple(dict.fromkeys([*potential.graph_inputs, *(["charge"] if potential.all_outputs() else [])]))


def stored_inputs(atoms: Atoms) -> dict[str, Any]:
    """All that a structure holds by name: its ``info`` and, in a row of an ASE database, its keys."""
    return {**atoms.info.get("key_value_pairs", {}), **atoms.info}


def graph_inputs(potential: EnergyModel, atoms: Atoms, where: str = "the structure") -> dict[str, Tensor]:
    """What a model reads of a structure besides its atoms.

    Args:
        potential: the model.
        atoms: the structure; numbers are in its ``info`` (in a row of an ASE database, among its keys).
        where: what it is called in messages.

    Returns:
        float64 by name, ``(1,)`` each; without a charge that only other outputs would read.

    Raises:
        ValueError: a number is missing, or is not one finite number.
    """
    stored = stored_inputs(atoms)
    found = {}
    for name in names_of_inputs(potential):
        value = stored.get(name)
        if value is None and name not in potential.graph_inputs:
            continue
        number = np.asarray(value)
        if number.size != 1 or number.dtype.kind not in "iuf" or not np.isfinite(number).all():
            raise ValueError(
                f"'info' of {where} must have {name!r}, a number that the potential reads, got "
                f"{'none' if value is None else repr(value)}: set atoms.info[{name!r}], in an extended XYZ file write "
                f"for instance {name}=0 into the comment line"
            )
        found[name] = torch.tensor([float(number.reshape(()))], dtype=torch.float64)
    return found


def numbers_of(potential: EnergyModel, atoms: Atoms, where: str) -> dict[str, float]:
    """What :func:`graph_inputs` finds that energies need, as plain numbers; arguments and errors as there."""
    return {
        name: float(value)
        for name, value in graph_inputs(potential, atoms, where).items()
        if name in potential.graph_inputs
    }


def evaluate(
    potential: EnergyModel,
    atoms: Atoms,
    z: Tensor,
    pos: Tensor,
    *,
    fields: dict[str, Tensor],
    copies: int = 1,
    **options: Any,
) -> Any:
    """Call a model with what it reads of a structure.

    Args:
        potential: the model.
        atoms: the structure.
        z: its atomic numbers.
        pos: its positions in A.
        fields: what else there is: ``batch``, ``cell``, ``pbc``, ``edge_index``, ``shifts``.
        copies: how many graphs there are, all with the numbers of this structure.
        **options: options of the call.

    Returns:
        the :class:`~pyg_mpnn.PotentialOutput`.

    Units:
        eV, eV/A, eV/A^3.

    Raises:
        ValueError: a number that the model reads is missing.
    """
    inputs = {name: value.expand(copies) for name, value in graph_inputs(potential, atoms).items()}
    return potential(z, pos, **fields, inputs=inputs, **options)
