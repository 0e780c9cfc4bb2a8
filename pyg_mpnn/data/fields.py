"""Field names and units: PyG's own data sets in, the names of this package out."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_mpnn.data.labels import EV, EnergyUnit

QM9_U0 = 7  # column of PyG's QM9 targets: the internal energy at 0 K, in eV


def normalize_fields(data: Data, units: Literal["pyg"] | EnergyUnit = "pyg") -> Data:
    """One structure with the field names and units of this package; PyG's MD17 and QM9 are understood as they come.

    The result is new and holds ``z``, ``pos``, where present ``cell`` and ``pbc``, the labels ``energy`` (1,),
    ``forces`` and ``stress``, a ``target`` (1,) of any other unit, and the ``weight`` (1,) of the structure in the
    loss. PyG's ``force`` (MD17) becomes ``forces``. PyG's ``y`` (QM9) gives ``energy``: its column 7, the internal
    energy U0 (read from float32 there, so good to about 1 meV). ``edge_index`` is kept only beside ``shifts``, as a
    neighbour list: QM9's are chemical bonds. All other fields are left out.

    Args:
        data: one structure (not a batch).
        units: the unit of the energy labels; lengths are always A. ``"pyg"`` takes what PyG documents: kcal/mol where
            the forces are called ``force`` (MD17), else eV (QM9, and the names of this package). Any other value is
            taken at its word: ``"eV"``, ``"hartree"``, ``"kcal/mol"`` or ``"kJ/mol"`` (forces in that unit per A).

    Returns:
        The structure; applied to its own result with ``units="pyg"``, it changes nothing.

    Units:
        eV, eV/A and eV/A^3; ``energy`` is float64.

    Raises:
        ValueError: an unknown unit; both ``force`` and ``forces``; a ``y`` that is not QM9's; no ``z`` or ``pos``.

    Source:
        torch_geometric.datasets.MD17 and QM9, version 2.8 (fields, shapes and units).

    Example:
        >>> import torch
        >>> from torch_geometric.data import Data
        >>> md17 = Data(z=torch.tensor([2]), pos=torch.zeros(1, 3), energy=torch.tensor(100.0), force=torch.zeros(1, 3))
        >>> normalize_fields(md17).energy
        tensor([4.3364], dtype=torch.float64)
    """
    if units != "pyg" and units not in EV:
        raise ValueError(f"'units' must be 'pyg' or one of {', '.join(EV)}, got {units!r}.")
    for name in ("z", "pos"):
        if getattr(data, name, None) is None:
            raise ValueError(f"'data' must have the field {name!r}, got only {', '.join(data.keys()) or 'no fields'}.")
    if "force" in data and "forces" in data:
        raise ValueError("'data' must hold 'force' (PyG's name) or 'forces', got both: remove one.")
    if units == "pyg":
        units = "kcal/mol" if "force" in data else "eV"
    out = Data(z=data.z if data.z.is_floating_point() else data.z.long(), pos=data.pos)
    if "cell" in data:
        out.cell = data.cell.reshape(1, 3, 3)
    if "pbc" in data:
        out.pbc = data.pbc.reshape(1, 3)
    if "weight" in data:
        out.weight = torch.as_tensor(data.weight).reshape(-1)
    if "isolated" in data:
        out.isolated = torch.as_tensor(data.isolated).reshape(-1)
    if "config_type" in data:
        out.config_type = data.config_type
    if "target" in data:
        out.target = torch.as_tensor(data.target).reshape(-1).double()
    if "shifts" in data:
        for name in ("edge_index", "shifts", "cutoff"):
            if name in data:
                out[name] = data[name]
    for name, value in _labels(data).items():
        out[name] = value * EV[units]
    return out


def _labels(data: Data) -> dict[str, Tensor]:
    labels = {}
    if "energy" in data:
        labels["energy"] = data.energy.reshape(-1).double()
    elif getattr(data, "y", None) is not None:
        if tuple(data.y.shape) != (1, 19):
            raise ValueError(
                f"'y' must be the (1, 19) targets of PyG's QM9, got {tuple(data.y.shape)}: name an energy 'energy'."
            )
        labels["energy"] = data.y[:, QM9_U0].to(torch.float64)
    for name in ("force", "forces"):
        if name in data:
            labels["forces"] = data[name]
    if "stress" in data:
        labels["stress"] = data.stress
    return labels
