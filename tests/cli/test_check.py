from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from pyg_mpnn import ZBL, Potential, SumPotential
from pyg_mpnn.cli import main


@pytest.mark.long
def test_check_reports_by_table_file_picture_and_exit_code(
    trained: Path, data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], drawn: None
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


@pytest.mark.slow
def test_check_takes_the_structures_that_the_file_keeps(
    trained: Path, capsys: pytest.CaptureFixture[str], unchecked: None
) -> None:
    assert main(["check", "--model", str(trained / "best.ckpt"), "--count", "1"]) == 0
    shown = capsys.readouterr().out
    assert "On training structures that" in shown
    assert "isolated_energy     pass" in shown


def test_check_does_not_take_ethanol_for_a_model_of_other_elements(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], unchecked: None
) -> None:
    silicon = Potential.from_size("small", hidden_channels=8, edge_dim=8, channels=2)
    silicon.set_reference({14: 0.0}, 1.0)
    silicon.save(tmp_path / "silicon.pt")
    assert main(["check", "--model", str(tmp_path / "silicon.pt")]) == 1
    assert "'structures' must be given" in capsys.readouterr().err


@pytest.mark.long
def test_attraction_of_near_atoms_is_a_warning_and_fatal_if_strict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], unchecked: None
) -> None:
    """Without ``zbl`` nothing has taught the network that nuclei repel, with it the same weights do."""
    torch.manual_seed(0)
    potential = Potential.from_size("small", hidden_channels=16, edge_dim=8, channels=4).double()
    potential.set_reference({1: 0.0, 6: 0.0, 8: 0.0}, 1.0)
    potential.save(tmp_path / "bare.pt")
    SumPotential(potential, ZBL(cutoff=5.0).double()).save(tmp_path / "repelling.pt")
    codes = {}
    for name, *flags in (("bare",), ("bare", "--strict"), ("repelling", "--strict")):
        codes[(name, *flags)] = main(["check", "--model", str(tmp_path / f"{name}.pt"), "--count", "1", *flags])
        shown = capsys.readouterr().out
        assert ("WARNING" in shown and "--zbl" in shown) == (name == "bare")
    assert codes == {("bare",): 0, ("bare", "--strict"): 3, ("repelling", "--strict"): 0}


@pytest.mark.slow
def test_check_takes_any_model_and_says_what_is_broken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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


@pytest.mark.slow
def test_a_trained_potential_and_a_repulsion_are_evaluated_and_checked_as_a_sum(
    trained: Path, data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    SumPotential(Potential.load(trained / "best.ckpt"), ZBL(0.9)).save(tmp_path / "sum.pt")  # no atoms are so near
    errors = []
    for model in (trained / "best.ckpt", tmp_path / "sum.pt"):
        assert main(["evaluate", "--model", str(model), "--data", data, "--json", str(tmp_path / "errors.json")]) == 0
        errors.append(json.loads((tmp_path / "errors.json").read_text())["forces_mae_meV_per_A"])
    assert errors[0] == pytest.approx(errors[1], rel=1e-5)
    assert main(["check", "--model", str(tmp_path / "sum.pt"), "--structures", data, "--count", "1"]) == 0
    assert "PASSED" in capsys.readouterr().out


def test_check_says_once_that_a_model_does_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "unfinished.py").write_text(
        "import torch\n"
        "class Unfinished(torch.nn.Module):\n"
        "    def forward(self, z, pos, batch):\n"
        "        return torch.nn.Linear(7, 1)(pos)\n"
    )
    files = ["--json", str(tmp_path / "report.json"), "--picture", str(tmp_path / "scan.png")]
    command = ["check", "--model", f"{tmp_path}/unfinished.py:Unfinished", "--cutoff", "3", "--count", "1", *files]
    assert main(command) == 1, "not 3: no law is known to be broken"
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
        (["--model", "pyg_mpnn.testing:Healthy", "--count", "0"], "'count' must be at least 1, got 0"),
        (["--model", "torch.nn:Identity"], "'cutoff' must be given (in A)"),
    ],
)
def test_check_that_cannot_run_is_an_error(flags: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", *flags]) == 1
    assert message in capsys.readouterr().err
