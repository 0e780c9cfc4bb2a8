"""Trainings of other outputs than energies: the properties of QM9, and energies with dipoles and polarizabilities."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from pyg_mpnn import DipoleOutput, PolarizabilityOutput, Potential, ScalarOutput, load_potential
from pyg_mpnn.cli import main
from pyg_mpnn.data import QM9
from pyg_mpnn.training import PotentialModule, TrainingSettings, evaluate, train
from pyg_mpnn.training.logs import read_history
from pyg_mpnn.training.output_reference import target_output

ASSETS = Path(__file__).parents[1] / "data" / "assets"
FOLDER = ASSETS / "qm9"
BEFORE = json.loads(Path(__file__).with_name("properties_dec9c62.json").read_text())["values"]
TINY = {"hidden_channels": 32, "edge_dim": 16, "channels": 4, "l_max": 1, "num_layers": 1}
Settings = Callable[..., TrainingSettings]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    base = TrainingSettings(
        str(FOLDER),
        str(tmp_path / "run"),
        target="gap",
        size="small",
        epochs=2,
        batch_size=16,
        device="cpu",
        threads=1,
        learning_rate=1e-2,
        model=TINY,
    )
    return lambda **changes: dataclasses.replace(base, **changes)


def molecules(count: int, *names: str) -> list[Data]:
    """Some of the molecules labelled by GFN2-xTB, with these labels."""
    with np.load(ASSETS / "dipoles.npz") as file:
        ends = file["natoms"].astype(int).cumsum()[:count]
        found = []
        for k, end in enumerate(ends):
            atoms = slice(end - int(file["natoms"][k]), end)
            rows = {name: file[name][atoms] for name in ("forces", "charges")}
            rows |= {name: file[name][k : k + 1] for name in ("energy", "dipole", "polarizability")}
            pos = torch.from_numpy(file["pos"][atoms])
            labels = {name: torch.from_numpy(rows[name]).double() for name in names}
            found.append(Data(z=torch.from_numpy(file["z"][atoms]).long(), pos=pos, **labels))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("target", BEFORE)
def test_a_target_of_qm9_trains_as_before(settings: Settings, target: str) -> None:
    """The numbers of `train_property` of dec9c62, which was a training of its own."""
    found = train(settings(target=target, dtype="float64", optimizer="adamw"))
    rows = read_history(found.out / "metrics.csv")
    for part in ("train", "valid"):
        errors = [row[f"{part}_{target}_mae"] for row in rows]
        assert errors == pytest.approx(BEFORE[target][f"{part}_mae"], rel=1e-6)
    assert found.errors.outputs[target].mae == pytest.approx(BEFORE[target]["test_mae"], rel=1e-8)
    if target != "mu":  # whose trivial predictor is the mean
        assert found.trivial.outputs[target].mae == pytest.approx(BEFORE[target]["composition"], rel=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize(
    "target", ["gap", *(pytest.param(name, marks=pytest.mark.slow) for name in ("mu", "alpha", "r2"))]
)
def test_each_kind_learns(settings: Settings, target: str) -> None:
    """Small molecules, trained and tested on the same ones: does the model of each kind learn?"""
    frames = QM9(FOLDER, target)[:32]
    found = train(
        settings(target=target, epochs=12, batch_size=8, learning_rate=0.03), frames=frames, valid=frames, test=frames
    )
    rows = read_history(found.out / "metrics.csv")
    assert rows[-1][f"train_{target}_mae"] < 0.85 * rows[0][f"train_{target}_mae"]
    mean = sum(float(frame.target) for frame in frames) / len(frames)
    assert found.errors.outputs[target].mae < 0.85 * np.mean([abs(float(frame.target) - mean) for frame in frames])
    assert found.errors.outputs[target].mae < found.trivial.outputs[target].mae
    assert evaluate(found.out / "best.ckpt", _named(frames, target)).outputs[target].mae == pytest.approx(
        found.errors.outputs[target].mae, rel=1e-4
    )


def _named(frames: list[Data], target: str) -> list[Data]:
    return [Data(z=frame.z, pos=frame.pos, **{target: frame.target}) for frame in frames]


@pytest.mark.slow
def test_command_trains_on_the_split_of_qm9(tmp_path: Path, drawn: None) -> None:
    out = tmp_path / "cli"
    flags = ["--epochs", "1", "--size", "small", "--device", "cpu", "--batch-atoms", "100", "--model.num_layers", "1"]
    assert main(["train", "--data", str(FOLDER), "--target", "U0", "--out", str(out), *flags]) == 0
    card = json.loads((out / "model_card.json").read_text())
    assert [card["data"][f"{name}_structures"] for name in ("training", "validation", "test")] == [81, 7, 8]
    assert card["data"]["split_sha256"] == QM9(FOLDER).split().sha256
    assert card["outputs"]["U0"]["unit"] == "eV"
    assert 0 < card["errors"]["test"]["outputs"]["U0"]["mae"] < 10
    assert "| U0 MAE (eV) |" in (out / "model_card.md").read_text()
    assert "reference_energies" not in card
    assert (out / "parity.png").stat().st_size > 10_000


@pytest.mark.slow
def test_interrupted_training_goes_on_exactly(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(settings(epochs=3))
    step = PotentialModule.training_step

    def stop(self: PotentialModule, batch: Any, batch_idx: int) -> None:
        if self.global_step == 8:
            raise RuntimeError("power cut")
        step(self, batch, batch_idx)

    out = str(tmp_path / "cut")
    with monkeypatch.context() as patch:
        patch.setattr(PotentialModule, "training_step", stop)
        with pytest.raises(RuntimeError, match="power cut"):
            train(settings(epochs=3, out=out))
    with pytest.raises(ValueError, match=r"'resume' must continue the same training, got other values for .*'target'"):
        train(settings(epochs=3, out=out, resume=True, target="homo"))
    resumed = train(settings(epochs=3, out=out, resume=True))
    assert resumed.errors == whole.errors
    for one, other in zip(whole.potential.parameters(), resumed.potential.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.slow
def test_parts_of_a_step_train_as_the_whole(settings: Settings, tmp_path: Path) -> None:
    start = Potential.from_size("small", energy=False, outputs={"gap": target_output("gap")}, **TINY).double()
    models = []
    for name, parts in (("whole", 1), ("parts", 3)):
        base = settings(dtype="float64", out=str(tmp_path / name), accumulate=parts)
        models.append(train(base, copy.deepcopy(start)).potential)
    moved = 0.0
    for before, one, other in zip(*(model.parameters() for model in (start, *models)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-9)
        moved = max(moved, float((one - before).detach().abs().max()))
    assert moved > 1e-4, "control: the weights moved"


@pytest.mark.slow
def test_energy_and_dipole_and_polarizability_train_together(settings: Settings) -> None:
    """One model, one training: every second molecule has no dipole, and every third no polarizability."""
    frames = molecules(48, "energy", "forces", "dipole", "polarizability")
    for frame in frames[::2]:
        del frame.dipole
    for frame in frames[::3]:
        frame.polarizability = torch.full((1, 3, 3), torch.nan)
    outputs = {"dipole": DipoleOutput(), "polarizability": PolarizabilityOutput()}
    model = Potential.from_size("small", **{**TINY, "l_max": 2}, outputs=outputs)
    base = settings(target=None, data="xtb", epochs=8, batch_size=8, valid_size=8, output_weights={"dipole": 2.0})
    found = train(base, model, frames=frames, test=molecules(56, "energy", "forces", "dipole", "polarizability")[48:])
    rows = read_history(found.out / "metrics.csv")
    for name in ("forces", "dipole", "polarizability"):
        column = next(key for key in rows[0] if key.startswith(f"train_{name}_rmse"))
        assert rows[-1][column] < 0.9 * rows[0][column], name
    assert found.errors.outputs["dipole"].count == 8 * 3
    for name in ("dipole", "polarizability"):
        assert found.errors.outputs[name].mae < found.trivial.outputs[name].mae
    assert found.errors.forces_mae_meV_per_A < found.trivial.forces_mae_meV_per_A
    loaded = load_potential(found.out / "best.ckpt")
    assert torch.allclose(loaded(frames[0]).dipole, found.potential(frames[0]).dipole, atol=1e-6)
    card = json.loads((found.out / "model_card.json").read_text())
    assert card["outputs"]["dipole"]["unit"] == "e*A"
    assert card["training"]["best_by"].count("over its spread") == 2


OWN = '''
import torch
from pyg_mpnn import EnergyTerm, Output
from pyg_mpnn.scatter import scatter_sum


class Dipole(Output):
    """Charges of a linear network on the last features, times positions."""

    shape, symmetry, unit = (3,), "equivariant", "e*A"

    def __init__(self, width: int = 4):
        super().__init__()
        self.width = width

    def build(self, representation):
        self.mix = torch.nn.Sequential(torch.nn.Linear(representation.out_channels, self.width), torch.nn.Tanh())

    def forward(self, features, structure):
        q = self.mix(features.x[-1]).sum(1, keepdim=True).double()
        count = torch.bincount(structure.batch, minlength=structure.num_graphs)
        mean = scatter_sum(q, structure.batch, structure.num_graphs) / count[:, None]
        return scatter_sum((q - mean[structure.batch]) * structure.pos, structure.batch, structure.num_graphs)
'''


@pytest.mark.slow
def test_an_output_in_a_file_of_the_users_is_a_flag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Outside the clone: train, evaluate and predict, with a class of the user's and one of ours."""
    monkeypatch.chdir(tmp_path)
    Path("own_outputs.py").write_text(OWN)
    atoms = []
    for frame in molecules(20, "energy", "forces", "dipole", "charges"):
        one = ase.Atoms(frame.z.numpy(), frame.pos.numpy())
        one.info |= {"REF_energy": float(frame.energy), "dipole": frame.dipole[0].numpy()}
        one.arrays |= {"REF_forces": frame.forces.numpy(), "charges": frame.charges.numpy()}
        atoms.append(one)
    del atoms[3].info["dipole"]
    ase.io.write("xtb.extxyz", atoms)
    flags = ["--epochs", "1", "--device", "cpu", "--valid-size", "4", "--size", "small", "--model.num-layers", "1"]
    flags += ["--outputs.dipole", "own_outputs.py:Dipole", "--outputs.dipole.width", "3"]
    flags += ["--outputs.charges", "ChargesOutput", "--output-weights.charges", "0.5"]
    assert main(["train", "--data", "xtb.extxyz", "--out", "run", *flags]) == 0
    assert "dipole from dipole in 19, charges from charges in 20" in capsys.readouterr().out
    card = json.loads(Path("run/model_card.json").read_text())
    assert card["model"]["config"]["outputs"]["dipole"] == {"class": "own_outputs.py:Dipole", "width": 3}
    assert set(card["errors"]["validation"]["outputs"]) == {"dipole", "charges"}
    evaluated = ["evaluate", "--model", "run/best.ckpt", "--data", "xtb.extxyz"]
    assert main(evaluated) == 1
    assert "--trust own_outputs.py" in capsys.readouterr().err
    assert main([*evaluated, "--trust", "own_outputs.py"]) == 0
    assert "dipole MAE (e*A)" in capsys.readouterr().out
    structures = ["--structures", "xtb.extxyz", "--out", "out.xyz", "--trust", "own_outputs.py"]
    assert main(["predict", "--model", "run/best.ckpt", *structures]) == 0
    assert ase.io.read("out.xyz").get_dipole_moment().shape == (3,)
    alone = ["--without-energy", *flags]
    assert main(["train", "--data", "xtb.extxyz", "--out", "alone", *alone]) == 0
    assert load_potential("alone/best.ckpt", trust=["own_outputs.py"]).has_energy is False


def test_unusable_settings_are_errors(settings: Settings) -> None:
    with pytest.raises(ValueError, match=r"'target' must be one of mu, .*, got 'charge'"):
        train(settings(target="charge"))
    file = next(path for path in FOLDER.iterdir() if path.is_file())
    with pytest.raises(ValueError, match=r"'data' must be a folder with QM9, .*: leave 'target' out"):
        train(settings(data=str(file)))
    plain, gap = QM9(FOLDER)[:3], QM9(FOLDER, "gap")[:3]
    with pytest.raises(ValueError, match=r"'target' is missing in molecule 0 of train"):
        train(settings(), frames=plain, valid=plain)
    with pytest.raises(ValueError, match=r"'frames' and 'valid' must hold at least one structure"):
        train(settings(), frames=gap, valid=[])
    with pytest.raises(ValueError, match=r"'potential' must have the output 'gap' alone, as 'target' says, got energy"):
        train(settings(), Potential.from_size("small", **TINY), frames=gap, valid=gap)
    with pytest.raises(ValueError, match=r"'output_weights' must name outputs \(gap\), got \['dipole'\]"):
        train(settings(output_weights={"dipole": 1.0}), frames=gap, valid=gap)
    model = Potential.from_size("small", **TINY, energy=False, outputs={"gap": ScalarOutput()})
    with pytest.raises(ValueError, match="'gap' must be in at least one training structure"):
        train(settings(target=None), model, frames=plain, valid=plain)
    with pytest.raises(ValueError, match=r"'gap' of frame 0 .*must have the shape \(1,\)"):
        train(settings(target=None), model, frames=[Data(z=plain[0].z, pos=plain[0].pos, gap=torch.ones(2))])
    assert not Path(settings().out).exists()
