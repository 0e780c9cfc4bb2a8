from __future__ import annotations

import csv
from pathlib import Path
from typing import Literal

import ase.io
import numpy as np
import pytest
import torch

from pyg_mpnn import Potential, PotentialCalculator, load_potential
from pyg_mpnn.data import ethanol
from pyg_mpnn.md import run_dynamics, run_prediction
from pyg_mpnn.md.watch import UncertainError
from pyg_mpnn.models import SPREADS, Calibration, Committee

TINY = {"hidden_channels": 8, "edge_dim": 8, "channels": 2, "l_max": 1, "num_layers": 1}


@pytest.fixture(scope="module")
def committee(tmp_path_factory: pytest.TempPathFactory) -> Path:
    members = []
    for seed in range(2):
        torch.manual_seed(seed)
        members.append(Potential.from_size("small", **TINY).eval())
        members[-1].set_reference({1: -13.6, 6: -1029.0, 8: -2041.0}, scale=0.01, neighbors=[8.0])
    path = tmp_path_factory.mktemp("model") / "committee.pt"
    Committee(*members).save(path)
    return path


def _run(model: Path, out: Path, **options: object) -> None:
    run_dynamics(model, "ethanol", out, **{"steps": 12, "trajectory_interval": 4, "threads": 1, **options})


def _lines(out: Path) -> list[dict[str, str]]:
    with (out / "uncertainty.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_dynamics_is_the_same_and_lines_are_written(committee: Path, tmp_path: Path) -> None:
    _run(committee, tmp_path / "watched", max_uncertainty=1e3)
    _run(committee, tmp_path / "alone")
    logs = [(tmp_path / name / "log.csv").read_text() for name in ("watched", "alone")]
    assert logs[0] == logs[1]
    assert [int(line["step"]) for line in _lines(tmp_path / "watched")] == [0, 4, 8, 12]
    assert not (tmp_path / "watched" / "uncertain.xyz").exists()


def test_stops_and_keeps_the_structure(committee: Path, tmp_path: Path) -> None:
    with pytest.raises(UncertainError, match=r"stopped at step 0 \(0 fs\): the error bar of the force on atom"):
        _run(committee, tmp_path / "run", max_uncertainty=1e-9)
    frame = ase.io.read(tmp_path / "run" / "uncertain.xyz")
    assert frame.info["step"] == 0
    assert frame.arrays["predicted_forces_std"].max() == pytest.approx(
        float(_lines(tmp_path / "run")[0]["forces_std_eV_per_A"]), rel=1e-4
    )
    assert frame.calc is None or not frame.calc.results  # no labels that a training could take


@pytest.mark.slow
def test_goes_on_past_what_it_stopped_at(committee: Path, tmp_path: Path) -> None:
    """As the message advises: the same command with --on-uncertain store and --resume."""
    _run(committee, tmp_path / "run", steps=6, max_uncertainty=1e3)
    _run(committee, tmp_path / "run", max_uncertainty=1e-9, on_uncertain="store", resume=True)
    assert [frame.info["step"] for frame in ase.io.read(tmp_path / "run" / "uncertain.xyz", ":")] == [8, 12]


@pytest.mark.slow
def test_stores_and_goes_on_after_a_kill(committee: Path, tmp_path: Path) -> None:
    options = {"max_uncertainty": 1e-9, "on_uncertain": "store"}
    _run(committee, tmp_path / "whole", **options)
    _run(committee, tmp_path / "parts", **{**options, "steps": 6})
    _run(committee, tmp_path / "parts", **options, resume=True)
    assert _lines(tmp_path / "parts") == _lines(tmp_path / "whole")
    found = [ase.io.read(tmp_path / name / "uncertain.xyz", ":") for name in ("parts", "whole")]
    assert [frame.info["step"] for frame in found[0]] == [0, 4, 8, 12]
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one.positions, other.positions)


def test_calculator_gives_error_bars_when_asked(committee: Path) -> None:
    frame = ethanol("test")[0]
    atoms = ase.Atoms(frame.z.numpy(), frame.pos.numpy(), calculator=PotentialCalculator(committee))
    forces = atoms.get_forces()
    assert "forces_std" not in atoms.calc.results  # not asked for, not computed
    bars = atoms.calc.get_property("forces_std", atoms)
    assert bars.shape == (9,)
    assert isinstance(atoms.calc.get_property("energy_std", atoms), float)
    np.testing.assert_allclose(atoms.get_forces(), forces, rtol=1e-5, atol=1e-7)
    alone = PotentialCalculator(Potential.from_size("small", **TINY))
    with pytest.raises(ValueError, match="'potential' must have error bars"):
        alone.error_bars(atoms)


@pytest.mark.parametrize("mode", ["off", pytest.param("on", marks=pytest.mark.exhaustive)])
def test_moderated_bars_are_the_same_numbers_everywhere(
    committee: Path, tmp_path: Path, unchecked: None, mode: Literal["on", "off"]
) -> None:
    """Model, calculator, predict and dynamics, compiled or not; the control is the spread, which is another."""
    model = load_potential(committee)
    assert isinstance(model, Committee)
    frame = ethanol("test")[0]
    atoms = ase.Atoms(frame.z.numpy(), frame.pos.numpy())
    spread = model(frame).forces_std
    model.set_calibration({name: Calibration(1.5, float(spread.mean()), 4.0) for name in SPREADS})
    model.save(tmp_path / "moderated.pt")
    bars = model(frame).forces_std.numpy()
    assert np.abs(bars / spread.numpy() - 1).max() > 0.2
    atoms.calc = PotentialCalculator(load_potential(tmp_path / "moderated.pt").compile(mode))
    ase.io.write(tmp_path / "one.xyz", atoms.copy())
    run_prediction(tmp_path / "moderated.pt", tmp_path / "one.xyz", tmp_path / "predicted.xyz")
    run_dynamics(tmp_path / "moderated.pt", tmp_path / "one.xyz", tmp_path / "run", steps=2, max_uncertainty=1e6)
    found = {
        "calculator": atoms.calc.get_property("forces_std", atoms),
        "predict": ase.io.read(tmp_path / "predicted.xyz").arrays["forces_std"],
        "model": model.compile(mode)(frame).forces_std.numpy(),
    }
    for name, own in found.items():
        np.testing.assert_allclose(own, bars, rtol=1e-4, err_msg=name)
    assert float(_lines(tmp_path / "run")[0]["forces_std_eV_per_A"]) == pytest.approx(bars.max(), rel=1e-4)


def test_bad_input(committee: Path, tmp_path: Path) -> None:
    Potential.from_size("small", **TINY).save(tmp_path / "plain.pt")
    with pytest.raises(ValueError, match="'max_uncertainty' needs a model with error bars, got one without"):
        _run(tmp_path / "plain.pt", tmp_path / "run", max_uncertainty=0.1)
    with pytest.raises(ValueError, match=r"'max_uncertainty' must be positive \(in eV/A\), got -1"):
        _run(committee, tmp_path / "run", max_uncertainty=-1.0)
    with pytest.raises(ValueError, match="'max_uncertainty' is for one dynamics, got 2 replicas"):
        _run(committee, tmp_path / "run", max_uncertainty=0.1, replicas=2)
    assert not (tmp_path / "run" / "log.csv").exists()
