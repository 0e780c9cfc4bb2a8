"""Predictions beside their references, and the errors computed from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch_geometric.data import Batch

from pyg_mpnn.models import PotentialOutput
from pyg_mpnn.units import GPA, MEV

SUMMARY = (
    "n_structures",
    "energy_mae_meV",
    "energy_rmse_meV",
    "energy_mae_meV_per_atom",
    "forces_mae_meV_per_A",
    "forces_rmse_meV_per_A",
    "stress_mae_meV_per_A3",
    "stress_mae_GPa",
)


class Predictions(NamedTuple):
    """Predicted and reference values of a set of structures, in float64; references are NaN where unknown.

    Units:
        eV, eV/A, and eV/A^3 for the stress; ``None`` for what no structure has a reference of. Other outputs by
        name, in their own units.
    """

    num_atoms: Int[Tensor, " graphs"]
    energy: Float[Tensor, " graphs"] | None = None
    energy_ref: Float[Tensor, " graphs"] | None = None
    forces: Float[Tensor, "nodes 3"] | None = None
    forces_ref: Float[Tensor, "nodes 3"] | None = None
    stress: Float[Tensor, "graphs 3 3"] | None = None
    stress_ref: Float[Tensor, "graphs 3 3"] | None = None
    others: Mapping[str, Tensor] = MappingProxyType({})
    others_ref: Mapping[str, Tensor] = MappingProxyType({})


def compare(output: PotentialOutput, batch: Batch) -> Predictions:
    """Put what the model returned beside the references of the same structures.

    Args:
        output: What the model returned.
        batch: The structures with ``energy``, ``forces``, ``stress`` and other outputs as far as they are known.

    Returns:
        Predicted and reference values.
    """
    energy, forces, stress = (_pair(output, batch, name) for name in ("energy", "forces", "stress"))
    names = [name for name in output.others if name in batch]
    return Predictions(
        batch.ptr[1:] - batch.ptr[:-1],
        *energy,
        *forces,
        *stress,
        {name: output.others[name].detach().double() for name in names},
        {name: batch[name].double() for name in names},
    )


def _pair(output: PotentialOutput, batch: Batch, name: str) -> tuple[Tensor | None, Tensor | None]:
    """Predicted and reference values; of a stress NaN where none is predicted."""
    value, reference = getattr(output, name), batch.get(name)
    if reference is None or (value is None and name != "stress") or output.energy is None:
        return None, None
    value = torch.full_like(reference, torch.nan) if value is None else value.detach()
    return value.double(), reference.double()


def join(parts: Sequence[Predictions]) -> Predictions:
    """Join the predictions of several batches, on the CPU.

    Args:
        parts: At least one; what is not in all of them is dropped.

    Returns:
        All predictions, in order.
    """
    joined: dict[str, Tensor | None] = {}
    for name in Predictions._fields[:-2]:
        column = [getattr(part, name) for part in parts]
        joined[name] = None if any(tensor is None for tensor in column) else torch.cat(column).cpu()
    names = [name for name in parts[0].others if all(name in part.others for part in parts)]
    others = {name: torch.cat([part.others[name] for part in parts]).cpu() for name in names}
    references = {name: torch.cat([part.others_ref[name] for part in parts]).cpu() for name in names}
    return Predictions(**joined, others=others, others_ref=references)  # type: ignore[arg-type]


@dataclass(frozen=True)
class OutputErrors:
    """Errors of one output, over its known components.

    Args:
        mae: Mean absolute error.
        rmse: Root mean square error.
        count: Number of known components.
        unit: Unit of the errors.
    """

    mae: float
    rmse: float
    count: int
    unit: str = ""


@dataclass(frozen=True)
class Errors:
    """Mean absolute (MAE) and root mean square (RMSE) errors; the names say the units.

    ``stress_mae_GPa`` and ``stress_rmse_GPa`` are the errors of the stress once more, in GPa.

    Args:
        n_structures: Number of structures.
        energy_mae_meV: MAE of the total energy; this and all that follow over the known references, None where there
            is none.
        energy_rmse_meV: RMSE of the total energy.
        energy_mae_meV_per_atom: MAE of the energy per atom.
        energy_rmse_meV_per_atom: RMSE of the energy per atom.
        forces_mae_meV_per_A: MAE over force components.
        forces_rmse_meV_per_A: RMSE over force components.
        stress_mae_meV_per_A3: MAE over stress components.
        stress_rmse_meV_per_A3: RMSE over stress components.
        outputs: Errors of the other outputs by name.
        known: Number of structures with a reference of energy, forces, stress and each other output, where it is not
            all of them.
    """

    n_structures: int
    energy_mae_meV: float | None = None
    energy_rmse_meV: float | None = None
    energy_mae_meV_per_atom: float | None = None
    energy_rmse_meV_per_atom: float | None = None
    forces_mae_meV_per_A: float | None = None
    forces_rmse_meV_per_A: float | None = None
    stress_mae_meV_per_A3: float | None = None
    stress_rmse_meV_per_A3: float | None = None
    outputs: dict[str, OutputErrors] = field(default_factory=dict)
    known: dict[str, int] = field(default_factory=dict)
    stress_mae_GPa: float | None = field(init=False)
    stress_rmse_GPa: float | None = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "stress_mae_GPa", _in_gpa(self.stress_mae_meV_per_A3))
        object.__setattr__(self, "stress_rmse_GPa", _in_gpa(self.stress_rmse_meV_per_A3))

    def summary(self) -> dict[str, float]:
        """What ``pyg-mpnn evaluate --json`` writes: the numbers that benchmarks compare."""
        values = self.plain()
        own = [f"{name}_{kind}" for name in self.outputs for kind in ("mae", "rmse")]
        counts = [f"n_structures_with_{name}" for name in self.known]
        return {name: values[name] for name in (*SUMMARY[:1], *counts, *SUMMARY[1:], *own) if name in values}

    def plain(self) -> dict[str, float]:
        """All errors that there are, in one mapping; those of an output as ``dipole_mae`` and ``dipole_rmse``."""
        values = {
            name: value
            for name, value in asdict(self).items()
            if value is not None and name not in ("outputs", "known")
        }
        values |= {f"n_structures_with_{name}": count for name, count in self.known.items()}
        for name, errors in self.outputs.items():
            values |= {f"{name}_mae": errors.mae, f"{name}_rmse": errors.rmse}
        return values


def _in_gpa(stress: float | None) -> float | None:
    return None if stress is None else stress * MEV / GPA


def _mae_rmse(difference: Tensor) -> tuple[float, float]:
    if difference.numel() == 0:
        return 0.0, 0.0
    return difference.abs().mean().item(), difference.square().mean().sqrt().item()


def compute_errors(predictions: Predictions, units: Mapping[str, str] | None = None) -> Errors:
    r"""Mean absolute and root mean square errors.

    .. math:: \mathrm{MAE} = \langle |\hat x - x| \rangle, \qquad \mathrm{RMSE} = \sqrt{\langle (\hat x - x)^2 \rangle}

    over structures for the energy (per atom: each divided by its own number of atoms first), over Cartesian components
    for forces and stress, over components for other outputs; always over those that have a reference.

    Args:
        predictions: Predicted and reference values.
        units: Units of the other outputs by name, which the result repeats.

    Returns:
        The errors.

    Units:
        meV, meV/A, meV/A^3 and GPa; those of the other outputs.

    Raises:
        ValueError: There is no structure.

    Source:
        the convention of the rMD17 and MD17 tables: force errors per component, energies per molecule.

    Example:
        >>> one = torch.ones(1, dtype=torch.float64)
        >>> zero = torch.zeros(2, 3, dtype=torch.float64)
        >>> compute_errors(Predictions(torch.tensor([2]), one, 0 * one, zero, zero)).energy_mae_meV_per_atom
        500.0
    """
    if len(predictions.num_atoms) == 0:
        raise ValueError("'predictions' must hold at least one structure, got none.")
    num_atoms = predictions.num_atoms.clamp(min=1)
    energy, energy_ref = predictions.energy, predictions.energy_ref
    per_atom = (None, None) if energy is None or energy_ref is None else (energy / num_atoms, energy_ref / num_atoms)
    forces, stress = (predictions.forces, predictions.forces_ref), (predictions.stress, predictions.stress_ref)
    found: list[float | None] = []
    for values, references in ((energy, energy_ref), per_atom, forces, stress):
        errors = None if values is None or references is None else _known_errors(values, references)
        found += [None, None] if errors is None else [1e3 * value for value in _mae_rmse(errors)]
    others = {}
    for name, values in predictions.others.items():
        errors = _known_errors(values, predictions.others_ref[name])
        if errors is not None:
            others[name] = OutputErrors(*_mae_rmse(errors), errors.numel(), (units or {}).get(name, ""))
    known = _count_known(predictions)
    return replace(Errors(len(num_atoms), *found), outputs=others, known=known)  # type: ignore[arg-type]


def _count_known(predictions: Predictions) -> dict[str, int]:
    """Structures with a reference, where it is some of them and not all."""
    total, known = len(predictions.num_atoms), {}
    structure = torch.arange(total).repeat_interleave(predictions.num_atoms)
    if predictions.energy_ref is not None:
        known["energy"] = int((~predictions.energy_ref.isnan()).sum())
    if predictions.forces_ref is not None:
        known["forces"] = total - len(set(structure[predictions.forces_ref.isnan().any(1)].tolist()))
    if predictions.stress_ref is not None:
        known["stress"] = int((~predictions.stress_ref.isnan()).flatten(1).any(1).sum())
    for name, reference in predictions.others_ref.items():
        rows = (~reference.isnan()).reshape(len(reference), -1).any(1)
        owners = torch.arange(total) if len(reference) == total else structure
        known[name] = len(set(owners[rows].tolist()))
    return {name: count for name, count in known.items() if 0 < count < total}


def _known_errors(values: Tensor, references: Tensor) -> Tensor | None:
    """Errors of the known components; ``None`` where all are unknown."""
    known = ~references.isnan()
    return (values - references)[known] if bool(known.any()) or not known.numel() else None


def score(errors: Errors, spreads: Mapping[str, float] | None = None, scale: float = 1.0) -> float:
    r"""The number by which the best checkpoint is chosen, to be minimised.

    .. math:: \mathrm{MAE}(F) + \mathrm{MAE}(E / N) + 1000 \, s \sum_o \mathrm{MAE}_o / s_o

    with force errors in meV/A, energy errors in meV per atom, the force scale s, and the spreads :math:`s_o` of the
    other outputs; without an energy the sum over outputs alone. Forces decide while the two are of different size; once
    the energy weight is raised, a model that trades a little of the forces for much better energies wins.

    Args:
        errors: Validation errors of the averaged weights.
        spreads: The numbers s_o of the other outputs.
        scale: The force scale in eV/A.

    Returns:
        The number.
    """
    others = sum(found.mae / (spreads or {})[name] for name, found in errors.outputs.items())
    energies = [value for value in (errors.forces_mae_meV_per_A, errors.energy_mae_meV_per_atom) if value is not None]
    return sum(energies) + 1e3 * scale * others if energies else others
