"""Predictions beside their references, and the errors computed from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch_geometric.data import Batch

from pyg_mpnn.models import PotentialOutput
from pyg_mpnn.units import GPA, MEV

SUMMARY = (
    "n_structures",
    "n_energies",
    "n_forces",
    "n_stresses",
    "energy_mae_meV",
    "energy_rmse_meV",
    "energy_mae_meV_per_atom",
    "forces_mae_meV_per_A",
    "forces_rmse_meV_per_A",
    "stress_mae_meV_per_A3",
    "stress_mae_GPa",
)


class Predictions(NamedTuple):
    """Predicted and reference values of a set of structures, in float64.

    References are NaN where unknown.

    Units:
        eV, eV/A, and eV/A^3 for the stress (None where no structure has one).
    """

    num_atoms: Int[Tensor, " graphs"]
    energy: Float[Tensor, " graphs"]
    energy_ref: Float[Tensor, " graphs"]
    forces: Float[Tensor, "nodes 3"]
    forces_ref: Float[Tensor, "nodes 3"]
    stress: Float[Tensor, "graphs 3 3"] | None = None
    stress_ref: Float[Tensor, "graphs 3 3"] | None = None


def compare(output: PotentialOutput, batch: Batch) -> Predictions:
    """Put what the potential returned beside the references of the same structures.

    Args:
        output: What the potential returned.
        batch: The structures with ``energy``, ``forces`` and ``stress`` as known.

    Returns:
        Predicted and reference values.
    """
    assert output.forces is not None
    energy, forces = references(batch, output.energy, output.forces)
    stress = None
    if "stress" in batch:
        stress = torch.full_like(batch.stress, torch.nan) if output.stress is None else output.stress.detach()
    return Predictions(
        num_atoms=batch.ptr[1:] - batch.ptr[:-1],
        energy=output.energy.detach().double(),
        energy_ref=energy.double(),
        forces=output.forces.detach().double(),
        forces_ref=forces.double(),
        stress=None if stress is None else stress.double(),
        stress_ref=None if stress is None else batch.stress.double(),
    )


def references(batch: Batch, energy: Tensor, forces: Tensor) -> tuple[Tensor, Tensor]:
    """Reference energies and forces of a batch, NaN where unknown.

    Args:
        batch: The structures.
        energy: Predicted energies, whose shape and dtype count.
        forces: Predicted forces, whose shape and dtype count.

    Returns:
        Energies and forces.
    """
    return (
        batch.energy if "energy" in batch else torch.full_like(energy, torch.nan),
        batch.forces if "forces" in batch else torch.full_like(forces, torch.nan),
    )


def join(parts: Sequence[Predictions]) -> Predictions:
    """Join the predictions of several batches, on the CPU.

    Args:
        parts: At least one; the stress is either in all of them or dropped.

    Returns:
        All predictions, in order.
    """
    columns = [[tensor for tensor in column if tensor is not None] for column in zip(*parts, strict=True)]
    joined = [torch.cat(column).cpu() if len(column) == len(parts) else None for column in columns]
    return Predictions._make(joined)


@dataclass(frozen=True)
class Errors:
    """Mean absolute (MAE) and root mean square (RMSE) errors; the names say the units. None where nothing is known.

    ``stress_mae_GPa`` and ``stress_rmse_GPa`` are the errors of the stress once more, in GPa.

    Args:
        n_structures: Number of structures.
        energy_mae_meV: MAE of the total energy.
        energy_rmse_meV: RMSE of the total energy.
        energy_mae_meV_per_atom: MAE of the energy per atom.
        energy_rmse_meV_per_atom: RMSE of the energy per atom.
        forces_mae_meV_per_A: MAE over force components.
        forces_rmse_meV_per_A: RMSE over force components.
        stress_mae_meV_per_A3: MAE over the known stress components.
        stress_rmse_meV_per_A3: RMSE over the known stress components.
        n_energies: Number of structures whose energy is known; all where it is None.
        n_forces: The same for the forces.
        n_stresses: The same for the stress.
    """

    n_structures: int
    energy_mae_meV: float | None
    energy_rmse_meV: float | None
    energy_mae_meV_per_atom: float | None
    energy_rmse_meV_per_atom: float | None
    forces_mae_meV_per_A: float | None
    forces_rmse_meV_per_A: float | None
    stress_mae_meV_per_A3: float | None = None
    stress_rmse_meV_per_A3: float | None = None
    n_energies: int | None = None
    n_forces: int | None = None
    n_stresses: int | None = None
    stress_mae_GPa: float | None = field(init=False)
    stress_rmse_GPa: float | None = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "stress_mae_GPa", _in_gpa(self.stress_mae_meV_per_A3))
        object.__setattr__(self, "stress_rmse_GPa", _in_gpa(self.stress_rmse_meV_per_A3))

    def summary(self) -> dict[str, float]:
        """What ``pyg-mpnn evaluate --json`` writes: the numbers that benchmarks compare."""
        values = {name: value for name, value in asdict(self).items() if value is not None}
        return {name: values[name] for name in SUMMARY if name in values}


def _in_gpa(stress: float | None) -> float | None:
    return None if stress is None else stress * MEV / GPA


def _mae_rmse(difference: Tensor) -> tuple[float, float] | tuple[None, None]:
    if difference.numel() == 0:
        return None, None
    return 1e3 * difference.abs().mean().item(), 1e3 * difference.square().mean().sqrt().item()


def compute_errors(predictions: Predictions) -> Errors:
    r"""Mean absolute and root mean square errors.

    .. math:: \mathrm{MAE} = \langle |\hat x - x| \rangle, \qquad \mathrm{RMSE} = \sqrt{\langle (\hat x - x)^2 \rangle}

    over structures for the energy (per atom: each divided by its own number of atoms first), over all Cartesian
    components for forces, over the components for the stress; each over those whose reference is known.

    Args:
        predictions: Predicted and reference values.

    Returns:
        The errors.

    Units:
        meV, meV/A, meV/A^3 and GPa.

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
    if len(predictions.energy) == 0:
        raise ValueError("'predictions' must hold at least one structure, got none.")
    unknown = predictions.energy_ref.isnan()
    energy = (predictions.energy - predictions.energy_ref)[~unknown]
    per_atom = energy / predictions.num_atoms.clamp(min=1)[~unknown]
    forces = (predictions.forces - predictions.forces_ref)[~predictions.forces_ref.isnan()]
    stress_errors: tuple[float | None, float | None] = (None, None)
    counts = {"n_energies": len(energy), "n_forces": _structures_with_forces(predictions), "n_stresses": len(unknown)}
    if predictions.stress is not None and predictions.stress_ref is not None:
        known = ~predictions.stress_ref.isnan()
        stress_errors = _mae_rmse((predictions.stress - predictions.stress_ref)[known])
        counts["n_stresses"] = int(known.flatten(1).any(1).sum())
    partial = {name: count for name, count in counts.items() if count < len(unknown)}
    return Errors(len(unknown), *_mae_rmse(energy), *_mae_rmse(per_atom), *_mae_rmse(forces), *stress_errors, **partial)


def _structures_with_forces(predictions: Predictions) -> int:
    unknown = predictions.forces_ref.isnan().any(1)
    structure = torch.arange(len(predictions.num_atoms)).repeat_interleave(predictions.num_atoms)
    return len(predictions.num_atoms) - len(structure[unknown].unique())


def score(errors: Errors) -> float:
    """The number by which the best checkpoint is chosen: force MAE in meV/A plus energy MAE in meV per atom, as known.

    Forces decide while the two are of different size; once the energy weight is raised, a model that trades a little
    of the forces for much better energies wins.

    Args:
        errors: Validation errors of the averaged weights.

    Returns:
        The number to minimise.
    """
    known = [errors.forces_mae_meV_per_A, errors.energy_mae_meV_per_atom]
    found = [value for value in known if value is not None]
    return sum(found) if found else errors.stress_mae_meV_per_A3 or 0.0
