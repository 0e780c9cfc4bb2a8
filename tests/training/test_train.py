from __future__ import annotations

import importlib
import json
import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch_geometric.data import Data

from pyg_mpnn import MPNN, ZBL, Potential, SumPotential
from pyg_mpnn.data import shortest_distances, subtract_baseline
from pyg_mpnn.training import PotentialModule, TrainingResult, TrainingSettings, evaluate, train

train_of_training = importlib.import_module("pyg_mpnn.training.train")  # the package has a function of this name
Settings = Callable[..., TrainingSettings]


def test_folder_that_is_not_empty_is_an_error(settings: Settings, frames: list[Data]) -> None:
    out = Path(settings().out)
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"'out' must be a new or empty folder, got '.*run', which is not empty"):
        train(settings(), frames=frames)
    assert (out / "notes.txt").read_text() == "mine"


def test_unusable_data_leave_no_folder(settings: Settings) -> None:
    with pytest.raises(FileNotFoundError, match="must be files or the word ethanol"):
        train(settings(data="absent.xyz"))
    assert not Path(settings().out).exists()


def test_resume_without_a_checkpoint_is_an_error(settings: Settings, frames: list[Data]) -> None:
    with pytest.raises(FileNotFoundError, match=r"'out' must hold last.ckpt to resume from, got '.*run' without it"):
        train(settings(resume=True), frames=frames)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 4}, r"got other values for 'batch_size' \(was 2\)"),
        ({"seed": 1}, r"'seed' \(was 0\).*the data \(training_indices_sha256\)"),
        ({"epochs": None, "minutes": 1.0}, r"'epochs' or 'minutes' \(were 2 and None\)"),
        ({"model": {"num_layers": 1}}, r"'model' \(was .*the potential"),
    ],
)
def test_resume_of_another_training_is_an_error(
    settings: Settings, frames: list[Data], change: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _stop_in_second_epoch(settings, frames, monkeypatch)
    with pytest.raises(ValueError, match=message):
        train(settings(resume=True, **change), frames=frames)


def test_resume_with_other_data_is_an_error(
    settings: Settings, frames: list[Data], monkeypatch: pytest.MonkeyPatch
) -> None:
    _stop_in_second_epoch(settings, frames, monkeypatch)
    with pytest.raises(ValueError, match=r"got other values for the data \(sha256\)"):
        train(settings(resume=True), frames=frames[::-1])


def _stop_in_second_epoch(
    settings: Settings, frames: list[Data], monkeypatch: pytest.MonkeyPatch, **changes: Any
) -> None:
    step = PotentialModule.training_step

    def stop(self: PotentialModule, batch: Any, batch_idx: int) -> torch.Tensor:
        if self.global_step == 5:
            raise RuntimeError("power cut")
        return step(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(PotentialModule, "training_step", stop)
        with pytest.raises(RuntimeError, match="power cut"):
            train(settings(**changes), frames=frames)


@pytest.mark.slow
def test_resume_of_a_complete_training_writes_the_report_again(
    settings: Settings, frames: list[Data], capsys: pytest.CaptureFixture[str]
) -> None:
    first = train(settings(), frames=frames)
    (first.out / "parity.png").unlink()
    again = train(settings(resume=True), frames=frames)
    assert "The training is complete; to go on, give more epochs or minutes" in capsys.readouterr().out
    assert again.errors == first.errors
    assert (first.out / "parity.png").exists()


@pytest.mark.slow
def test_complete_training_can_be_given_more_epochs(settings: Settings, frames: list[Data]) -> None:
    train(settings(), frames=frames)
    train(settings(resume=True, epochs=3), frames=frames)
    assert torch.load(Path(settings().out) / "last.ckpt", weights_only=True)["epoch"] == 2


@pytest.mark.slow
def test_training_of_an_older_version_goes_on(settings: Settings, frames: list[Data]) -> None:
    train(settings(), frames=frames)
    last = Path(settings().out) / "last.ckpt"
    checkpoint = torch.load(last, weights_only=True)
    del checkpoint["pyg_mpnn"]["settings"]["weight_decay"]  # a setting that did not exist then
    torch.save(checkpoint, last)
    with pytest.raises(ValueError, match=r"got other values for 'weight_decay' \(was 0.0\)"):
        train(settings(resume=True, epochs=3, weight_decay=0.1), frames=frames)
    train(settings(resume=True, epochs=3), frames=frames)
    assert torch.load(last, weights_only=True)["epoch"] == 2


@pytest.mark.slow
def test_parts_of_a_batch_train_the_same(settings: Settings, frames: list[Data], tmp_path: Path) -> None:
    """Nine structures in batches of five and four, in one part and in three."""
    one, three = (
        train(
            settings(accumulate=n, out=str(tmp_path / str(n)), dtype="float64", batch_size=5, valid_size=3),
            frames=frames,
        )
        for n in (1, 3)
    )
    for a, b in zip(one.potential.parameters(), three.potential.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["l1", "huber"])
def test_other_losses_lower_the_error(settings: Settings, frames: list[Data], loss: Any) -> None:
    result = train(settings(loss=loss, epochs=8, learning_rate=0.04), frames=frames)
    assert result.errors.forces_mae_meV_per_A < 0.95 * result.trivial.forces_mae_meV_per_A


@pytest.mark.slow
def test_training_stops_where_the_score_no_longer_falls_and_resumes_its_patience(
    settings: Settings, frames: list[Data], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = iter([3.0, 2.0, 2.5, 2.4, 1.0])  # of epoch 1; after the break of 2, 3 and 4, where it must stop
    monkeypatch.setattr("pyg_mpnn.training.module.score", lambda *_: next(scores))
    _stop_in_second_epoch(settings, frames, monkeypatch, patience=2, epochs=9)
    train(settings(patience=2, epochs=9, resume=True), frames=frames)
    assert torch.load(Path(settings().out) / "last.ckpt", weights_only=True)["epoch"] == 3
    capsys.readouterr()
    train(settings(patience=2, epochs=9, resume=True), frames=frames)
    assert "The training had stopped early (patience 2). Writing the report again." in capsys.readouterr().out
    assert next(scores) == 1.0


@pytest.mark.slow
def test_same_seed_gives_the_same_potential(settings: Settings, frames: list[Data], tmp_path: Path) -> None:
    first, same, other = (
        train(settings(out=str(tmp_path / name), seed=seed, epochs=1), frames=frames)
        for name, seed in (("a", 5), ("b", 5), ("c", 6))
    )
    assert first.errors == same.errors
    assert first.errors != other.errors


def test_settings_are_kept_for_a_later_config(finished: TrainingResult) -> None:
    kept = json.loads((finished.out / "settings.json").read_text())
    assert kept["epochs"] == 3
    assert TrainingSettings(**kept).model == kept["model"]


@pytest.mark.slow
def test_dtype_reaches_network_and_checkpoint(settings: Settings, frames: list[Data]) -> None:
    result = train(settings(dtype="float64", epochs=1), frames=frames)
    assert result.potential.dtype == torch.float64
    assert Potential.load(result.out / "best.ckpt").dtype == torch.float64


class MyNetwork(MPNN):
    """A network of the user's."""


def test_potential_of_the_users_own_is_trained(settings: Settings, frames: list[Data]) -> None:
    network = MyNetwork(hidden_channels=8, edge_dim=8, channels=2, l_max=1, num_layers=1)
    potential = Potential(network)
    before = [parameter.clone() for parameter in potential.parameters()]
    result = train(settings(epochs=1), potential, frames=frames)
    assert result.potential is potential
    loaded = Potential.load(result.out / "best.ckpt", trust=[MyNetwork])
    assert torch.equal(loaded(frames[0]).energy, potential(frames[0]).energy)
    assert any(bool((new != old).any()) for new, old in zip(potential.parameters(), before, strict=True))


def test_lightning_is_silent_but_other_warnings_are_heard(
    settings: Settings, frames: list[Data], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    start = PotentialModule.on_train_start

    def warn(self: PotentialModule) -> None:
        start(self)
        warnings.warn("the disk is nearly full", stacklevel=1)

    monkeypatch.setattr(PotentialModule, "on_train_start", warn)
    level = logging.getLogger("lightning.pytorch").level
    with pytest.warns(UserWarning, match="the disk is nearly full"):
        train(settings(epochs=1), frames=frames)
    shown = capsys.readouterr()
    for word in ("GPU", "TPU", "Trainer", "workers", "litlogger", "max_epochs"):
        assert word not in shown.out + shown.err
    assert logging.getLogger("lightning.pytorch").level == level


def test_output_without_a_terminal_is_short(
    settings: Settings, frames: list[Data], capsys: pytest.CaptureFixture[str]
) -> None:
    train(settings(), frames=frames)
    shown = capsys.readouterr()
    assert "\r" not in shown.out + shown.err
    assert len(shown.err.splitlines()) == 2, "one line of progress an epoch"
    assert "forces MAE (meV/A)" in shown.out
    assert "Note: the errors are those of the validation structures" in shown.out


@pytest.mark.slow
def test_repulsion_ends_where_the_training_structures_begin(settings: Settings, frames: list[Data]) -> None:
    result = train(settings(epochs=1), frames=frames)
    loaded = Potential.load(result.out / "best.ckpt")
    assert loaded.zbl is not None
    without = settings(out=str(result.out) + "-bare", epochs=1, zbl=False)
    bare = Potential.load(train(without, frames=frames).out / "best.ckpt")
    assert bare.zbl is None
    for frame in frames[:3]:  # zero there, so that the same network was learned
        assert torch.equal(loaded(frame).energy, bare(frame).energy)
    # of the 8 structures that were trained on, and of the 12 at most
    shortest = shortest_distances(frames, cutoff=5.0)
    for pair in ((1, 6), (6, 6), (6, 8)):
        assert shortest[pair] - 1e-6 <= loaded.zbl.radii[pair].item() / 0.9 < shortest[pair] + 0.05
    near = Data(z=torch.tensor([6, 1]), pos=torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 0.4]]))
    assert loaded(near).forces[1, 2] > bare(near).forces[1, 2] + 50.0
    given = train(settings(out=str(result.out) + "-own", epochs=1), Potential.from_size("small"), frames=frames)
    assert given.potential.zbl is None, "a model that is given stays what it is"


@pytest.mark.slow
def test_difference_to_a_baseline_is_learned_and_added_again(settings: Settings, frames: list[Data]) -> None:
    baseline = ZBL(2.5).double().eval()
    whole = [frame.clone() for frame in frames]
    for frame in whole:
        output = baseline(frame)
        frame.energy, frame.forces = frame.energy + output.energy, frame.forces + output.forces
    result = train(settings(epochs=2), frames=subtract_baseline(whole, baseline))
    error = evaluate(result.potential, frames).forces_mae_meV_per_A
    total = SumPotential(baseline, result.potential).eval()
    assert evaluate(total, whole).forces_mae_meV_per_A == pytest.approx(error, rel=1e-4)
    assert evaluate(result.potential, whole).forces_mae_meV_per_A > 2 * error  # control: without the baseline


def test_gpu_that_is_not_there_leaves_no_folder(
    settings: Settings, frames: list[Data], monkeypatch: pytest.MonkeyPatch
) -> None:
    def without(*size: int, device: str | None = None) -> torch.Tensor:
        raise AssertionError("Torch not compiled with CUDA enabled")

    monkeypatch.setattr(torch, "empty", without)
    with pytest.raises(
        ValueError, match="'device' must be one that torch can use here, got 'cuda': Torch not compiled"
    ):
        train(settings(device="cuda"), frames=frames)
    assert not Path(settings().out).exists()


def test_a_sum_is_not_trained_but_its_part(settings: Settings, frames: list[Data], unchecked: None) -> None:
    both = SumPotential(Potential.from_size("small"), Potential.from_size("small"))
    with pytest.raises(TypeError, match=r"'potential' must be a Potential, got SumPotential: train the part that is"):
        train(settings(), both, frames=frames)


def test_lengths_of_one_are_no_plural(
    settings: Settings, frames: list[Data], capsys: pytest.CaptureFixture[str]
) -> None:
    for changes, number, told in (
        ({"epochs": 1}, 5, "for 1 epoch on 1 structure, validating on 4"),
        ({"epochs": None, "minutes": 1.0}, 6, "for 1 minute on 2 structures, validating on 4"),
        ({"epochs": 11}, 6, "for 11 epochs on 2 structures, validating on 4"),
    ):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(train_of_training, "_fit", _stop)
            with pytest.raises(KeyboardInterrupt):
                train(settings(**changes, force_data=True), frames=frames[:number])
        assert told in capsys.readouterr().out


def _stop(*arguments: object) -> None:
    raise KeyboardInterrupt


def test_a_training_that_is_not_compiled_says_why(
    settings: Settings, frames: list[Data], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_of_training, "_fit", _stop)
    why = "Not compiled: it is done for trainings of 3 minutes or 3000 steps and more (--compile)\n"
    for changes, said in (({}, True), ({"compile": "off"}, False)):
        with pytest.raises(KeyboardInterrupt):
            train(settings(**changes), frames=frames)
        assert (why in capsys.readouterr().out) == said


def test_without_a_report_a_training_ends_with_its_errors(
    settings: Settings, frames: list[Data], finished: TrainingResult
) -> None:
    pages = {"report.html", "parity.png", "learning_curve.png", "model_card.md", "model_card.json"}
    result = train(settings(epochs=1), frames=frames, report=False)
    assert result.errors.forces_mae_meV_per_A is not None
    left = {path.name for path in result.out.iterdir()}
    assert {"best.ckpt", "last.ckpt", "metrics.csv", "settings.json"} <= left
    assert not pages & left
    assert pages <= {path.name for path in finished.out.iterdir()}, "control"
