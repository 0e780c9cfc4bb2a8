from __future__ import annotations

from pathlib import Path

import ase.db
import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from pyg_mpnn.data import LabelNames, StreamedDataset, read_structures, to_data
from pyg_mpnn.data.labels import LabelCensus

NAMES = LabelNames(energy="dft_energy", forces="dft_force", virial="dft_virial")


@pytest.fixture
def atoms() -> Atoms:
    """Copper with the labels of two methods."""
    atoms = Atoms("Cu2", [[0.0, 0.0, 0.0], [1.8, 1.8, 0.0]], cell=[3.6, 3.6, 4.0], pbc=True)
    atoms.info |= {"dft_energy": -7.5, "dft_virial": np.add.outer(np.arange(3.0), np.arange(3.0))}
    atoms.arrays["dft_force"] = np.arange(6.0).reshape(2, 3)
    atoms.calc = SinglePointCalculator(atoms, energy=-1.0, forces=np.ones((2, 3)), stress=np.ones(6))
    return atoms


@pytest.mark.parametrize("suffix", ["extxyz", "db"])
def test_named_labels_are_read_and_no_others(atoms: Atoms, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"two-methods.{suffix}"
    if suffix == "db":
        data = {"dft_force": atoms.arrays["dft_force"], "dft_virial": atoms.info["dft_virial"]}
        with ase.db.connect(path) as database:
            database.write(atoms, dft_energy=-7.5, data=data)
    else:
        ase.io.write(path, atoms)
    usual, named = read_structures(path)[0], read_structures(path, labels=NAMES)[0]
    assert (usual.energy.item(), named.energy.item()) == (-1.0, -7.5)
    assert usual.forces.tolist() == [[1.0] * 3] * 2
    assert named.forces.tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    expected = -torch.tensor([[[0.0, 1, 2], [1, 2, 3], [2, 3, 4]]], dtype=torch.float64) / (3.6 * 3.6 * 4.0)
    assert torch.allclose(named.stress, expected, rtol=1e-12)
    assert "stress" not in read_structures(path, labels=LabelNames("dft_energy", "dft_force"))[0]
    streamed = StreamedDataset(path, 3.0, labels=NAMES)
    assert torch.equal(streamed.read(0).forces, named.forces)
    assert torch.equal(streamed.read(0).stress, named.stress)


def test_streamed_structures_belong_to_the_names(
    atoms: Atoms, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ase.io.write(tmp_path / "two.extxyz", atoms)
    usual = StreamedDataset(tmp_path / "two.extxyz", 3.0)
    assert usual.read(0).energy.item() == -1.0
    assert StreamedDataset(tmp_path / "two.extxyz", 3.0, labels=LabelNames()).read(0).energy.item() == -1.0
    assert StreamedDataset(tmp_path / "two.extxyz", 3.0, labels=NAMES).read(0).energy.item() == -7.5
    assert usual.read(0).energy.item() == -1.0
    assert capsys.readouterr().out == ""
    same = StreamedDataset(tmp_path / "two.extxyz", 3.0, labels=NAMES, cache=usual.cache)
    assert same.read(0).energy.item() == -7.5
    assert "made anew" in capsys.readouterr().out


def find_labels(atoms: Atoms, names: LabelNames | None = None) -> dict[str, object]:
    """The labels of one structure alone."""
    census = LabelCensus(names)
    census.add(atoms)
    return census.choose("the structure").find(atoms)


def test_results_of_the_calculator_have_names_too(atoms: Atoms) -> None:
    atoms.calc = SinglePointCalculator(atoms, energy=-1.0, free_energy=-1.5)
    assert to_data(atoms, labels=LabelNames(energy="free_energy")).energy.item() == -1.5
    assert find_labels(atoms) == {"energy": -1.0}
    atoms.positions += 1.0  # of which nothing was computed
    assert find_labels(atoms, LabelNames(energy="free_energy")) == {}


def test_virial_in_six_components_has_the_order_of_voigt(atoms: Atoms) -> None:
    atoms.info["dft_virial"] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    expected = -torch.tensor([[[1.0, 6.0, 5.0], [6.0, 2.0, 4.0], [5.0, 4.0, 3.0]]], dtype=torch.float64)
    assert torch.allclose(to_data(atoms, labels=NAMES).stress, expected / atoms.get_volume(), rtol=1e-12)
    atoms.pbc = (True, True, False)
    assert "stress" in to_data(atoms, labels=NAMES), "of a slab"
    atoms.pbc = (True, False, False)
    assert "stress" not in to_data(atoms, labels=NAMES)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            LabelNames(energy="dft", forces="dft_force"),
            r"'energy_key' must name a value of a structure, got 'dft', which none has in .*two.extxyz; they hold "
            r"dft_energy, dft_force, dft_virial, energy, forces.*: correct the name \(--energy-key,",
        ),
        (
            LabelNames(energy="dft_energy"),
            r"'forces' is missing in frame 0 of .*: where one label is named, only those named are read, so name it "
            r"too \(--forces-key, in Python LabelNames\(forces=...\)\)",
        ),
        (
            LabelNames(energy="dft_virial", forces="dft_force"),
            r"'energy' of frame 0 of .* must have the shape \(1,\) .*, got \(9,\)",
        ),
    ],
)
def test_wrong_names_are_errors(atoms: Atoms, tmp_path: Path, names: LabelNames, message: str) -> None:
    ase.io.write(tmp_path / "two.extxyz", atoms)
    for read in (read_structures, lambda path, labels: StreamedDataset(path, 3.0, labels=labels)):
        with pytest.raises(ValueError, match=message):
            read(tmp_path / "two.extxyz", labels=names)


def test_unusable_names_and_virials_are_errors(atoms: Atoms) -> None:
    with pytest.raises(ValueError, match="'stress' and 'virial' exclude each other, got 'a' and 'b': name one"):
        LabelNames(stress="a", virial="b")
    with pytest.raises(ValueError, match="the name of the energy must not be empty, got ''"):
        LabelNames(energy="")
    atoms.info["dft_virial"] = np.ones(4)
    with pytest.raises(ValueError, match=r"'dft_virial' must have 6 \(Voigt\) or 3 x 3 components, got shape \(4,\)"):
        to_data(atoms, labels=NAMES)
