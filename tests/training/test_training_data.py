from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import ase.io
import pytest
import torch
from torch_geometric.data import Data

from pyg_mpnn.data import fit_reference, to_atoms
from pyg_mpnn.data.frames import align_frames
from pyg_mpnn.training import TrainingSettings
from pyg_mpnn.training.training_data import check_elements, load_training_data
from pyg_mpnn.units import KCAL_PER_MOL

Settings = Callable[..., TrainingSettings]


def test_split_has_no_overlap_and_depends_on_the_seed(settings: Settings, frames: list[Data]) -> None:
    first, same, other = (load_training_data(settings(seed=seed), frames) for seed in (1, 1, 2))
    valid = first.provenance["validation_indices"]
    assert len(first.train) == 8
    assert [frame.energy for frame in first.valid] == [frames[index].energy for index in valid]
    energies = {float(frame.energy) for frame in first.train} & {float(frame.energy) for frame in first.valid}
    assert not energies
    assert first.provenance == same.provenance
    key = "validation_indices_sha256"
    assert first.provenance[key] != other.provenance[key]
    assert first.provenance["sha256"] == other.provenance["sha256"]


def test_reference_is_fitted_to_the_training_structures_alone(settings: Settings, frames: list[Data]) -> None:
    data = load_training_data(settings(), frames)
    assert data.reference == data.trivial == fit_reference(data.train, [5.0])
    assert data.reference != fit_reference(frames, [5.0]), "control"


def test_isolated_atoms_win_but_not_in_the_trivial_predictor(settings: Settings, frames: list[Data]) -> None:
    given = {1: -13.6, 6: -1029.0, 8: -2041.0}
    data = load_training_data(settings(isolated=given), frames)
    assert data.reference.energies == given
    assert data.trivial.energies != given


def test_test_structures_that_were_trained_on_are_counted(settings: Settings, frames: list[Data]) -> None:
    copy = Data(**frames[3].to_dict())
    other = Data(**frames[4].to_dict())
    other.pos = other.pos + 0.1
    data = load_training_data(settings(), frames, [copy, other])
    assert data.provenance["test_structures_also_in_data"] == 1


def test_shipped_ethanol_is_read_by_its_name(settings: Settings) -> None:
    data = load_training_data(settings(data="ethanol", test="ethanol", valid_size=50))
    assert (len(data.train), len(data.valid), len(data.test)) == (950, 50, 1000)
    assert data.provenance["test_structures_also_in_data"] == 0


@pytest.mark.parametrize("stream", [False, True])
def test_labels_are_those_that_are_named(settings: Settings, frames: list[Data], tmp_path: Path, stream: bool) -> None:
    atoms = [to_atoms(frame) for frame in frames]
    for image in atoms:
        image.info["dft_energy"], image.arrays["dft_forces"] = -5.0, 0.5 * image.get_forces()
    file = str(tmp_path / "two-methods.extxyz")
    ase.io.write(file, atoms)
    usual = load_training_data(settings(data=file, test=file, stream=stream))
    keys = {"energy_key": "dft_energy", "forces_key": "dft_forces"}
    named = load_training_data(settings(data=file, test=file, stream=stream, **keys))
    assert {float(frame.energy) for frame in (*named.train, *named.valid, *named.test)} == {-5.0}
    assert -5.0 not in {float(frame.energy) for frame in (*usual.train, *usual.test)}
    assert named.reference.scale == pytest.approx(0.5 * usual.reference.scale, rel=1e-6)


def test_force_field_of_pyg_is_understood(settings: Settings, frames: list[Data]) -> None:
    as_md17 = [Data(z=f.z, pos=f.pos, energy=f.energy, force=f.forces) for f in frames]
    ours, pyg = (load_training_data(settings(), given).reference for given in (frames, as_md17))
    assert pyg.scale == pytest.approx(KCAL_PER_MOL * ours.scale)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"valid_size": 12}, r"'valid_size' must be at least 0 and below the number of frames \(12\), got 12"),
        ({"data": "no such file"}, "must be files or the word ethanol .*, got 'no such file', which is neither"),
    ],
)
def test_unusable_settings_are_errors(
    settings: Settings, frames: list[Data], change: dict[str, object], message: str
) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        load_training_data(settings(**change), None if "data" in change else frames)


def test_structures_without_forces_are_an_error(settings: Settings, frames: list[Data]) -> None:
    bare = [Data(z=f.z, pos=f.pos, energy=f.energy) for f in frames]
    with pytest.raises(ValueError, match="'forces' is missing in frame 0 of tiny"):
        load_training_data(settings(), bare)


def test_nonfinite_energy_is_an_error(settings: Settings, frames: list[Data]) -> None:
    broken = [Data(**frame.to_dict()) for frame in frames]
    for frame in broken:
        frame.energy = torch.tensor([float("nan")], dtype=torch.float64)
    with pytest.raises(ValueError, match="'energy' of frame 0 of tiny must be finite, got nan"):
        load_training_data(settings(), broken)


def test_shared_structures_are_found_whatever_else_differs(
    settings: Settings, frames: list[Data], silicon: Data
) -> None:
    n = len(silicon.z)
    crystal = Data(z=silicon.z, pos=silicon.pos, cell=silicon.cell, pbc=silicon.pbc, energy=torch.zeros(1))
    crystal.energy, crystal.forces = torch.zeros(1, dtype=torch.float64), torch.zeros(n, 3, dtype=torch.float64)
    mixed = [Data(**frame.to_dict()) for frame in (*frames, crystal)]
    mixed[5].weight = torch.full((1,), 2.0, dtype=torch.float64)
    align_frames(mixed)
    other_cell = Data(**crystal.to_dict())
    other_cell.cell = 1.01 * crystal.cell
    data = load_training_data(settings(), mixed, [frames[0], crystal, other_cell])
    assert data.provenance["test_structures_also_in_data"] == 2


def test_test_structures_are_checked_before_the_training(settings: Settings, frames: list[Data]) -> None:
    unlabelled = Data(z=frames[0].z, pos=frames[0].pos, energy=frames[0].energy)
    with pytest.raises(ValueError, match="'forces' is missing in test frame 1 of tested"):
        load_training_data(settings(test="tested"), frames, [frames[0], unlabelled])


def test_elements_that_are_not_trained_on_are_refused_before_the_training(
    settings: Settings, frames: list[Data]
) -> None:
    strange = Data(**frames[0].to_dict())
    strange.z = frames[0].z.clone()
    strange.z[0] = 16
    data = load_training_data(settings(), frames, [frames[1], strange])
    check_elements(data, {1, 6, 8, 16})
    with pytest.raises(ValueError, match=r"\(\[1, 6, 8\]\), got \[16\] in test structure 1: leave it out"):
        check_elements(data, data.reference.energies)


def test_cutoff_without_a_neighbour_is_refused(settings: Settings, frames: list[Data]) -> None:
    with pytest.raises(ValueError, match=r"'cutoff' must reach from atom to atom, got \[0.5\] A"):
        load_training_data(settings(cutoff=0.5), frames)
