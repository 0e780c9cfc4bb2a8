"""The simple case of dynamics in LAMMPS, on two processes, and what it refuses."""

from __future__ import annotations

import ase.io
import matplotlib.image
import pytest

from pyg_mpnn.engines.lammps_dynamics import run_lammps_dynamics
from tests.engines.charged import TRUST


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "ensemble", "ranks", "model"), [("crystal", "npt", 2, "saved"), ("molecule", "nve", 1, "organic")]
)
def test_dynamics_leaves_script_log_and_trajectory(kind, ensemble, ranks, model, saved, request, tmp_path, capfd):
    ase.io.write(tmp_path / "start.extxyz", request.getfixturevalue(kind))
    folder = tmp_path / "out"
    options = {"steps": 10, "timestep": 0.2, "ensemble": ensemble, "ranks": ranks, "trajectory_interval": 5}
    result = run_lammps_dynamics(saved if model == "saved" else model, tmp_path / "start.extxyz", folder, **options)
    printed = capfd.readouterr().out
    assert "pair_style      pyg_mpnn" in printed
    assert f"on {ranks} process" in printed
    assert f"ensemble by the fixes {ensemble}" in printed
    frames = ase.io.read(folder / "trajectory.dump", index=":", format="lammps-dump-text")
    assert len(frames) == 3
    assert (folder / "final.restart").exists()
    assert "meV/atom/ns" in printed
    assert matplotlib.image.imread(folder / "energy_drift.png").std() > 0.01  # something is drawn
    assert 0 < result.energy_range_meV_per_atom < 1.0
    assert 0 < result.mean_temperature_last_half_K < 500
    if ensemble == "npt":
        assert result.mean_volume_last_half_A3 == pytest.approx(
            ase.io.read(tmp_path / "start.extxyz").get_volume(), rel=0.01
        )


@pytest.mark.slow
def test_charge_of_the_structure_is_that_of_the_run(charged, molecule, tmp_path, capfd):
    ase.io.write(tmp_path / "start.extxyz", molecule)
    arguments = charged, tmp_path / "start.extxyz", tmp_path / "out"
    with pytest.raises(ValueError, match=r"'info' of .*start.extxyz must have 'charge', a number that the potential"):
        run_lammps_dynamics(*arguments, trust=[TRUST])
    assert not (tmp_path / "out").exists()
    molecule.info["charge"] = 1
    ase.io.write(tmp_path / "start.extxyz", molecule)
    run_lammps_dynamics(*arguments, trust=[TRUST], steps=3, ranks=2)
    printed = capfd.readouterr().out
    assert "inputs charge=1 trust tests.engines.charged" in printed
    assert "charge 1, float64" in printed


def test_bad_input_is_refused_before_lammps_starts(saved, molecule, crystal, tmp_path):
    ase.io.write(tmp_path / "molecule.extxyz", molecule)
    for name, value in {"ranks": 0, "timestep": -1.0, "ensemble": "nph", "dtype": "half"}.items():
        with pytest.raises(ValueError, match=f"'{name}' must be"):
            run_lammps_dynamics(saved, tmp_path / "molecule.extxyz", tmp_path / "out", **{name: value})
    with pytest.raises(ValueError, match="'ensemble' must be nve or nvt for what is not periodic"):
        run_lammps_dynamics(saved, tmp_path / "molecule.extxyz", tmp_path / "out", ensemble="npt")
    crystal.numbers[3] = 26
    ase.io.write(tmp_path / "crystal.extxyz", crystal)
    with pytest.raises(ValueError, match="elements the model was trained on"):
        run_lammps_dynamics(saved, tmp_path / "crystal.extxyz", tmp_path / "out")
    for name, value in {"compile": "on", "device": "meta"}.items():
        with pytest.raises(ValueError, match=f"'{name}' must be"):
            run_lammps_dynamics(saved, tmp_path / "molecule.extxyz", tmp_path / "out", ranks=2, **{name: value})
    with pytest.raises(ValueError, match="'device' must be one that torch can use here, got 'cuda:97'"):
        run_lammps_dynamics(saved, tmp_path / "molecule.extxyz", tmp_path / "out", device="cuda:97")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_failure_of_lammps_is_an_error(saved, molecule, tmp_path, capfd):
    """Two atoms at one place: an error inside a process."""
    molecule.positions[1] = molecule.positions[0]
    ase.io.write(tmp_path / "start.extxyz", molecule)
    with pytest.raises(ChildProcessError, match="LAMMPS has failed"):
        run_lammps_dynamics(saved, tmp_path / "start.extxyz", tmp_path / "out", steps=3)
    assert "coincident atoms" in capfd.readouterr().err
