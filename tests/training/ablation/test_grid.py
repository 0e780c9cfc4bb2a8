from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from torch_geometric.data import Data

from pyg_mpnn.training.ablation import AblationSettings, ablate
from pyg_mpnn.training.ablation import grid as module


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Cells without training, and the list of those that were run."""
    ran: list[tuple[str, int]] = []

    def run_cell(settings: AblationSettings, variant: object, seed: int, *rest: object) -> dict[str, object]:
        name, block = variant.name, variant.block  # type: ignore[attr-defined]
        ran.append((name, seed))
        record = {"variant": name, "block": block, "seed": seed, "forces_mae_meV_per_A": 1.0 + seed}
        record |= {"energy_mae_meV": 1.0, "steps": 1, "parameters": 1, "device": "cpu", "threads": 1}
        return record | {"errors_of": "validation structures", "cpu_seconds_per_second": 1.0}

    def time_variants(settings: AblationSettings, variants: list[object], frames: object) -> dict[str, object]:
        numbers = {"median": 1.0, "p10": 1.0, "p90": 1.0}
        return {variant.name: {"evaluate": numbers, "train": numbers} for variant in variants}  # type: ignore[attr-defined]

    monkeypatch.setattr(module, "run_cell", run_cell)
    monkeypatch.setattr(module, "time_variants", time_variants)
    return ran


@pytest.mark.slow
def test_a_real_grid_of_one_block(
    settings: Callable[..., AblationSettings], frames: list[Data], unchecked: None, capsys: pytest.CaptureFixture[str]
) -> None:
    own = settings(minutes=0.005)
    report = ablate(own, frames=frames, note={"commit": "abc"})
    cells = {path.name: json.loads(path.read_text()) for path in (report.parent / "cells").iterdir()}
    assert set(cells) == {"reference-seed0.json", "num_layers-1-seed0.json", "num_layers-3-seed0.json"}
    for cell in cells.values():
        assert cell["commit"] == "abc"
        assert cell["forces_mae_meV_per_A"] > 0
        assert cell["n_structures"] == 4  # validated
        assert cell["learning_curve"][-1]["step"] == cell["steps"]
    splits = {cell["training_indices_sha256"] for cell in cells.values()}
    assert len(splits) == 1
    assert cells["num_layers-1-seed0.json"]["config"]["representation"]["num_layers"] == 1
    assert "Training Potential" in (report.parent / "log.txt").read_text()
    printed = capsys.readouterr().out
    assert "3 of 3: num_layers 3, seed 0: force MAE" in printed
    assert "num_layers: one seed, no verdict" in printed


@pytest.mark.slow
def test_an_interrupted_grid_goes_on(
    settings: Callable[..., AblationSettings], frames: list[Data], fake: list[tuple[str, int]]
) -> None:
    ablate(settings(), frames=frames)
    assert fake == [("reference", 0), ("num_layers 1", 0), ("num_layers 3", 0)]
    (Path(settings().out) / "cells" / "num_layers-1-seed0.json").unlink()
    ablate(settings(seeds=2, only=["num_layers", "l_max"]), frames=frames)
    names = [
        "l_max 1",
        "l_max 3",
        "num_layers 1",
        "num_layers 3",
    ]  # the lost one and the new ones of seed 0, then seed 1
    assert fake[3:] == [(name, 0) for name in names[:3]] + [(name, 1) for name in ["reference", *names]]
    times = json.loads((Path(settings().out) / "times.json").read_text())["us_per_atom"]
    assert set(times) == {"reference", "num_layers 1", "num_layers 3", "l_max 1", "l_max 3"}


def test_no_cell_starts_that_would_end_after_the_budget(
    settings: Callable[..., AblationSettings],
    frames: list[Data],
    fake: list[tuple[str, int]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    ablate(settings(minutes=5.0, budget_minutes=4.0), frames=frames)
    assert fake == []
    assert "0 of 4 minutes are spent, 3 cells are left" in capsys.readouterr().out


def test_settings_may_be_corrected_before_the_first_cell(
    settings: Callable[..., AblationSettings], frames: list[Data], fake: list[tuple[str, int]]
) -> None:
    ablate(settings(valid_size=3, budget_minutes=1e-6), frames=frames)
    assert not fake
    ablate(settings(valid_size=4), frames=frames)
    assert fake
    assert json.loads((Path(settings().out) / "grid.json").read_text())["valid_size"] == 4


def test_a_folder_of_something_else_is_refused(
    settings: Callable[..., AblationSettings], frames: list[Data], fake: list[tuple[str, int]]
) -> None:
    ablate(settings(), frames=frames)
    with pytest.raises(ValueError, match=r"'out' must be new or hold the same comparison.*'minutes' \(was 0.01\)"):
        ablate(settings(minutes=1.0), frames=frames)
    with pytest.raises(ValueError, match=r"'structures' .*'sha256'"):
        ablate(settings(), frames=frames[:8])
    other = Path(settings().out).with_name("other")
    other.mkdir()
    (other / "thesis.tex").write_text("mine")
    with pytest.raises(ValueError, match="'out' must be a new or empty folder"):
        ablate(settings(out=str(other)), frames=frames)
    assert [path.name for path in other.iterdir()] == ["thesis.tex"]
