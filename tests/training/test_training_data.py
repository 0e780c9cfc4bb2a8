from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase.io
import pytest
import torch
from torch_geometric.data import Data

from pyg_mpnn.data import fit_reference, to_atoms
from pyg_mpnn.data.frames import align_frames, check_frame
from pyg_mpnn.geometry import as_cutoffs, neighbor_list
from pyg_mpnn.training import TrainingSettings, train
from pyg_mpnn.training.training_data import TrainingData, check_elements, load_training_data
from pyg_mpnn.units import KCAL_PER_MOL

Settings = Callable[..., TrainingSettings]


def load(settings: TrainingSettings, *arguments: Any, **options: Any) -> TrainingData:
    return load_training_data(settings, as_cutoffs(settings.cutoff or 5.0), *arguments, **options)


def test_split_has_no_overlap_and_depends_on_the_seed(settings: Settings, frames: list[Data]) -> None:
    first, same, other = (load(settings(seed=seed), frames) for seed in (1, 1, 2))
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
    data = load(settings(), frames)
    assert data.reference == data.trivial == fit_reference(data.train, [5.0])
    assert data.reference != fit_reference(frames, [5.0]), "control"


def test_isolated_atoms_win_but_not_in_the_trivial_predictor(settings: Settings, frames: list[Data]) -> None:
    given = {1: -13.6, 6: -1029.0, 8: -2041.0}
    data = load(settings(isolated=given), frames)
    assert data.reference.energies == given
    assert data.trivial.energies != given


def test_test_structures_that_were_trained_on_are_counted(settings: Settings, frames: list[Data]) -> None:
    copy = Data(**frames[3].to_dict())
    other = Data(**frames[4].to_dict())
    other.pos = other.pos + 0.1
    data = load(settings(), frames, [copy, other])
    assert data.provenance["test_structures_also_in_data"] == 1
    assert data.notes == ["1 of the test structures are in the data too"]


@pytest.mark.slow
def test_shipped_ethanol_is_read_by_its_name(settings: Settings) -> None:
    data = load(settings(data="ethanol", test="ethanol", valid_size=50))
    assert (len(data.train), len(data.valid), len(data.test)) == (950, 50, 1000)
    assert data.provenance["test_structures_also_in_data"] == 0


@pytest.mark.parametrize("stream", [False, True])
def test_labels_are_those_that_are_named(settings: Settings, frames: list[Data], tmp_path: Path, stream: bool) -> None:
    atoms = [to_atoms(frame) for frame in frames]
    for k, image in enumerate(atoms):
        image.info["dft_energy"], image.arrays["dft_forces"] = -5.0 - k, 0.5 * image.get_forces()
    file = str(tmp_path / "two-methods.extxyz")
    ase.io.write(file, atoms)
    usual = load(settings(data=file, test=file, stream=stream))
    keys = {"energy_key": "dft_energy", "forces_key": "dft_forces"}
    named = load(settings(data=file, test=file, stream=stream, **keys))
    assert named.test is not None
    assert [float(frame.energy) for frame in named.test] == [-5.0 - k for k in range(12)]
    assert {float(frame.energy) for frame in (*named.train, *named.valid)} == {-5.0 - k for k in range(12)}
    assert -5.0 not in {float(frame.energy) for frame in usual.train}
    assert named.provenance["labels"][0]["labels"] == {"energy": "dft_energy in 12", "forces": "dft_forces in 12"}
    assert named.provenance["labels"][0]["unused"] == ["energy", "forces"]
    assert named.reference.scale == pytest.approx(0.5 * usual.reference.scale, rel=1e-6)


def test_force_field_of_pyg_is_understood_and_said(
    settings: Settings, frames: list[Data], capsys: pytest.CaptureFixture[str]
) -> None:
    as_md17 = [Data(z=f.z, pos=f.pos, energy=f.energy, force=f.forces) for f in frames]
    ours, pyg = (load(settings(), given).reference for given in (frames, as_md17))
    assert pyg.scale == pytest.approx(KCAL_PER_MOL * ours.scale)
    assert "tiny: the field 'force' is PyG's of MD17: converted from kcal/mol" in capsys.readouterr().out
    assert load(settings(energy_unit="eV"), as_md17).reference.scale == pytest.approx(ours.scale)
    assert capsys.readouterr().out == ""


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
        load(settings(**change), None if "data" in change else frames)


def test_structures_may_have_some_labels_and_need_one(settings: Settings, frames: list[Data]) -> None:
    bare = [Data(z=f.z, pos=f.pos, energy=f.energy) for f in frames[:4]]
    data = load(settings(), [*frames[4:], *bare])
    assert sum("forces" in frame for frame in (*data.train.structures, *data.valid.structures)) == 8
    assert sum(bool(frame.forces.isnan().all()) for frame in (*data.train, *data.valid)) == 4
    with pytest.raises(ValueError, match="'energy' is missing in frame 1 of tiny, and so are forces and stress"):
        load(settings(), [frames[0], Data(z=frames[1].z, pos=frames[1].pos)])


def test_nonfinite_energy_is_an_error(settings: Settings, frames: list[Data]) -> None:
    broken = [Data(**frame.to_dict()) for frame in frames]
    for frame in broken:
        frame.energy = torch.tensor([float("nan")], dtype=torch.float64)
    with pytest.raises(ValueError, match="'energy' of frame 0 of tiny must be finite, got nan"):
        load(settings(), broken)


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
    data = load(settings(), mixed, [frames[0], crystal, other_cell])
    assert data.provenance["test_structures_also_in_data"] == 2


def test_test_structures_are_checked_before_the_training(settings: Settings, frames: list[Data]) -> None:
    unlabelled = Data(z=frames[0].z, pos=frames[0].pos)
    with pytest.raises(ValueError, match="'energy' is missing in test frame 1 of tested"):
        load(settings(test="tested"), frames, [frames[0], unlabelled])


def test_elements_that_are_not_trained_on_are_refused_before_the_training(
    settings: Settings, frames: list[Data]
) -> None:
    strange = Data(**frames[0].to_dict())
    strange.z = frames[0].z.clone()
    strange.z[0] = 16
    data = load(settings(), frames, [frames[1], strange])
    check_elements(data, {1, 6, 8, 16})
    with pytest.raises(ValueError, match=r"\(\[1, 6, 8\]\), got \[16\] in test structure 1: leave it out"):
        check_elements(data, data.reference.energies)


def test_cutoff_without_a_neighbour_is_refused(settings: Settings, frames: list[Data]) -> None:
    with pytest.raises(ValueError, match=r"'cutoff' must reach from atom to atom, got \[0.5\] A"):
        load(settings(cutoff=0.5), frames)


def atom(z: int, energy: float, **fields: Any) -> Data:
    return Data(
        z=torch.tensor([z]), pos=torch.zeros(1, 3, dtype=torch.float64), energy=torch.tensor([energy]), **fields
    )


def test_isolated_atoms_of_the_data_set_the_reference_energies(settings: Settings, frames: list[Data]) -> None:
    box = {"cell": 20.0 * torch.eye(3)[None].double(), "pbc": torch.ones(1, 3, dtype=torch.bool)}
    atoms = [atom(1, -13.5), atom(6, -1029.0), atom(8, -2041.0, isolated=torch.tensor([True]), **box)]
    data = load(settings(), [*atoms, *frames])
    assert data.reference.energies == {1: -13.5, 6: -1029.0, 8: -2041.0}
    assert data.reference.rank == 3
    assert len(data.train) + len(data.valid) == 12
    assert data.provenance["isolated_atoms_eV"] == {1: -13.5, 6: -1029.0, 8: -2041.0}
    assert "3 structures of an isolated atom set its reference energy" in data.notes[0]
    assert load(settings(isolated={1: -13.0}), [*atoms, *frames]).reference.energies[1] == -13.0, "what is given wins"
    crystal = load(settings(), [*frames, atom(8, -2041.0, **box)])
    assert len(crystal.train) + len(crystal.valid) == 13, "an atom in a cell is a crystal unless it says otherwise"
    with pytest.raises(
        ValueError, match=r"one element must have one energy, got -13.5 and -13.0 eV for atomic number 1"
    ):
        load(settings(), [atom(1, -13.5), atom(1, -13.0), *frames])


def test_isolated_atoms_in_a_file_of_their_own(
    settings: Settings, frames: list[Data], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [f"1\nProperties=species:S:1:pos:R:3 energy={e}\n{s} 0 0 0\n" for s, e in (("H", -13.5), ("O", -2041.0))]
    (tmp_path / "atoms.xyz").write_text("".join(lines))
    data = load(settings(isolated=str(tmp_path / "atoms.xyz")), frames)
    assert (data.reference.energies[1], data.reference.energies[8]) == (-13.5, -2041.0)
    assert data.notes == ["Without an energy of an isolated atom elements get a fitted one: [6]"]
    assert "atoms.xyz: 2 structures; energy from energy in 2" in capsys.readouterr().out
    two = "2\nProperties=species:S:1:pos:R:3 energy=-31\nH 0 0 0\nH 0 0 0.7\n"
    (tmp_path / "atoms.xyz").write_text(lines[0] + two)
    with pytest.raises(
        FileNotFoundError, match=r"'isolated' must be energies in eV by atomic number, .* got .*absent.xyz"
    ):
        load(settings(isolated=str(tmp_path / "absent.xyz")), frames)
    with pytest.raises(
        ValueError, match="'isolated' must hold single atoms with an energy, got 2 atoms in structure 1"
    ):
        load(settings(isolated=str(tmp_path / "atoms.xyz")), frames)


def test_what_stands_apart_and_copies_stop_a_training(settings: Settings, frames: list[Data]) -> None:
    wild = [Data(**frame.to_dict()) for frame in frames]
    wild[3].forces = wild[3].forces.clone()
    wild[3].forces[0, 0] = 1e5
    wild[5].energy = wild[5].energy + 900.0
    message = r"tiny: structure 3 has a force of 1e\+05 eV/A.*; structure 5 has an energy \+100 eV/atom .* --force-data"
    with pytest.raises(ValueError, match=message):
        load(settings(), wild)
    assert len(load(settings(force_data=True), wild).notes) == 2
    turned = Data(**frames[2].to_dict())
    turned.pos, turned.forces = turned.pos[:, [1, 2, 0]], turned.forces[:, [1, 2, 0]]
    with pytest.raises(ValueError, match=r"1 structure is a copy of another one, .*: structure 12 of structure 2"):
        load(settings(), [*frames, turned])
    assert load(settings(), frames).notes == [], "control"


def test_each_structure_is_checked_and_searched_once(
    settings: Settings, frames: list[Data], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a training with all that once checked and searched anew: 6.9 checks and 4.8 searches a structure."""
    ase.io.write(tmp_path / "tiny.extxyz", [to_atoms(frame) for frame in frames])
    counts = dict.fromkeys(("check", "search"), 0)

    def counted(kind: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def count(*arguments: Any, **options: Any) -> Any:
            counts[kind] += 1
            return function(*arguments, **options)

        return count

    for module in ("contents", "frames"):
        monkeypatch.setattr(f"pyg_mpnn.data.{module}.check_frame", counted("check", check_frame))
    for module in ("data.reference", "data.distances", "geometry.transform"):
        monkeypatch.setattr(f"pyg_mpnn.{module}.neighbor_list", counted("search", neighbor_list))
    given = {1: -13.6, 6: -1029.0, 8: -2041.0}
    changes = {"data": str(tmp_path / "tiny.extxyz"), "batch_edges": 500, "zbl": True, "isolated": given, "epochs": 1}
    train(settings(**changes))
    assert counts == {"check": 12, "search": 12}
