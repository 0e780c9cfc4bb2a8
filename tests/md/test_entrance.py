from __future__ import annotations

from pathlib import Path

import pytest
import torch
from ase import Atoms, build
from ase.constraints import FixAtoms
from ase.io import write

from pyg_mpnn import Potential
from pyg_mpnn.md.entrance import cpu_threads, density_note, empty_folder, note_unlike_trained, single_structure


def test_threads_are_set_and_given_back() -> None:
    with cpu_threads(2):
        assert torch.get_num_threads() == 2
    with pytest.raises(ZeroDivisionError), cpu_threads(2):
        1 / 0  # noqa: B018
    assert torch.get_num_threads() == 1
    with cpu_threads(None):
        assert torch.get_num_threads() == 1


def test_a_structure_may_have_constraints_only_where_it_says_so(tmp_path: Path, molecule: Atoms) -> None:
    molecule.set_constraint(FixAtoms([0]))
    write(tmp_path / "fixed.traj", [molecule[:3], molecule])
    with pytest.raises(ValueError, match=r"'structure' must have no constraints, got .*FixAtoms"):
        single_structure(tmp_path / "fixed.traj")
    assert len(single_structure(tmp_path / "fixed.traj", constraints=True).constraints) == 1
    write(tmp_path / "atom.xyz", Atoms("H"))
    with pytest.raises(ValueError, match=r"'structure' must have at least 2 atoms .*, got 1"):
        single_structure(tmp_path / "atom.xyz")
    assert len(single_structure(tmp_path / "atom.xyz", min_atoms=1)) == 1


def test_folder_is_made_and_never_used_twice(tmp_path: Path) -> None:
    folder = empty_folder(tmp_path / "new" / "run")
    assert empty_folder(folder) == folder
    (folder / "log.csv").touch()
    with pytest.raises(FileExistsError, match="'out' must be a new or empty folder, got"):
        empty_folder(folder)


def test_structures_unlike_those_trained_on_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    potential = Potential.from_size("small")
    several = [build.molecule(name) for name in ("CH3CH2OH", "H2O", "H2O", "CH4")]
    note_unlike_trained(potential, several)
    assert capsys.readouterr().out == "", "it is not known what it was trained on"
    potential.compositions = [{1: 6, 6: 2, 8: 1}]
    note_unlike_trained(potential, several[:1])
    assert capsys.readouterr().out == ""
    note_unlike_trained(potential, several)
    assert capsys.readouterr().out.startswith(
        "Note: H2O, CH4: not a combination of what the potential was trained on (C2H6O), so its energy has an arbitrary"
    )


def test_densities_unlike_those_trained_on_are_named() -> None:
    potential, copper = Potential.from_size("small"), build.bulk("Cu", cubic=True)  # 11.8 A^3 per atom
    assert density_note(potential, copper) is None, "nothing is known of its training"
    potential.record = {"structures": []}
    assert "of an earlier version, does not say at which densities" in str(density_note(potential, copper))
    potential.record["volumes"] = [[[29], 11.0, 11.7], [[29, 47], 5.0, 50.0]]
    assert density_note(potential, copper) is None, "within 2 %"
    assert density_note(potential, build.molecule("H2O")) is None
    for factor, words in ((0.95, "denser than"), (1.05, "less dense than")):
        scaled = copper.copy()
        scaled.set_cell(copper.cell * factor, scale_atoms=True)
        note = str(density_note(potential, scaled))
        assert note.startswith(f"WARNING: {words} the training structures of Cu: ")
        assert "where they have 11 to 11.7 (9.593 to 9.019)" in note
    assert "of Al alone was periodic" in str(density_note(potential, build.bulk("Al")))
