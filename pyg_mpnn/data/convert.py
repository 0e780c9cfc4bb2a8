"""ASE's structures to PyG's and back."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch_geometric.data import Data

from pyg_mpnn.data.labels import LabelCensus, LabelNames, LabelSource

if TYPE_CHECKING:
    import ase

WEIGHT_KEY = "config_weight"
KIND_KEY = "config_type"
_VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))  # xx, yy, zz, yz, xz, xy


def require_ase(task: str) -> None:
    """Say which extra to install where ASE is missing.

    Args:
        task: what needs ASE, the start of the message.

    Raises:
        ImportError: ASE is not installed.
    """
    try:
        import ase  # noqa: F401
    except ImportError as error:
        raise ImportError(f'{task} needs ASE, which is not installed: pip install "pyg_mpnn[train]".') from error


def to_data(
    atoms: ase.Atoms, dtype: torch.dtype = torch.float64, labels: LabelNames | LabelSource | None = None
) -> Data:
    """One ASE structure as PyG data, with the labels that it carries.

    Unless they are named, labels are taken from one place, the first that has any: ``REF_energy``, ``REF_forces``,
    ``REF_stress`` in ``info`` and ``arrays``; the results stored in the calculator (nothing is computed, constraints
    are not applied); ``energy``, ``forces``, ``stress`` in ``info`` and ``arrays``. Without a stress, ``virials`` or
    ``virial`` (eV) give it: minus the virial over the volume. A structure that is periodic in no direction gets no
    ``cell``, and only crystals and slabs whose cell has a volume get a stress.
    ``config_weight`` in ``info`` (in a row of an ASE database, its key of this name) is the weight of the structure in
    the loss of a training.

    Args:
        atoms: the structure.
        dtype: floating-point type of all but the energy, which is float64.
        labels: what the labels are called where they are not found as above, and units; or where they are, decided
            for several structures together.

    Returns:
        ``z``, ``pos``, and as available ``cell``, ``pbc``, ``energy``, ``forces``, ``stress``, ``weight``, and
        ``isolated`` where ``config_type`` says so, and ``config_type``, the kind of structure in words.

    Units:
        A, eV, eV/A, eV/A^3 with ASE's sign, as in ASE.

    Raises:
        ValueError: a stress has neither 6 nor 9 components; a weight is no number; labels are in several places.

    Example:
        >>> from ase.build import bulk
        >>> to_data(bulk("Si")).cell.shape
        torch.Size([1, 3, 3])
    """
    if not isinstance(labels, LabelSource):
        census = LabelCensus(labels)
        census.add(atoms)
        labels = census.choose("the structure")
    angstrom = labels.scale[1]
    data = Data(
        z=torch.as_tensor(atoms.numbers, dtype=torch.int64).clone(),
        pos=torch.tensor(atoms.positions * angstrom, dtype=dtype),
    )
    if atoms.pbc.any():
        data.cell = torch.tensor(atoms.cell.array * angstrom, dtype=dtype).reshape(1, 3, 3)
        data.pbc = torch.as_tensor(atoms.pbc).reshape(1, 3).clone()
    found = labels.find(atoms)
    if "energy" in found:
        data.energy = torch.as_tensor(found["energy"]).reshape(-1)
    if "forces" in found:
        data.forces = torch.as_tensor(found["forces"], dtype=dtype)
    if "stress" in found:
        data.stress = torch.as_tensor(full_stress(found["stress"]), dtype=dtype)
    for name in labels.others:
        if name in found:
            data[name] = torch.as_tensor(found[name])
    said = {**atoms.info.get("key_value_pairs", {}), **atoms.info}  # a row of an ASE database has its keys apart
    if said.get(WEIGHT_KEY) is not None:
        data.weight = _weight(said[WEIGHT_KEY], dtype)
    if said.get(KIND_KEY) is not None:
        data.config_type = str(said[KIND_KEY])
    if re.sub(r"[-_ ]", "", str(said.get(KIND_KEY, "")).lower()) in ("isolatedatom", "isolatedatoms"):
        data.isolated = torch.tensor([True])
    return data


def _weight(value: Any, dtype: torch.dtype) -> torch.Tensor:
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{WEIGHT_KEY!r} must be one number, got {value!r}: correct it in 'info'.") from error
    if isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{WEIGHT_KEY!r} must be one number, got {value!r}: correct it in 'info'.")
    return torch.tensor([number], dtype=dtype)


def full_stress(stress: Any) -> np.ndarray:
    """A stress as ASE gives it, in full.

    Args:
        stress: 6 components in the order xx, yy, zz, yz, xz, xy, or 3 x 3.

    Returns:
        ``(1, 3, 3)``.

    Raises:
        ValueError: another number of components.
    """
    values = np.array(stress, dtype=np.float64)
    if values.size == 9:
        return values.reshape(1, 3, 3)
    if values.shape != (6,):
        raise ValueError(f"'stress' must have 6 (Voigt) or 3 x 3 components, got shape {values.shape}.")
    full = np.empty((1, 3, 3))
    for value, (row, column) in zip(values, _VOIGT, strict=True):
        full[0, row, column] = full[0, column, row] = value
    return full


def to_atoms(data: Data) -> ase.Atoms:
    """PyG data as an ASE structure; labels go into a ``SinglePointCalculator``.

    Args:
        data: one structure with the field names of this package.

    Returns:
        The structure; a stress that is NaN (unknown) is left out.

    Units:
        A, eV, eV/A, eV/A^3 with ASE's sign; nothing is converted.

    Raises:
        ImportError: ASE is not installed.
        ValueError: a cell without periodic directions.

    Example:
        >>> from pyg_mpnn.data import ethanol
        >>> str(to_atoms(ethanol("test")[0]).symbols)
        'C2OH6'
    """
    require_ase("to_atoms")
    from ase import Atoms
    from ase.calculators.singlepoint import SinglePointCalculator

    atoms = Atoms(numbers=data.z.cpu().numpy(), positions=data.pos.detach().cpu().double().numpy())
    if "cell" in data:
        if "pbc" not in data:
            raise ValueError("'pbc' must be given with a 'cell', got none: pass which of its directions are periodic")
        atoms.cell = data.cell.reshape(3, 3).cpu().double().numpy()
        atoms.pbc = data.pbc.reshape(3).cpu().numpy()
    if "weight" in data:
        atoms.info[WEIGHT_KEY] = float(data.weight)
    if data.get("config_type"):
        atoms.info[KIND_KEY] = data.config_type
    results: dict[str, Any] = {}
    if "energy" in data:
        results["energy"] = float(data.energy)
    if "forces" in data:
        results["forces"] = data.forces.detach().cpu().double().numpy()
    if "stress" in data and bool(torch.isfinite(data.stress).all()):
        full = data.stress.reshape(3, 3).cpu().double().numpy()
        results["stress"] = np.array([full[index] for index in _VOIGT])
    if results:
        atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms
