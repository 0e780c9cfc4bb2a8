"""Laws of other outputs than the energy, such as dipoles and charges, by what the model declares of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_mpnn.testing.law import law
from pyg_mpnn.testing.probes import ROUNDING, atoms, opened, rattled, worst
from pyg_mpnn.testing.result import Check
from pyg_mpnn.testing.subject import Subject

_FAR = 100.0  # A
_COPIES = 3


def declared_outputs(model: Any) -> dict[str, Any]:
    """What a model gives besides energy, forces and stress: its method ``all_outputs`` or its attribute ``outputs``.

    Args:
        model: the potential.

    Returns:
        by name an object that declares ``level`` (``"structure"`` or ``"atom"``), ``shape``, ``symmetry``
        (``"equivariant"`` where each axis of ``shape`` turns with the structure, else ``"invariant"``), ``extensive``
        and ``unit``, as :class:`pyg_mpnn.Output` does. What molecules have no value of (``molecules = False``) is left
        out.
    """
    found = model.all_outputs() if hasattr(model, "all_outputs") else getattr(model, "outputs", {})
    return {name: output for name, output in found.items() if getattr(output, "molecules", True)}


@law()
def outputs_rotation(subject: Subject, structures: Sequence[Data]) -> list[Check]:
    """Invariant outputs stay, vectors and tensors turn along when a molecule is moved, rotated or inverted."""
    matrix = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))[0]
    turns = {"rotated": matrix * torch.linalg.det(matrix), "inverted": -torch.eye(3, dtype=torch.float64)}
    checks = []
    for structure, expected, sizes in _references(subject, structures):
        for what, turn in turns.items():
            moved = opened(structure)
            moved.pos = structure.pos @ turn.T + torch.tensor([5.3, -11.7, 8.1], dtype=torch.float64)
            checks += _compare(
                subject, f"moved and {what}", _outputs(subject, moved), _turned(subject, expected, turn), sizes
            )
    return checks


@law()
def outputs_permutation(subject: Subject, structures: Sequence[Data]) -> list[Check]:
    """Other numbers for the atoms renumber the outputs of atoms and leave those of the structure."""
    checks = []
    for structure, expected, sizes in _references(subject, structures):
        order = torch.randperm(len(structure.z))
        found = _outputs(subject, atoms(structure.z[order], structure.pos[order]))
        wanted = {name: values[order] if _of_atoms(subject, name) else values for name, values in expected.items()}
        checks += _compare(subject, "renumbered", found, wanted, sizes)
    return checks


@law()
def outputs_size(subject: Subject, structures: Sequence[Data]) -> list[Check]:
    """Of a molecule and a rotated copy far away, extensive outputs add up, others are as of one; a batch mixes nothing.

    Copies and not two different molecules: charges that are made to add up over all atoms, as those of PhysNet, would
    flow between the latter.
    """
    matrix = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))[0]
    turn, checks = matrix * torch.linalg.det(matrix), []
    for structure, first, sizes in _references(subject, structures):
        copy = opened(structure)
        copy.pos = structure.pos @ turn.T
        second = _turned(subject, first, turn)
        wanted = {}
        for name, output in declared_outputs(subject.model).items():
            if _of_atoms(subject, name):
                wanted[name] = torch.cat([first[name], second[name]])
            elif output.extensive:
                wanted[name] = first[name] + second[name]
            elif (
                output.extensive is not None and output.symmetry == "invariant"
            ):  # a mean of vectors has no one to compare with
                wanted[name] = first[name]
        far = copy.pos + torch.tensor([_FAR, 0.0, 0.0], dtype=torch.float64)
        found = _outputs(subject, atoms(torch.cat([structure.z, copy.z]), torch.cat([structure.pos, far])))
        checks += _compare(subject, "two, 100 A apart", found, wanted, sizes)
        if "batches" not in subject.lacks:
            other = rattled(structure, 0.1, seed=_COPIES)
            alone = _outputs(subject, other)
            both = {name: torch.cat([first[name], alone[name]]) for name in first}
            checks += _compare(subject, "in a batch", _outputs(subject, structure, other), both, sizes)
    return checks


def _references(subject: Subject, structures: Sequence[Data]) -> list[tuple[Data, dict[str, Tensor], dict[str, float]]]:
    """Each structure without its cell, its outputs, and by output what deviations are measured by.

    That is the spread over copies with displaced atoms, as the zero of an output may be anywhere; and of its size what
    rounding alone makes of it.
    """
    found = []
    for structure in map(opened, structures):
        expected = _outputs(subject, structure)
        copies = [_outputs(subject, rattled(structure, 0.05, seed=k)) for k in range(_COPIES)]
        sizes = {}
        for name, values in expected.items():
            spread = torch.stack([values, *(copy[name] for copy in copies)]).std(dim=0).max()
            sizes[name] = max(float(spread), ROUNDING[subject.dtype] * float(values.abs().max()))
        found.append((structure, expected, sizes))
    return found


def _outputs(subject: Subject, *structures: Data) -> dict[str, Tensor]:
    """The outputs of molecules in one batch, detached, in float64."""
    batch = subject.batch(structures)
    with torch.enable_grad():
        result = subject.invoke(subject.model, batch, False)
    found = {}
    for name, output in declared_outputs(subject.model).items():
        values = result[name] if isinstance(result, Mapping) else getattr(result, name)
        count = batch.num_nodes if output.level == "atom" else batch.num_graphs
        if not isinstance(values, Tensor) or values.shape != (count, *output.shape):
            shape = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
            raise ValueError(f"the model must return {name!r} of the shape {(count, *output.shape)}, got {shape}")
        found[name] = values.detach().double().cpu()
    return found


def _of_atoms(subject: Subject, name: str) -> bool:
    of_atoms: bool = declared_outputs(subject.model)[name].level == "atom"
    return of_atoms


def _turned(subject: Subject, values: Mapping[str, Tensor], turn: Tensor) -> dict[str, Tensor]:
    """What a rotation or inversion makes of the outputs: D y for a vector, D y D^T for a tensor."""
    turned = dict(values)
    for name, output in declared_outputs(subject.model).items():
        if output.symmetry == "equivariant":
            for axis in range(1, 1 + len(output.shape)):
                turned[name] = torch.tensordot(turned[name], turn, dims=([axis], [1])).movedim(-1, axis)
    return turned


def _compare(
    subject: Subject, what: str, found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], sizes: Mapping[str, float]
) -> list[Check]:
    relative, outputs = ROUNDING[subject.dtype], declared_outputs(subject.model)
    why = f"rounding: {relative:.0e} of the spread over displaced copies"
    return [
        Check(f"{name} ({what})", worst(found[name] - values), outputs[name].unit, relative * sizes[name], why)
        for name, values in wanted.items()
    ]
