from __future__ import annotations

import importlib
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import ase.io
import pytest
import torch

import pyg_mpnn.training
import pyg_mpnn.training.ablation
from pyg_mpnn import Potential
from pyg_mpnn.cli import main
from pyg_mpnn.cli.main import COMMANDS, parse_command
from pyg_mpnn.training.ablation import AblationSettings

ROOT = Path(__file__).parents[2]


def run(code: str, *words: str) -> str:
    """What Python code prints in a new process."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


def test_train_leaves_a_potential_and_a_report(trained: Path) -> None:
    assert Potential.load(trained / "best.ckpt").config["representation"]["l_max"] == 1
    card = json.loads((trained / "model_card.json").read_text())
    assert any("10 of the test structures are also in the training file" in warning for warning in card["warnings"])


def test_md_runs_the_trained_potential(trained: Path, data: str, tmp_path: Path) -> None:
    command = ["md", "--model", str(trained / "best.ckpt"), "--structure", data, "--out", str(tmp_path / "md")]
    assert main([*command, "--steps", "5", "--timestep", "0.1", "--temperature", "10"]) == 0
    assert (tmp_path / "md" / "summary.json").exists()


def test_predict_relax_and_vib_run_the_trained_potential(trained: Path, data: str, tmp_path: Path) -> None:
    model = ["--model", str(trained / "best.ckpt")]
    assert main(["predict", *model, "--structures", data, "--out", str(tmp_path / "out.xyz"), "--batch-size", "4"]) == 0
    assert len(ase.io.read(tmp_path / "out.xyz", ":")) == 10
    relax = ["relax", *model, "--structure", data, "--out"]
    assert main([*relax, str(tmp_path / "one"), "--steps", "1"]) == 3, "not converged"
    assert main([*relax, str(tmp_path / "two"), "--fmax", "100"]) == 0
    assert main(["vib", *model, "--structure", data, "--out", str(tmp_path / "vib")]) == 0
    assert (tmp_path / "vib" / "vibrations.json").exists()


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (KeyError("energy"), "error: KeyError: 'energy'\nNo check of pyg_mpnn has foreseen this"),
        (RuntimeError("size mismatch"), "error: RuntimeError: size mismatch\nNo check"),
        (sqlite3.OperationalError("no such table"), "error: OperationalError: no such table\nNo check"),
        (MemoryError("Unable to allocate 3 GiB"), "error: not enough memory (Unable to allocate 3 GiB)"),
        (ValueError("'data' must be"), "error: 'data' must be"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_no_error_is_a_traceback(
    error: Exception, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise error

    monkeypatch.delenv("PYG_MPNN_TRACEBACK", raising=False)
    monkeypatch.setattr(importlib.import_module("pyg_mpnn.cli.evaluate"), "open_potential", fail)
    assert main(["evaluate", "--model", "best.ckpt", "--data", "ethanol"]) == 1
    shown = capsys.readouterr().err
    assert told in shown
    assert "Traceback" not in shown
    monkeypatch.setenv("PYG_MPNN_TRACEBACK", "1")
    with pytest.raises(type(error)):
        main(["evaluate", "--model", "best.ckpt", "--data", "ethanol"])


EVALUATING = {
    "inspect": ["--data", "ethanol"],
    "train": ["--data", "ethanol", "--out", "new"],
    "learn": ["--teacher", "ase.calculators.emt:EMT", "--structures", "ethanol", "--out", "new"],
    "distill": ["--teacher", "organic", "--structures", "ethanol", "--out", "new"],
    "evaluate": ["--model", "organic", "--data", "ethanol"],
    "calibrate": ["--runs", "run", "--out", "new.pt"],
    "check": ["--model", "organic"],
    "md": ["--model", "organic", "--structure", "ethanol", "--out", "new"],
    "lammps": ["--model", "organic", "--structure", "ethanol", "--out", "new"],
    "predict": ["--model", "organic", "--structures", "ethanol", "--out", "new.xyz"],
    "relax": ["--model", "organic", "--structure", "ethanol", "--out", "new"],
    "vib": ["--model", "organic", "--structure", "ethanol", "--out", "new"],
    "export": ["--model", "organic", "--out", "new.pt2"],
    "ablate": ["--data", "ethanol", "--out", "new"],
}
"""Every command that evaluates a model, with what it cannot do without."""


@pytest.mark.parametrize("command", EVALUATING)
def test_a_device_that_is_not_there_is_refused_first(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By its name, before anything is read or written; convert, which evaluates nothing, is the only one without it."""
    assert set(EVALUATING) == set(COMMANDS) - {"convert"}
    monkeypatch.chdir(tmp_path)
    assert main([command, *EVALUATING[command], "--device", "cuda:97"]) == 1
    shown = capsys.readouterr().err
    assert "'device' must be one that torch can use here, got 'cuda:97'" in shown
    assert not list(tmp_path.iterdir())


def test_resume_continues_from_the_saved_settings(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["train", "--config", str(trained / "settings.json"), "--resume", "--epochs", "2"]
    assert main(command) == 0
    assert torch.load(trained / "last.ckpt", weights_only=True)["epoch"] == 1


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--epochs", "1", "--minutes", "1"], "'epochs' and 'minutes' exclude each other"),
        (["--cutoff", "-1"], "'cutoff' must be positive (in A), got [-1.0]"),
        (["--valid-size", "10"], "'valid_size' must be at least 0 and below the number of frames (10), got 10"),
        (["--resume"], "'out' must hold last.ckpt to resume from"),
    ],
)
def test_errors_of_the_user_are_one_line(
    data: str, tiny: list[str], tmp_path: Path, flags: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "--data", data, "--out", str(tmp_path / "run"), *tiny, *flags]) == 1
    shown = capsys.readouterr().err
    assert shown.startswith("pyg-mpnn: error: ")
    assert message in shown
    assert "Traceback" not in shown


def test_errors_show_where_they_come_from_on_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYG_MPNN_TRACEBACK", "1")
    with pytest.raises(FileNotFoundError, match="must be files or the word ethanol"):
        main(["train", "--data", "absent.xyz", "--out", str(tmp_path / "run")])


def test_interruption_says_how_to_continue(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(settings: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pyg_mpnn.cli.train.train", interrupt)
    assert main(["train", "--data", data, "--out", str(tmp_path / "run")]) == 130
    assert "continues with the same command and --resume" in capsys.readouterr().err


def test_module_runs_as_a_program() -> None:
    code = "import runpy, sys; sys.argv[1:] = ['--help']; runpy.run_module('pyg_mpnn', run_name='__main__')"
    assert "usage: pyg-mpnn" in run(code)


REPORT = """
import sys, time
from pyg_mpnn.cli import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    print(end.code, time.process_time(), *sys.modules, file=sys.__stdout__)
"""


@pytest.mark.parametrize(("words", "code"), [(["--help"], 0), ([], 2), (["trian", "--data", "ethanol"], 2)])
def test_what_names_no_command_is_answered_without_torch(words: list[str], code: int) -> None:
    ends = [run(REPORT, *words).splitlines()[-1].split() for _ in range(3)]
    assert {int(end[0]) for end in ends} == {code}
    assert min(float(end[1]) for end in ends) < 0.5, "seconds of CPU"
    assert not {"torch", "numpy", "lightning"} & set(ends[0][2:])


@pytest.mark.slow
def test_command_imports_only_its_own_code() -> None:
    loaded = set(run(REPORT, "md", "--help").splitlines()[-1].split()[2:])
    assert {"torch", "pyg_mpnn.md"} <= loaded
    assert not {"lightning", "pyg_mpnn.training"} & loaded


def test_an_engine_of_md_is_the_command_of_that_engine(
    capsys: pytest.CaptureFixture[str],
) -> None:
    flags = ["--model", "organic", "--structure", "start.xyz", "--out", "out", "--steps", "20"]
    lammps = [*flags, "--ranks", "2", "--ensemble", "npt"]
    wanted = parse_command(["lammps", *lammps])
    assert parse_command(["md", *lammps[:4], "--engine", "lammps", *lammps[4:]]) == wanted
    assert parse_command(["md", "--engine=lammps", *lammps]) == wanted
    ase = [*flags, "--frame", "-2", "--fix", "0-3", "element=C"]
    assert parse_command(["md", "--engine", "ase", *ase]) == parse_command(["md", *ase])
    with pytest.raises(SystemExit, match="2"):
        main(["md", "--engine", "lammps", *lammps, "--friction", "0.1"])
    assert "pyg-mpnn lammps: error: unrecognized arguments: --friction 0.1\n" in capsys.readouterr().err
    assert main(["md", "--engine", "openmm", *flags]) == 1
    assert "'engine' must be one of ase, lammps, got openmm: OpenMM, i-PI" in capsys.readouterr().err


def test_ablate_gets_its_flags_and_refuses_unknown_blocks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[AblationSettings] = []
    monkeypatch.setattr(pyg_mpnn.training.ablation, "ablate", asked.append)
    command = ["ablate", "--data", "ethanol", "--out", "blocks", "--cutoff", "4.5", "--seeds", "2", "--only", "l_max"]
    assert main([*command, "attention"]) == 0
    assert asked == [AblationSettings("ethanol", "blocks", cutoff=4.5, seeds=2, only=["l_max", "attention"])]
    assert main([*command, "heads"]) == 1
    assert "'only' must hold blocks of" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--size", "big"], "error: 'size' must be one of small, base, large, got 'big' (--size)\n"),
        (["--energy-unit", "kcal"], "must be one of eV, hartree, kcal/mol, kJ/mol, got 'kcal' (--energy-unit)\n"),
        (["--minutes", "five"], "error: 'minutes' must be a number, got 'five' (--minutes)\n"),
        (["--epochs", "2.5"], "error: 'epochs' must be a whole number, got '2.5' (--epochs)\n"),
    ],
)
def test_a_value_of_the_wrong_kind_is_said_without_types_of_python(
    flags: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["train", "--data", "ethanol", "--out", "x", *flags])
    assert message in capsys.readouterr().err
