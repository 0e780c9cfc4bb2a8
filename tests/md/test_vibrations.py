from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.io import read, write

from pyg_mpnn import Potential
from pyg_mpnn.md import run_vibrations

FILES = {"vibrations.json", "hessian.npy", "modes.extxyz", "frequencies.png"}


@pytest.fixture
def trimer(morse: Potential, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three atoms in the Morse potential, which takes the place of the saved one: the minimum is a triangle."""
    for module in ("relaxation", "vibrations"):
        monkeypatch.setattr(f"pyg_mpnn.md.{module}.open_potential", lambda path, **_: morse)
    write(tmp_path / "trimer.xyz", Atoms("H3", [[0.0, 0.0, 0.0], [0.8, 0.0, 0.0], [0.3, 0.7, 0.1]]))
    return tmp_path / "trimer.xyz"


def test_triangle_has_its_textbook_frequencies(
    trimer: Path, morse: Potential, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three equal masses and springs k: the breathing mode at sqrt(3 k/m), two others at sqrt(1.5 k/m)."""
    out = tmp_path / "out"
    found = run_vibrations("morse", trimer, out, relax=True, fmax=1e-6, symmetry_number=6, spin=0.5)
    assert {path.name for path in out.iterdir()} == FILES | {"relaxation"}
    stiffness = 2 * morse.depth * morse.width**2
    omega = np.sqrt(np.array([1.5, 1.5, 3.0]) * stiffness * units._e * 1e20 / (1.008 * units._amu))
    assert found.frequencies_cm == pytest.approx(omega / (2 * np.pi * units._c * 100), rel=1e-5)
    assert found.zero_point_energy_eV == pytest.approx(0.5 * sum(found.frequencies_cm) * units.invcm)
    assert found.energy_eV == pytest.approx(0.0, abs=1e-9)
    assert found.whole_cm < 5
    assert found.hessian_asymmetry_eV_per_A2 < 1e-10
    assert not found.warnings
    assert found.thermochemistry.enthalpy_eV == pytest.approx(
        4 * units.kB * 298.15 + found.zero_point_energy_eV, abs=1e-4
    )
    assert np.load(out / "hessian.npy").shape == (3, 3, 3, 3)
    modes = read(out / "modes.extxyz", ":")
    assert [frame.info["frequency_cm"] for frame in modes] == pytest.approx(found.frequencies_cm)
    breathing = modes[-1].arrays["mode"]
    arms = modes[-1].positions - modes[-1].positions.mean(axis=0)
    assert np.abs((breathing * arms).sum()) == pytest.approx(np.linalg.norm(arms), rel=1e-5)
    written = json.loads((out / "vibrations.json").read_text())
    assert written["frequencies_cm"] == found.frequencies_cm
    assert "zero-point energy" in capsys.readouterr().out


def test_unrelaxed_structure_is_warned_of(saved: Path, tmp_path: Path) -> None:
    found = run_vibrations(saved, "ethanol", tmp_path / "out")
    assert found.fmax_eV_per_A > 0.01
    assert "the structure is not relaxed: the largest force is" in found.warnings[0]
    assert "give --relax" in found.warnings[0]
    assert found.thermochemistry is None
    assert len(found.frequencies_cm) == 21


def test_crystal_is_said_to_be_at_gamma(saved: Path, crystal: Atoms, tmp_path: Path) -> None:
    write(tmp_path / "si.extxyz", crystal)
    found = run_vibrations(saved, tmp_path / "si.extxyz", tmp_path / "out")
    assert "the modes at the Gamma point of this cell" in str(found)
    assert found.num_whole == 3
    assert len(found.frequencies_cm) == 3
    assert found.whole_cm < 1e-2  # of the sums of the rows: rounding


def test_relaxation_that_fails_is_an_error(trimer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pyg_mpnn.md.relaxation import run_relaxation

    def impatient(*args: object, **options: object) -> object:
        return run_relaxation(*args, **{**options, "steps": 1})

    monkeypatch.setattr("pyg_mpnn.md.vibrations.run_relaxation", impatient)
    with pytest.raises(ArithmeticError, match=r"the relaxation did not converge \(largest force"):
        run_vibrations("morse", trimer, tmp_path / "out", relax=True)


@pytest.mark.parametrize("name", ["temperature", "pressure", "symmetry_number", "fmax"])
def test_errors(name: str, saved: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"'{name}' must be positive and finite, got 0"):
        run_vibrations(saved, "ethanol", tmp_path / "out", **{name: 0})
    assert not (tmp_path / "out").exists()
