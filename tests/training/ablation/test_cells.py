from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from torch_geometric.data import Data

from pyg_mpnn.files import write_json
from pyg_mpnn.training.ablation import AblationSettings
from pyg_mpnn.training.ablation import cells as module
from pyg_mpnn.training.ablation.cells import cell_path, read_cells, run_cell


def test_a_diverged_training_is_a_result(
    settings: Callable[..., AblationSettings], frames: list[Data], monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(*args: object, **named: object) -> None:
        raise FloatingPointError("The loss must be finite, got nan")

    monkeypatch.setattr(module, "train", diverge)
    own = settings()
    Path(own.out).mkdir()
    record = run_cell(own, own.variants[1], 0, frames, None)
    assert record["error"] == "The loss must be finite, got nan"
    assert (record["variant"], record["seed"]) == ("num_layers 1", 0)


def test_a_failed_write_leaves_the_old_cell(settings: Callable[..., AblationSettings]) -> None:
    own = settings()
    path = cell_path(Path(own.out), own.variants[1], 2)
    assert path.name == "num_layers-1-seed2.json"
    write_json(path, {"seed": 2})
    with pytest.raises(TypeError):
        write_json(path, {"seed": object()})
    assert json.loads(path.read_text()) == {"seed": 2}
    assert read_cells(Path(own.out)) == [{"seed": 2}]
