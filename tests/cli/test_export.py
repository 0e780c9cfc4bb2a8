"""``pyg-mpnn export``: what it refuses; that the package computes the same is tested in ``tests/deploy``."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyg_mpnn import MPNN, DipoleOutput, Potential
from pyg_mpnn.cli import main
from pyg_mpnn.cli.export import export_command


def test_what_cannot_be_exported_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Potential(MPNN(hidden_channels=8, edge_dim=8, num_layers=1)).save(tmp_path / "potential.pt")
    model, out = (str(tmp_path / name) for name in ("potential.pt", "potential.pt2"))
    assert main(["export", "--model", model, "--out", model]) == 1
    assert "'out' must end in .pt2, got" in capsys.readouterr().err
    assert main(["export", "--model", model, "--out", str(tmp_path / "absent" / "potential.pt2")]) == 1
    assert "'out' must lie in a folder that exists" in capsys.readouterr().err
    with pytest.raises(ValueError, match="'dtype' must be float32 or float64, got 'half'"):
        export_command(model, out, dtype="half")
    outputs = {"dipole": DipoleOutput()}
    Potential(MPNN(hidden_channels=8, edge_dim=8, num_layers=1), outputs=outputs, energy=False).save(model)
    assert main(["export", "--model", model, "--out", out]) == 1
    assert "only energy, forces and stress can be exported, got a model with dipole: nothing" in capsys.readouterr().err
    assert not Path(out).exists()


def test_other_outputs_are_left_out_with_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []
    monkeypatch.setattr("pyg_mpnn.models.energy_model.why_not", lambda device: None)
    monkeypatch.setattr("pyg_mpnn.models.energy_model.export_package", lambda model, *others: written.append(model))
    representation = MPNN(hidden_channels=8, edge_dim=8, num_layers=1)
    potential = Potential(representation, outputs={"dipole": DipoleOutput()})
    with pytest.warns(UserWarning, match="has energy, forces and stress alone, without dipole"):
        potential.export(tmp_path / "potential.pt2")
    assert written
    assert list(potential.all_outputs()) == ["dipole"]


@pytest.mark.exhaustive  # what it writes is tested in tests/deploy
def test_a_file_is_written(tmp_path: Path) -> None:
    Potential(MPNN(hidden_channels=8, edge_dim=8, channels=2, l_max=1, num_layers=1)).save(tmp_path / "potential.pt")
    written = export_command(str(tmp_path / "potential.pt"), str(tmp_path / "potential.pt2"))
    assert written.stat().st_size > 10_000
