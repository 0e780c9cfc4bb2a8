"""Databases that state their units, as those of SchNetPack, are read in eV and A."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pyg_mpnn.data import LabelNames, ethanol, read_structures
from pyg_mpnn.units import KCAL_PER_MOL

ase_db = pytest.importorskip("ase.db")


def database(path: Path, **metadata: object) -> Path:
    """Two frames in kcal/mol, in the layout that SchNetPack 2 writes: properties in ``data``, units in the metadata."""
    from ase import Atoms

    with ase_db.connect(str(path), use_lock_file=False) as database:
        database.metadata = metadata
        for frame in ethanol("train")[:2]:
            labels = {"energy": frame.energy.numpy() / KCAL_PER_MOL, "forces": frame.forces.numpy() / KCAL_PER_MOL}
            database.write(Atoms(frame.z.numpy(), frame.pos.numpy()), data=labels)
    return path


KCAL = {"energy": "kcal/mol", "forces": "kcal/mol/Ang"}


def test_units_of_the_metadata_are_taken(tmp_path: Path):
    (first, _), expected = (
        read_structures(database(tmp_path / "s.db", _property_unit_dict=KCAL, _distance_unit="Ang")),
        ethanol("train")[0],
    )
    torch.testing.assert_close(first.energy, expected.energy, rtol=1e-12, atol=0)
    torch.testing.assert_close(first.forces, expected.forces, rtol=1e-12, atol=1e-12)


def test_without_metadata_they_are_not(tmp_path: Path):  # the control: the numbers differ by the factor
    first, _ = read_structures(database(tmp_path / "s.db"))
    torch.testing.assert_close(first.energy * KCAL_PER_MOL, ethanol("train")[0].energy, rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("metadata", "names", "message"),
    [
        ({"_property_unit_dict": {"energy": "furlong"}}, {}, "units that are known, got furlong and Ang"),
        ({"_property_unit_dict": {**KCAL, "forces": "eV/Ang"}, "_distance_unit": "Ang"}, {}, "got eV/Ang"),
        ({"_property_unit_dict": KCAL, "_distance_unit": "Ang"}, {"energy_unit": "eV"}, "kcal/mol, got eV"),
    ],
)
def test_units_that_contradict_are_refused(tmp_path: Path, metadata, names, message):
    with pytest.raises(ValueError, match=message):
        read_structures(database(tmp_path / "s.db", **metadata), labels=LabelNames(**names))
