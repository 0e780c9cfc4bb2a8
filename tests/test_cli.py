from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import ase.io
import pytest
import torch
import yaml
from ase.calculators.singlepoint import SinglePointCalculator

from pyg_mpnn import ZBL, Potential, SumPotential, cli
from pyg_mpnn.cli import join_files, main, make_parser
from pyg_mpnn.data import ethanol, to_atoms, to_data
from pyg_mpnn.training.ablation import AblationSettings
from pyg_mpnn.units import GPA

TINY = ["--size", "small", "--model.hidden_channels", "8", "--model.edge_dim", "8", "--model.channels", "2"]
TINY += ["--model.l_max", "1", "--model.num_layers", "1", "--device", "cpu"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("data") / "ethanol.extxyz"
    ase.io.write(path, [to_atoms(frame) for frame in ethanol("train")[:10]])
    return str(path)


@pytest.fixture(scope="module")
def trained(data: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained") / "run"
    flags = ["--data", data, "--test", data, "--valid-size", "4", "--epochs", "1", "--batch-size", "3"]
    assert main(["train", *flags, "--out", str(out), *TINY]) == 0
    return out


def _help(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    with pytest.raises(SystemExit, match="0"):
        make_parser().parse_args([*command, "--help"])
    return " ".join(capsys.readouterr().out.split())


def test_help_names_the_commands_with_examples(capsys: pytest.CaptureFixture[str]) -> None:
    text = _help(capsys)
    assert "pyg-mpnn train --data ethanol --test ethanol --out run --minutes 5" in text
    assert "learn a potential from structures" in text


def test_help_of_train_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    text = _help(capsys, "train")
    flags = ("data", "valid-size", "test", "out", "size", "epochs", "minutes", "seed", "cutoff", "resume", "config")
    assert all(f"--{flag}" in text for flag in flags)
    assert "The word ``ethanol`` means the shipped sample" in text
    assert "Without ``epochs`` and ``minutes``: 10" in text
    assert "_size" not in text, "flags have hyphens"


@pytest.mark.parametrize(
    ("command", "flag"),
    [
        ("evaluate", "--json"),
        ("md", "--timestep"),
        ("predict", "--batch-size"),
        ("relax", "--cell"),
        ("vib", "--relax"),
        ("ablate", "--budget-minutes"),
    ],
)
def test_help_of_the_other_commands_teaches(command: str, flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = _help(capsys, command)
    assert flag in text
    assert "Args:" not in text


def test_train_leaves_a_potential_and_a_report(trained: Path) -> None:
    assert Potential.load(trained / "best.ckpt").config["mpnn"]["l_max"] == 1
    card = json.loads((trained / "model_card.json").read_text())
    assert any("10 of the test structures are also in the training file" in warning for warning in card["warnings"])


def test_evaluate_writes_the_promised_numbers(trained: Path, data: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = trained.parent / "new folder" / "errors.json"
    assert main(["evaluate", "--model", str(trained / "best.ckpt"), "--data", data, "--json", str(out)]) == 0
    assert "Errors on 10 structures" in capsys.readouterr().out
    found = json.loads(out.read_text())
    assert list(found) == [
        "n_structures",
        "energy_mae_meV",
        "energy_rmse_meV",
        "energy_mae_meV_per_atom",
        "forces_mae_meV_per_A",
        "forces_rmse_meV_per_A",
    ]
    card = json.loads((trained / "model_card.json").read_text())
    assert found["forces_mae_meV_per_A"] == pytest.approx(card["errors"]["test"]["forces_mae_meV_per_A"], rel=1e-6)


def test_evaluate_compiles_on_request(
    trained: Path, data: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    command = ["evaluate", "--model", str(trained / "best.ckpt"), "--data", data, "--compile"]
    assert main([*command, "on"]) == 1
    assert "there is no C++ compiler 'no-such-compiler'" in capsys.readouterr().err
    assert main([*command, "off"]) == 0


def test_evaluate_of_crystals_has_a_stress(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    atoms = to_atoms(ethanol("train")[0])
    atoms.set_cell([8.0, 8.0, 8.0])
    atoms.pbc = True
    results = {"energy": -4200.0, "forces": 0 * atoms.positions, "stress": [0.1, 0.1, 0.1, 0.0, 0.0, 0.0]}
    atoms.calc = SinglePointCalculator(atoms, **results)
    ase.io.write(tmp_path / "crystal.extxyz", atoms)
    command = ["evaluate", "--model", str(trained / "best.ckpt"), "--data", str(tmp_path / "crystal.extxyz")]
    assert main([*command, "--json", str(tmp_path / "errors.json")]) == 0
    found = json.loads((tmp_path / "errors.json").read_text())
    data = to_data(atoms)
    stress = Potential.load(trained / "best.ckpt")(data, stress=True).stress
    expected = (stress.double() - data.stress).abs().mean().item()
    assert found["stress_mae_meV_per_A3"] == pytest.approx(1e3 * expected, rel=1e-4)
    assert found["stress_mae_GPa"] == pytest.approx(expected / GPA, rel=1e-4)
    assert "stress MAE (GPa)" in capsys.readouterr().out


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


def test_inspect_names_faults_and_ends_well(data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--test", data, "--cutoff", "3", "5", "--size", "small", "--batch-size", "2", "--steps", "1"]
    assert main(["inspect", "--data", data, *flags, "--json", str(tmp_path / "new" / "found.json")]) == 0
    assert "10 test frames are ALSO IN THE DATA" in " ".join(capsys.readouterr().out.split())
    assert json.loads((tmp_path / "new" / "found.json").read_text())["num_warnings"] == 1
    assert main(["inspect", "--data", "absent.xyz"]) == 1
    assert main(["inspect", "--data", data, "--steps", "-1"]) == 1
    assert "'steps' must not be negative, got -1" in capsys.readouterr().err


def test_config_repeats_a_training_and_flags_win(trained: Path) -> None:
    parsed = make_parser().parse_args(["train", "--config", str(trained / "settings.json"), "--epochs", "7"])
    assert parsed.train.epochs == 7
    assert parsed.train.valid_size == 4
    assert parsed.train.model["l_max"] == 1


def test_print_config_shows_what_config_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--data", "x", "--out", "y", "--cutoff", "3", "5", "--isolated", "{1: -13.6}", "--resume"]
    with pytest.raises(SystemExit, match="0"):
        make_parser().parse_args(["train", *flags, "--print_config"])
    text = capsys.readouterr().out
    assert yaml.safe_load(text)["cutoff"] == [3.0, 5.0]
    (tmp_path / "config.yaml").write_text(text)
    parsed = make_parser().parse_args(["train", "--config", str(tmp_path / "config.yaml")]).train
    assert parsed.cutoff == [3.0, 5.0]
    assert parsed.isolated == {1: -13.6}
    assert parsed.resume is True


def test_several_files_are_one_list(tmp_path: Path) -> None:
    parsed = (
        make_parser()
        .parse_args(join_files(["train", "--data", "a.xyz", "b.db", "--test", "c.xyz", "--out", "y"]))
        .train
    )
    assert parsed.data == ["a.xyz", "b.db"]
    assert parsed.test == "c.xyz"
    (tmp_path / "one.yaml").write_text("data: a.xyz\nout: y\n")
    (tmp_path / "two.yaml").write_text("data: [a.xyz, b.db]\nout: y\n")
    one, two = (
        make_parser().parse_args(["train", "--config", str(tmp_path / f"{name}.yaml")]).train.data
        for name in ("one", "two")
    )
    assert one == "a.xyz"
    assert two == ["a.xyz", "b.db"]
    assert make_parser().parse_args(join_files(["evaluate", "--model", "m", "--data", "a", "b"])).evaluate.data == [
        "a",
        "b",
    ]


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
    data: str, tmp_path: Path, flags: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "--data", data, "--out", str(tmp_path / "run"), *TINY, *flags]) == 1
    shown = capsys.readouterr().err
    assert shown.startswith("pyg-mpnn: error: ")
    assert message in shown
    assert "Traceback" not in shown


def test_errors_show_where_they_come_from_on_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYG_MPNN_TRACEBACK", "1")
    with pytest.raises(FileNotFoundError, match="'path' must be a file"):
        main(["train", "--data", "absent.xyz", "--out", str(tmp_path / "run")])


def test_missing_flag_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["train", "--out", "x"])
    assert "data" in capsys.readouterr().err


def test_interruption_says_how_to_continue(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(settings: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pyg_mpnn.cli.train", interrupt)
    assert main(["train", "--data", data, "--out", str(tmp_path / "run")]) == 130
    assert "continues with the same command and --resume" in capsys.readouterr().err


def test_module_runs_as_a_program() -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-m", "pyg_mpnn", "--help"]
    shown = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert "usage: pyg-mpnn" in shown.stdout


def test_check_reports_by_table_file_picture_and_exit_code(
    trained: Path, data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], unchecked: None
) -> None:
    files = ["--json", str(tmp_path / "out" / "report.json"), "--picture", str(tmp_path / "out" / "scan.png")]
    command = ["check", "--model", str(trained / "best.ckpt"), "--structures", data, "--count", "1", *files]
    assert main(command) == 0
    shown = capsys.readouterr().out
    assert "smoothness_single   pass" in shown
    assert "PASSED" in shown
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["passed"] is True
    assert report["dtype"] == "float64"
    assert (tmp_path / "out" / "scan.png").stat().st_size > 10_000


def test_check_takes_any_model_and_says_what_is_broken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], unchecked: None
) -> None:
    (tmp_path / "mine.py").write_text(
        "import torch\n"
        "class Leaning(torch.nn.Module):\n"
        "    def forward(self, z, pos, batch):\n"
        "        return torch.zeros(int(batch.max()) + 1, dtype=pos.dtype).index_add(0, batch, pos[:, 2] ** 2)\n"
    )
    assert main(["check", "--model", f"{tmp_path}/mine.py:Leaning", "--cutoff", "3", "--count", "1"]) == 3
    shown = capsys.readouterr().out
    assert "laws broken: " in shown
    assert "rotation: fail. energy (rotated)" in shown
    assert "its call takes no cell" in shown


def test_a_trained_potential_and_a_repulsion_are_evaluated_and_checked_as_a_sum(
    trained: Path, data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], unchecked: None
) -> None:
    SumPotential(Potential.load(trained / "best.ckpt"), ZBL(0.9)).save(tmp_path / "sum.pt")  # no atoms are so near
    errors = []
    for model in (trained / "best.ckpt", tmp_path / "sum.pt"):
        assert main(["evaluate", "--model", str(model), "--data", data, "--json", str(tmp_path / "errors.json")]) == 0
        errors.append(json.loads((tmp_path / "errors.json").read_text())["forces_mae_meV_per_A"])
    assert errors[0] == pytest.approx(errors[1], rel=1e-5)
    assert main(["check", "--model", str(tmp_path / "sum.pt"), "--structures", data, "--count", "1"]) == 0
    assert "PASSED" in capsys.readouterr().out


def test_check_says_once_that_a_model_does_not_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], unchecked: None
) -> None:
    (tmp_path / "unfinished.py").write_text(
        "import torch\n"
        "class Unfinished(torch.nn.Module):\n"
        "    def forward(self, z, pos, batch):\n"
        "        return torch.nn.Linear(7, 1)(pos)\n"
    )
    files = ["--json", str(tmp_path / "report.json"), "--picture", str(tmp_path / "scan.png")]
    command = ["check", "--model", f"{tmp_path}/unfinished.py:Unfinished", "--cutoff", "3", "--count", "1", *files]
    assert main(command) == 3
    shown = capsys.readouterr().out
    assert shown.count("The model does not run, so no law could be measured. RuntimeError: mat1 and mat2") == 1
    assert len(shown.splitlines()) < 12, shown
    assert "PASSED" not in shown
    report = json.loads((tmp_path / "report.json").read_text())
    assert {result["verdict"] for result in report["results"].values()} == {"fail", "n/a"}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--model", "absent.py:Model"], "'model' must name a Python object that exists, got 'absent.py:Model'"),
        (["--model", "torch.nn:Absent"], "'model' must name a Python object that exists, got 'torch.nn:Absent'"),
        (["--model", "pyg_mpnn.testing.controls:Healthy", "--count", "0"], "'count' must be at least 1, got 0"),
        (["--model", "torch.nn:Identity"], "'cutoff' must be given (in A)"),
    ],
)
def test_check_that_cannot_run_is_an_error(flags: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", *flags]) == 1
    assert message in capsys.readouterr().err


def test_ablate_gets_its_flags_and_refuses_unknown_blocks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[AblationSettings] = []
    monkeypatch.setattr(cli, "ablate", asked.append)
    command = ["ablate", "--data", "ethanol", "--out", "blocks", "--cutoff", "4.5", "--seeds", "2", "--only", "l_max"]
    assert main([*command, "attention"]) == 0
    assert asked == [AblationSettings("ethanol", "blocks", cutoff=4.5, seeds=2, only=["l_max", "attention"])]
    assert main([*command, "heads"]) == 1
    assert "'only' must hold blocks of" in capsys.readouterr().err
