from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch_geometric.data import Data

from pyg_mpnn import load_potential
from pyg_mpnn.data import StructureDataset, ethanol
from pyg_mpnn.models import Committee, LastLayer, UncertainPotential
from pyg_mpnn.training import (
    TrainingResult,
    TrainingSettings,
    add_error_bars,
    calibrate,
    evaluate,
    fit_last_layer,
    train,
    train_committee,
    uncertainty,
)

Settings = Callable[..., TrainingSettings]


@pytest.fixture(scope="module")
def committee(tmp_path_factory: pytest.TempPathFactory, frames: list[Data]) -> Path:
    """The folder of a committee of two, trained on twelve frames, of which it may not be much better than nothing."""
    out = tmp_path_factory.mktemp("committee") / "run"
    model = {"hidden_channels": 8, "edge_dim": 8, "channels": 2, "l_max": 1, "num_layers": 1}
    settings = TrainingSettings(
        "tiny", str(out), valid_size=10, epochs=1, batch_size=2, device="cpu", model=model, committee=2
    )
    train_committee(settings, frames=[*frames, *ethanol("train")[12:20]], test=ethanol("test")[:12])
    return out


@pytest.mark.usefixtures("unchecked")
def test_a_model_of_the_users_is_trusted_where_it_was_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr("pyg_mpnn.training.committee.train", lambda settings, **data: None)
    monkeypatch.setattr("pyg_mpnn.training.committee.add_error_bars", lambda *runs, **options: given.update(options))
    model = {"class": "net.py:Net", "width": 8}
    outputs = {"size": "out.py:Size", "dipole": "DipoleOutput"}
    settings = TrainingSettings("x", str(tmp_path / "run"), model=model, outputs=outputs, committee=2, trust=["a.py"])
    train_committee(settings)
    assert sorted(given["trust"]) == ["a.py", "net.py", "out.py"]


@pytest.mark.slow
def test_committee_has_members_of_other_seeds_and_one_split(committee: Path) -> None:
    model = load_potential(committee / "committee.pt")
    assert isinstance(model, Committee)
    kept = [json.loads((committee / f"member-{k}" / "settings.json").read_text()) for k in range(2)]
    assert [(own["seed"], own["split_seed"], own["committee"]) for own in kept] == [(0, 0, 1), (1, 0, 1)]
    for member, k in zip(model.potentials, range(2), strict=True):
        trained = load_potential(committee / f"member-{k}" / "best.ckpt")
        for own, other in zip(member.parameters(), trained.parameters(), strict=True):
            assert torch.equal(own, other)
    assert not torch.equal(*(next(member.parameters()) for member in model.potentials))
    report = json.loads((committee / "committee.json").read_text())
    assert report["test"]["forces"]["count"] == 12 * 27
    assert report["validation"]["energy"]["factor"] == pytest.approx(model.calibration["energy_std"].factor)
    assert (committee / "committee.png").is_file()


@pytest.mark.slow
def test_each_member_starts_from_its_own(
    committee: Path, frames: list[Data], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str | None] = []
    monkeypatch.setattr("pyg_mpnn.training.committee.train", lambda of, **_: started.append(of.start_from))
    monkeypatch.setattr("pyg_mpnn.training.committee.add_error_bars", lambda *_, **__: None)

    def begin(out: str, start_from: Path, members: int = 2) -> None:
        settings = TrainingSettings(
            "tiny", str(tmp_path / out), epochs=1, committee=members, start_from=str(start_from)
        )
        with contextlib.suppress(TypeError):  # of None in place of a result, where types are checked
            train_committee(settings, frames=frames)

    begin("folder", committee)
    begin("file", committee / "member-1" / "best.ckpt")
    own = [str(committee / f"member-{k}" / "best.ckpt") for k in (0, 1)]
    assert started == [*own, own[1], own[1]]
    with pytest.raises(FileNotFoundError, match=r"'start_from' must hold as many members as are trained.*member-2"):
        begin("more", committee, 3)


@pytest.mark.long
def test_members_that_are_complete_are_not_trained_again(
    committee: Path, frames: list[Data], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (committee / "committee.pt").rename(committee / "before.pt")
    monkeypatch.setattr("pyg_mpnn.training.committee.train", lambda *_, **__: pytest.fail("trained again"))
    kept = json.loads((committee / "member-0" / "settings.json").read_text())
    settings = TrainingSettings(**{**kept, "committee": 2, "out": str(committee), "resume": True})
    data = {"frames": [*frames, *ethanol("train")[12:20]], "test": ethanol("test")[:12]}
    found = train_committee(settings, **data)
    assert capsys.readouterr().out.count("is trained already") == 2
    before = load_potential(committee / "before.pt")
    assert isinstance(before, UncertainPotential)
    assert found.model.calibration == before.calibration


@pytest.mark.slow
def test_error_bars_do_not_change_what_is_predicted(committee: Path) -> None:
    """And are no references where they lie in a file: a prediction is not an error."""
    model = load_potential(committee / "committee.pt")
    data = ethanol("test")[:3]
    for frame in data:
        frame.energy_std = torch.ones(1)
    errors = evaluate(model, data)
    assert errors.outputs == {}
    assert errors.forces_mae_meV_per_A is not None


@pytest.mark.slow
def test_last_layer_of_a_training(committee: Path, frames: list[Data], tmp_path: Path) -> None:
    run, data = committee / "member-0", [*frames, *ethanol("train")[12:20]]
    found = add_error_bars([run], tmp_path / "bars.pt", frames=data, test=ethanol("test")[:12])
    model = load_potential(tmp_path / "bars.pt")
    assert isinstance(model, LastLayer)
    assert found.test is not None
    assert found.test["forces"].count == 12 * 27
    frame = ethanol("test")[0]
    assert model(frame).energy.item() == pytest.approx(load_potential(run / "best.ckpt")(frame).energy.item())


@pytest.mark.slow
def test_the_model_is_computed_where_it_was_asked_for(
    committee: Path, frames: list[Data], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each batch goes to the device of the model, which is asked for by its name."""
    asked: list[Any] = []
    monkeypatch.setattr(Data, "to", lambda batch, device, *_: asked.append(device) or batch)
    data = [*frames, *ethanol("train")[12:20]]
    for runs, name in ((["member-0"], "one.pt"), (["member-0", "member-1"], "two.pt")):
        model = add_error_bars([committee / run for run in runs], tmp_path / name, frames=data, device="cpu").model
        assert model.device == torch.device("cpu")
    assert len(asked) > 4
    assert set(asked) == {torch.device("cpu")}
    asked.clear()
    list(uncertainty._batches(StructureDataset(data[:4], 5.0), range(4), 2, torch.device("cpu")))
    assert asked == [torch.device("cpu")] * 2
    with pytest.raises(ValueError, match="'device' must be one that torch can use here, got 'cuda:97'"):
        add_error_bars([committee / "member-0"], tmp_path / "x.pt", frames=data, device="cuda:97")


@pytest.mark.slow
def test_bad_input(
    committee: Path, finished: TrainingResult, settings: Settings, frames: list[Data], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="'committee' must be 1 for one potential, got 3"):
        train(settings(committee=3), frames=frames)
    with pytest.raises(ValueError, match="'committee' must be at least 2 to have a spread, got 1"):
        train_committee(settings(), frames=frames)
    with pytest.raises(ValueError, match="'committee' must be at least 1, got 0"):
        settings(committee=0)
    with pytest.raises(ValueError, match="'committee' is for energies trained in one process"):
        settings(committee=2, without_energy=True)
    with pytest.raises(FileExistsError, match="'out' must be a new or empty folder"):
        train_committee(dataclasses.replace(settings(committee=2), out=str(committee)), frames=frames)
    with pytest.raises(ValueError, match="'runs' must have the same data, got others in"):
        add_error_bars([finished.out, committee / "member-0"], tmp_path / "x.pt", frames=frames)
    with pytest.raises(ValueError, match="whose data have changed since"):
        add_error_bars([finished.out], tmp_path / "x.pt", frames=frames[:-1])
    with pytest.raises(FileNotFoundError, match=r"without settings.json and best.ckpt in it"):
        add_error_bars([tmp_path], tmp_path / "x.pt", frames=frames)
    with pytest.raises(FileExistsError, match="'out' must be a new file"):
        add_error_bars([finished.out], finished.out / "best.ckpt", frames=frames)
    with pytest.raises(ValueError, match="'frames' must hold at least 10 structures with energies to calibrate"):
        calibrate(fit_last_layer(finished.potential, frames, num_forces=2), frames[:3])
    assert not (tmp_path / "x.pt").exists()
