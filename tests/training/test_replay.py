from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import ase.build
import ase.io
import pytest
import torch
from ase import Atoms
from ase.calculators.emt import EMT

from pyg_mpnn import Potential
from pyg_mpnn.training import TrainingResult, TrainingSettings, train
from pyg_mpnn.training.replay import check_replay, freeze

TINY = {"hidden_channels": 8, "edge_dim": 8, "channels": 2, "l_max": 1, "num_layers": 1}


def crystals(symbols: str, count: int, seed: int) -> list[Atoms]:
    """Rattled cells of eight atoms with the energies and forces of EMT."""
    found = []
    for number in range(count):
        atoms = ase.build.bulk("Cu", cubic=True).repeat((2, 1, 1))
        atoms.symbols = symbols
        atoms.rattle(0.15, seed=seed + number)
        atoms.calc = EMT()
        atoms.get_forces()
        found.append(atoms)
    return found


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("alloys")
    paths = {}
    for name, symbols, count, seed in (("old", "Cu4Ag4", 40, 0), ("new", "Cu8", 20, 100), ("gold", "Cu4Au4", 3, 0)):
        ase.io.write(folder / f"{name}.extxyz", crystals(symbols, count, seed))
        paths[name] = str(folder / f"{name}.extxyz")
    return paths


@pytest.fixture(scope="module")
def start(files: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> TrainingResult:
    out = tmp_path_factory.mktemp("start") / "run"
    return train(settings(files["old"], out, epochs=30, learning_rate=0.02, size="small", model=TINY))


def settings(data: str, out: Path, **options: Any) -> TrainingSettings:
    fixed: dict[str, Any] = {"batch_size": 4, "valid_size": 5, "compile": "off", "device": "cpu", "force_data": True}
    return TrainingSettings(data, str(out), **{**fixed, **options})


@pytest.fixture
def tune(files: dict[str, str], start: TrainingResult, tmp_path: Path) -> Callable[..., TrainingResult]:
    def run(**options: Any) -> TrainingResult:
        chosen: dict[str, Any] = {
            "epochs": 12,
            "learning_rate": 0.02,
            "start_from": str(start.out / "best.ckpt"),
            **options,
        }
        return train(settings(files["new"], tmp_path / f"tuned-{len(list(tmp_path.iterdir()))}", **chosen))

    return run


def forgotten(result: TrainingResult, when: str = "after", what: str = "forces_mae_meV_per_A") -> float:
    found: float = json.loads((result.out / "replay.json").read_text())[when][what]
    return found


@pytest.mark.long
def test_replay_keeps_what_plain_fine_tuning_forgets(
    tune: Callable[..., TrainingResult], files: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tune(replay=files["old"])
    shown = capsys.readouterr().out
    assert "15 of 40 old structures are trained on too (--replay), with labels of their own; 25 others show" in shown
    assert "What was forgotten, on 25 old structures that were not trained on" in shown
    assert set(kept.potential.elements) == {29, 47}
    assert "Elements of the old structures alone keep their reference energies: [47]" in shown
    control = tune(replay=files["old"], replay_share=0.06)  # one structure
    assert forgotten(control) > forgotten(control, "before")
    assert forgotten(kept) < forgotten(control)


@pytest.mark.long
def test_labels_of_the_start_are_its_predictions(
    tune: Callable[..., TrainingResult], files: dict[str, str], tmp_path: Path
) -> None:
    bare = [
        Atoms(atoms.symbols, atoms.positions, cell=atoms.cell, pbc=True) for atoms in ase.io.read(files["old"], ":")
    ]
    ase.io.write(tmp_path / "bare.extxyz", bare)
    result = tune(replay=str(tmp_path / "bare.extxyz"), replay_labels="start")
    assert forgotten(result, "before") < 1e-3
    assert 0 < forgotten(result) < 1000


@pytest.mark.long
def test_energies_are_brought_to_the_new_reference(
    files: dict[str, str], start: TrainingResult, tmp_path: Path
) -> None:
    """Another zero of the energy of copper moves the reference energies and nothing else."""
    moved = ase.io.read(files["new"], ":")
    for atoms in moved:
        atoms.calc.results["energy"] += 3.0 * len(atoms)
    ase.io.write(tmp_path / "moved.extxyz", moved)
    before = []
    for number, data in enumerate((files["new"], str(tmp_path / "moved.extxyz"))):
        chosen: dict[str, Any] = {"start_from": str(start.out / "best.ckpt"), "replay": files["old"], "epochs": 1}
        before.append(
            forgotten(train(settings(data, tmp_path / f"run-{number}", **chosen)), "before", "energy_mae_meV")
        )
    assert before[0] == pytest.approx(before[1], rel=1e-6)


@pytest.mark.long
@pytest.mark.parametrize("labels", ["same", "own"])
def test_at_one_level_of_theory_reference_energies_stay(
    files: dict[str, str],
    start: TrainingResult,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    labels: Literal["own", "same"],
) -> None:
    """Energies that the start does not know, here moved by 1 eV an atom: its error, or another level of theory."""
    moved = ase.io.read(files["new"], ":")
    for atoms in moved:
        atoms.calc.results["energy"] += 1.0 * len(atoms)
    ase.io.write(tmp_path / "moved.extxyz", moved)
    chosen: dict[str, Any] = {"start_from": str(start.out / "best.ckpt"), "replay": files["old"], "epochs": 1}
    result = train(settings(str(tmp_path / "moved.extxyz"), tmp_path / "run", replay_labels=labels, **chosen))
    before, after = start.potential.atomwise, result.potential.atomwise
    assert before is not None
    assert after is not None
    change = float(after.reference[29] - before.reference[29])
    said = f"Reference energies moved by up to {abs(change):.2f} eV" in capsys.readouterr().out
    assert (abs(change) > 0.1, said) == (labels == "own", labels == "own")
    assert labels == "own" or change == 0.0


@pytest.mark.slow
def test_frozen_parts_do_not_move(tune: Callable[..., TrainingResult], start: TrainingResult) -> None:
    result = tune(freeze=["representation.layers", "representation.embedding"], epochs=2)
    before = dict(start.potential.named_parameters())
    moved = {name for name, weight in result.potential.named_parameters() if not torch.equal(weight, before[name])}
    frozen = {name for name in before if name.startswith(("representation.layers.", "representation.embedding."))}
    assert moved
    assert frozen
    assert not moved & frozen
    assert moved == set(before) - frozen
    loaded = Potential.load(result.out / "best.ckpt")
    assert {name for name, weight in loaded.named_parameters() if not weight.requires_grad} == frozen


def test_freezing_can_be_undone() -> None:
    potential = Potential.from_size("small", **TINY)
    weights = dict(potential.named_parameters())
    wanted = sum(weight.numel() for name, weight in weights.items() if name.startswith("representation.embedding."))
    assert freeze(potential, ("representation.embedding",)) == wanted > 0
    assert freeze(potential, ()) == 0


@pytest.mark.long
def test_what_cannot_be_done_is_an_error_before_the_training(
    tune: Callable[..., TrainingResult], files: dict[str, str], tmp_path: Path
) -> None:
    with pytest.raises(
        ValueError, match=r"'freeze' must name parts of the model, got 'layer', not one of .*representation"
    ):
        tune(freeze=["layer"])
    with pytest.raises(ValueError, match="'freeze' must leave something to train"):
        tune(freeze=["representation", "atomwise"])
    with pytest.raises(ValueError, match=r"'replay' must hold elements that the potential .* got \[79\] too"):
        tune(replay=files["gold"])
    with pytest.raises(ValueError, match=r"'replay' is for a training that starts from a potential"):
        settings(files["new"], tmp_path / "run", replay=files["old"], epochs=1)
    potential = Potential.from_size("small", **TINY, outputs={"dipole": {"class": "DipoleOutput"}})
    with pytest.raises(ValueError, match=r"'replay' is for energies and forces alone, got .* energy, dipole"):
        check_replay(potential)
    with pytest.raises(ValueError, match=r"'replay_share' must be in \(0, 1\), got 1"):
        settings(files["new"], tmp_path / "run", replay=files["old"], start_from="x", replay_share=1.0)
