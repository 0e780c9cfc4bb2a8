"""One training on molecules and crystals of several elements and sizes, from several files, some frames weighted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ase.io
import pytest
from torch_geometric.data import Data

from pyg_mpnn import Potential
from pyg_mpnn.cli import main
from pyg_mpnn.data import ethanol, read_structures, to_atoms
from pyg_mpnn.training import evaluate

SILICON = Path(__file__).parents[1] / "data" / "assets" / "si.extxyz"
TINY = ["--model.hidden_channels", "8", "--model.edge_dim", "8", "--model.channels", "2", "--model.l_max", "1"]
TINY += ["--model.num_layers", "1", "--device", "cpu", "--threads", "1", "--dtype", "float64", "--valid-size", "4"]


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    paths = [tmp_path / "ethanol.extxyz", tmp_path / "silicon.extxyz"]
    molecules: list[Data] = ethanol("train")[:12]
    ase.io.write(paths[0], [to_atoms(frame) for frame in molecules])
    ase.io.write(paths[1], [to_atoms(frame) for frame in read_structures(SILICON)])
    return [str(path) for path in paths]


def _train(out: Path, files: list[str], *flags: str, epochs: int = 1) -> dict[str, Any]:
    assert main(["train", "--data", *files, "--epochs", str(epochs), "--out", str(out), *TINY, *flags]) == 0
    card: dict[str, Any] = json.loads((out / "model_card.json").read_text())
    return card


@pytest.mark.slow
def test_molecules_and_crystals_of_several_files_train_together(tmp_path: Path, files: list[str]) -> None:
    card = _train(tmp_path / "run", files, "--test", *files, "--batch-size", "3", epochs=4)
    assert card["data"]["file"] == files
    assert card["data"]["structures"] == 16
    assert card["model"]["elements"] == [1, 6, 8, 14]
    errors, trivial = card["errors"]["test"], card["errors"]["trivial predictor"]
    assert errors["forces_mae_meV_per_A"] < trivial["forces_mae_meV_per_A"]
    assert errors["stress_mae_GPa"] is not None
    potential = Potential.load(tmp_path / "run" / "best.ckpt")
    assert evaluate(potential, files).forces_mae_meV_per_A == pytest.approx(errors["forces_mae_meV_per_A"], rel=1e-8)


@pytest.mark.slow
def test_weights_of_one_change_nothing_and_others_do(tmp_path: Path, files: list[str]) -> None:
    mae = []
    for name, weight in (("none", None), ("one", 1.0), ("four", 4.0)):
        frames = [to_atoms(frame) for frame in read_structures(files)]
        for atoms in frames if weight is not None else []:
            atoms.info["config_weight"] = weight if "Si" in atoms.symbols else 1.0
        ase.io.write(tmp_path / f"{name}.extxyz", frames)
        card = _train(tmp_path / name, [str(tmp_path / f"{name}.extxyz")])
        mae.append(card["errors"]["validation"]["forces_mae_meV_per_A"])
    assert mae[0] == mae[1]
    assert mae[2] != mae[0]
