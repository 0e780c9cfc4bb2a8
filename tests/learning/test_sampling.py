from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, molecule

from pyg_mpnn.learning.sampling import CLOSEST, closeness, displaced, read_walk, strained, walk
from pyg_mpnn.md import ExplosionError, run_dynamics
from pyg_mpnn.models import Committee
from tests.learning.test_selection import committee


def test_closeness_sees_images() -> None:
    assert closeness(Atoms("H2", positions=[[0, 0, 0], [0, 0, 0.62]])) == pytest.approx(1.0)
    thin = Atoms("H", cell=[0.4, 5, 5], pbc=True)
    assert closeness(thin) == pytest.approx(0.4 / 0.62)
    assert closeness(Atoms("He2", positions=[[0, 0, 0], [0, 0, 3]])) == float("inf")


def test_strain_keeps_directions_that_are_not_periodic() -> None:
    slab = fcc111("Cu", (1, 1, 2), vacuum=5.0, periodic=False)
    new = strained(slab, 0.05, np.random.default_rng(0))
    assert not np.allclose(new.cell[:2], slab.cell[:2])
    assert np.allclose(new.cell[:2, 2], 0)
    assert np.allclose(new.cell[2], slab.cell[2])
    assert np.allclose(strained(molecule("H2O"), 0.05, np.random.default_rng(0)).positions, molecule("H2O").positions)


def test_displaced_structures_differ_and_have_no_atoms_too_close() -> None:
    start = bulk("Cu", cubic=True)
    made = displaced([start], 12, seed=0)
    again = displaced([start], 12, seed=0)
    assert all(np.array_equal(one.positions, other.positions) for one, other in zip(made, again, strict=True))
    cells = [not np.allclose(atoms.cell, start.cell) for atoms in made]
    assert cells == [True, False] * 6
    assert len({atoms.positions.tobytes() for atoms in made}) == 12
    tight = displaced([molecule("H2")], 40, seed=0)
    assert min(closeness(atoms) for atoms in tight) > CLOSEST


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "committee.pt"
    made: Committee = committee()
    made.save(path)
    return path


OPTIONS = {"steps": 20, "timestep": 1.0, "temperature": 300.0, "seed": 0, "threads": 1}


@pytest.mark.slow
def test_walk_is_not_run_again(
    model: Path, tmp_path: Path, undrawn: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read_walk(tmp_path / "walk") is None
    (tmp_path / "walk").mkdir()
    (tmp_path / "walk" / "log.csv").write_text("of a run that was killed")
    found = walk(model, molecule("H2O"), tmp_path / "walk", **OPTIONS)
    assert len(found.frames) == len(found.times) == len(found.largest) == 21
    assert found.times[-1] == 20
    assert found.ended is None
    assert capsys.readouterr().out == ""
    assert "degrees of freedom" in (tmp_path / "walk.txt").read_text()
    monkeypatch.setattr("pyg_mpnn.learning.sampling.run_dynamics", lambda *_, **__: pytest.fail("run again"))
    again = walk(model, molecule("H2O"), tmp_path / "walk", **OPTIONS)
    assert (again.times, again.largest) == (found.times, found.largest)
    for one, other in zip(found.frames, again.frames, strict=True):
        assert np.array_equal(one.positions, other.positions)


def test_walk_stops_where_error_bars_are_large(model: Path, tmp_path: Path, undrawn: None) -> None:
    found = walk(model, molecule("H2O"), tmp_path / "walk", limit=1e-9, **OPTIONS)
    assert found.ended is not None
    assert "the error bar of the force on atom" in found.ended
    assert len(found.frames) == len(found.largest) == 1


@pytest.mark.slow
def test_walk_that_explodes_is_one_that_ended(
    model: Path, tmp_path: Path, undrawn: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(*args: Any, **options: Any) -> None:
        run_dynamics(*args, **options)
        raise ExplosionError("the dynamics exploded at step 20 (20 fs): too fast; what came before is elsewhere")

    monkeypatch.setattr("pyg_mpnn.learning.sampling.run_dynamics", explode)
    found = walk(model, molecule("H2O"), tmp_path / "walk", **OPTIONS)
    assert found.ended == "the dynamics exploded at step 20 (20 fs): too fast"
    assert len(found.frames) == 21
