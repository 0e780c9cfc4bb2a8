"""The potentials that come with the package: they are what their cards say, and are found by name."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch_geometric.data import Batch, Data

from pyg_mpnn import Potential, load_potential
from pyg_mpnn.data import ethanol
from pyg_mpnn.models.files import read_content
from pyg_mpnn.models.pretrained import PRETRAINED, model_file
from pyg_mpnn.testing import check_potential, laws
from pyg_mpnn.training import TrainingSettings, train

ENERGIES = {"organic": -338.8033258179, "organic-small": -338.8327118580}  # eV, of fluoromethanol
GFN2 = -338.80416  # eV, by tblite 0.8


@pytest.fixture
def fluoromethanol() -> Data:
    """CH2FOH, near its minimum: all elements but nitrogen."""
    pos = [[0.0, 0.0, 0.0], [1.36, 0.0, 0.0], [-0.55, 1.25, 0.0], [-0.45, -0.52, 0.9], [-0.45, -0.52, -0.9]]
    pos.append([1.7, -0.45, 0.78])
    return Data(z=torch.tensor([6, 8, 9, 1, 1, 1]), pos=torch.tensor(pos, dtype=torch.float64))


@pytest.mark.parametrize("name", PRETRAINED)
def test_shipped_potential_is_the_one_that_was_tested(name: str, fluoromethanol: Data) -> None:
    potential = Potential.load(name).double()
    with torch.no_grad():
        energy = float(potential(Batch.from_data_list([fluoromethanol]), forces=False).energy)
    assert energy == pytest.approx(ENERGIES[name], abs=1e-6)
    assert energy == pytest.approx(GFN2, abs=0.05), "far from the teacher"
    assert tuple(potential.elements) == (1, 6, 7, 8, 9)
    content = read_content(name, "cpu", "a model")
    assert all(value.dtype == torch.float32 for key, value in content["state_dict"].items() if "linears" in key)
    assert model_file(name).stat().st_size < 2_000_000
    assert name in model_file(name).with_suffix(".md").read_text()
    assert not any("optimizer" in key for key in content), "the states of the optimizer double the file"


def test_laws_hold(fluoromethanol: Data) -> None:
    wanted = [laws.rotation, laws.forces, laws.isolated_energy]
    report = check_potential(load_potential(PRETRAINED[0]), fluoromethanol, dtype=torch.float64, laws=wanted)
    assert report.passed, str(report)


def test_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert model_file("organic").parent != Path()
    assert model_file("organic.pt") == Path("organic.pt")
    for unknown in ("organik", "organic-huge"):
        with pytest.raises(FileNotFoundError, match="come with the package are organic"):
            load_potential(unknown)
    with pytest.raises(FileNotFoundError, match=r"does not exist$"):
        load_potential("organic.ckpt")
    (tmp_path / "organic").mkdir()
    assert model_file("organic").is_file(), "a folder of that name is in the way of nothing"


def test_file_of_that_name_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Potential.from_size("small", hidden_channels=8, edge_dim=8, channels=2, num_layers=1).save("organic")
    assert sum(parameter.numel() for parameter in load_potential("organic").parameters()) < 10_000


@pytest.mark.slow
def test_training_starts_from_it(tmp_path: Path) -> None:
    """One epoch from it, on 40 frames of DFT, has half of the error that random weights begin with."""
    settings = TrainingSettings(
        data="ethanol", out=str(tmp_path / "tuned"), start_from="organic", epochs=1, learning_rate=1e-3
    )
    frames = ethanol("train")
    result = train(settings, frames=frames[:40], valid=frames[-20:])
    assert result.errors.forces_mae_meV_per_A < 0.5 * result.trivial.forces_mae_meV_per_A
    assert result.errors.energy_mae_meV < 500
    assert "organic" in (result.out / "model_card.md").read_text()
    with pytest.raises(FileNotFoundError, match=r"comes with the package \(organic"):
        train(TrainingSettings(data="ethanol", out="none", start_from="organik", epochs=1))
