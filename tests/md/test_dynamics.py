from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms, units
from ase.calculators.calculator import Calculator
from ase.constraints import FixAtoms
from ase.io import read, write
from ase.md.verlet import VelocityVerlet

from pyg_mpnn import ZBL, Potential, PotentialCalculator, SumPotential
from pyg_mpnn.md import DynamicsSummary, ExplosionError, energy_drift, run_dynamics, run_relaxation, run_vibrations
from pyg_mpnn.md.velocities import thermal_velocities

ASSETS = Path(__file__).parents[1] / "data" / "assets"


class Swirl(Calculator):
    """A calculator with a force added that is no gradient: it turns the atoms about the z axis."""

    implemented_properties = ["energy", "forces"]  # noqa: RUF012

    def __init__(self, inner: PotentialCalculator) -> None:
        super().__init__()
        self.inner = inner

    def calculate(self, atoms: Atoms, *_: object) -> None:
        swirl = 0.02 * np.cross([0.0, 0.0, 1.0], atoms.positions)
        self.results = {
            "forces": self.inner.get_forces(atoms) + swirl,
            "energy": self.inner.get_potential_energy(atoms),
        }


def total_energies(atoms: Atoms, calculator: Calculator, timestep: float, duration: float) -> tuple[np.ndarray, ...]:
    """Times (ps) and total energies (meV/atom) of NVE from fixed velocities."""
    atoms = atoms.copy()
    atoms.calc = calculator
    masses = atoms.get_masses()
    atoms.set_velocities(thermal_velocities(masses, 300.0, np.random.default_rng(0)))
    energies: list[float] = []
    dynamics = VelocityVerlet(atoms, timestep * units.fs)
    dynamics.attach(lambda: energies.append(atoms.get_total_energy() * 1000 / len(atoms)))
    dynamics.run(round(duration / timestep))
    return timestep / 1000 * np.arange(len(energies)), np.array(energies)


@pytest.mark.slow
def test_energy_is_conserved_to_second_order(potential: Potential, molecule: Atoms) -> None:
    calculator = PotentialCalculator(potential)
    coarse = energy_drift(*total_energies(molecule, calculator, 1.0, 60.0))
    fine = energy_drift(*total_energies(molecule, calculator, 0.5, 60.0))
    assert 3 < coarse.fluctuation / fine.fluctuation < 5
    assert coarse.fluctuation > 1e-6  # far above the rounding error of -4,000 eV


@pytest.mark.slow
def test_a_force_that_is_no_gradient_shows(potential: Potential, molecule: Atoms) -> None:
    calculator = Swirl(PotentialCalculator(potential))
    coarse = energy_drift(*total_energies(molecule, calculator, 1.0, 60.0))
    fine = energy_drift(*total_energies(molecule, calculator, 0.5, 60.0))
    assert coarse.fluctuation / fine.fluctuation < 2


def test_report_of_nve(saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "md"
    summary = run_dynamics(saved, "ethanol", out, steps=40, trajectory_interval=5, seed=3)
    names = {"trajectory.traj", "log.csv", "summary.json", "energy_drift.png", "state.npz", "observables.json"}
    assert {path.name for path in out.iterdir()} == names
    log = np.genfromtxt(out / "log.csv", delimiter=",", names=True)
    assert log["step"].tolist() == list(range(41))
    assert log["temperature_K"][0] == pytest.approx(300.0, abs=1e-3)
    assert log["total_eV"] == pytest.approx(log["potential_eV"] + log["kinetic_eV"], abs=2e-9)
    # The numbers of the summary are those of the log.
    drift = energy_drift(log["time_fs"] / 1000, log["total_eV"] * 1000 / 9)
    assert summary.drift_meV_per_atom_per_ps == pytest.approx(drift.slope, rel=1e-3, abs=1e-4)
    assert summary.drift_error_meV_per_atom_per_ps == pytest.approx(drift.slope_error, rel=1e-3, abs=1e-4)
    assert summary.mean_temperature_last_half_K == pytest.approx(log["temperature_K"][20:].mean(), abs=1e-2)
    assert summary.degrees_of_freedom == 21
    frames = read(out / "trajectory.traj", ":")
    assert len(frames) == 9
    assert frames[-1].get_potential_energy() == pytest.approx(log["potential_eV"][-1], abs=1e-8)
    written = json.loads((out / "summary.json").read_text())
    assert DynamicsSummary(**{name: written[name] for name in DynamicsSummary.__dataclass_fields__}) == summary
    assert written["settings"]["seed"] == 3
    assert written["settings"]["threads"] == 1
    assert "steps per second" in capsys.readouterr().out


def test_molecule_neither_moves_nor_turns(saved: Path, tmp_path: Path) -> None:
    run_dynamics(saved, "ethanol", tmp_path / "md", steps=20)
    for frame in read(tmp_path / "md" / "trajectory.traj", ":"):
        assert frame.get_momenta().sum(axis=0) == pytest.approx(np.zeros(3), abs=1e-10)
        assert frame.get_angular_momentum() == pytest.approx(np.zeros(3), abs=1e-10)


def test_crystal_does_not_move(saved: Path, crystal: Atoms, tmp_path: Path) -> None:
    write(tmp_path / "crystal.xyz", crystal * (2, 1, 1))
    summary = run_dynamics(saved, tmp_path / "crystal.xyz", tmp_path / "md", steps=20, temperature=500.0)
    assert summary.degrees_of_freedom == 9
    assert summary.bond_changes is None
    for frame in read(tmp_path / "md" / "trajectory.traj", ":"):
        assert frame.get_momenta().sum(axis=0) == pytest.approx(np.zeros(3), abs=1e-10)
        assert frame.pbc.all()


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("structure", ["ethanol", pytest.param("silicon", marks=pytest.mark.slow)])
def test_skin_gives_the_same_trajectory_to_the_last_bit(
    structure: str, dtype: str, saved: Path, tmp_path: Path, unchecked: None
) -> None:
    """A molecule, and 64 atoms of a real dynamics of Si in their cell: with a skin, and with a search each step."""
    options = {"structure": structure, "temperature": 600.0, "timestep": 0.5}
    if structure == "silicon":
        options |= {"structure": tmp_path / "silicon.xyz", "temperature": 2000.0, "timestep": 2.0}
        write(options["structure"], read(ASSETS / "si.extxyz", 3))
    options |= {"dtype": dtype, "steps": 200, "threads": 1, "trajectory_interval": 1}
    runs = [run_dynamics(saved, out=tmp_path / str(skin), skin=skin, **options) for skin in (0.3, 0.0)]
    with_skin, without = (read(tmp_path / name / "trajectory.traj", ":") for name in ("0.3", "0.0"))
    assert len(with_skin) == len(without) == 201
    for a, b in zip(with_skin, without, strict=True):
        assert (a.positions == b.positions).all()
        assert (a.get_velocities() == b.get_velocities()).all()
    moved = np.abs(with_skin[-1].positions - with_skin[0].positions).max()
    assert moved > 0.15, "control: atoms must leave the skin"
    assert 1 < runs[0].neighbor_list_rebuilds < 100
    assert runs[1].neighbor_list_rebuilds == 201


@pytest.mark.slow
def test_seed_fixes_the_dynamics(saved: Path, tmp_path: Path) -> None:
    ends = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        run_dynamics(saved, "ethanol", tmp_path / name, steps=4, ensemble="nvt", seed=seed, trajectory_interval=4)
        ends.append(read(tmp_path / name / "trajectory.traj").positions)
    assert (ends[0] == ends[1]).all()
    assert (ends[0] != ends[2]).any()


@pytest.mark.slow
def test_thermostat_brings_the_temperature(saved: Path, crystal: Atoms, tmp_path: Path) -> None:
    # 16 atoms, 100 steps of 2 fs, memory 1 / (2 friction) = 5 fs: about 20 independent values of a temperature that
    # scatters by sqrt(2 / 48) = 20 %, so 5 % on the mean.
    write(tmp_path / "crystal.xyz", crystal * (2, 2, 2))
    options = {"steps": 200, "timestep": 2.0, "temperature": 900.0, "friction": 0.1}
    summary = run_dynamics(saved, tmp_path / "crystal.xyz", tmp_path / "md", ensemble="nvt", **options)
    assert summary.mean_temperature_last_half_K == pytest.approx(900.0, rel=0.16)
    assert summary.degrees_of_freedom == 48
    assert summary.drift_meV_per_atom_per_ps is None


def test_float32(saved: Path, tmp_path: Path) -> None:
    run_dynamics(saved, "ethanol", tmp_path / "md", steps=4, dtype="float32")
    energies = [frame.get_potential_energy() for frame in read(tmp_path / "md" / "trajectory.traj", ":")]
    assert all(np.isfinite(energies))
    assert json.loads((tmp_path / "md" / "summary.json").read_text())["settings"]["dtype"] == "float32"


def test_explosion_keeps_what_was_written(potential: Potential, tmp_path: Path) -> None:
    potential.set_reference({1: 0.0, 6: 0.0, 8: 0.0}, scale=200.0)  # forces of hundreds of eV/A
    potential.save(tmp_path / "potential.pt")
    with pytest.raises(ExplosionError, match=r"the dynamics exploded at step \d+ \(.* fs\)"):
        run_dynamics(tmp_path / "potential.pt", "ethanol", tmp_path / "md", timestep=1.0, trajectory_interval=1)
    rows = (tmp_path / "md" / "log.csv").read_text().splitlines()[1:]
    assert 1 <= len(rows) < 50
    assert len(read(tmp_path / "md" / "trajectory.traj", ":")) == len(rows)


def test_folder_with_files(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "md").mkdir()
    (tmp_path / "md" / "notes.txt").write_text("mine")
    for out in (tmp_path / "md", saved):
        with pytest.raises(FileExistsError, match=r"'out' must be a new or empty folder, got"):
            run_dynamics(saved, "ethanol", out)
    assert (tmp_path / "md" / "notes.txt").read_text() == "mine"


def test_structure_that_is_not_there(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"must be files or the word ethanol \(the shipped sample\), got 'x.xyz', which is nei"
    ):
        run_dynamics(saved, "x.xyz", tmp_path / "md")
    assert not (tmp_path / "md").exists()


@pytest.mark.parametrize("run", [run_dynamics, run_relaxation, run_vibrations])
def test_an_unknown_element_leaves_no_folder(run: Callable[..., object], saved: Path, tmp_path: Path) -> None:
    write(tmp_path / "h2s.xyz", Atoms("SH2", [[0.0, 0.0, 0.0], [0.0, 0.96, 0.93], [0.0, -0.96, 0.93]]))
    with pytest.raises(ValueError, match=r"h2s.xyz \(H2S\): 'z' must hold elements .*, got \[16\]"):
        run(saved, tmp_path / "h2s.xyz", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def fix_all(atoms: Atoms) -> Atoms:
    atoms.set_constraint(FixAtoms(range(9)))
    return atoms


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda atoms: atoms[:1], r"'structure' must have at least 2 atoms .*, got 1"),
        (fix_all, r"'structure' must have something that moves, got constraints .*FixAtoms"),
    ],
)
def test_structures_that_cannot_move(
    change: Callable[[Atoms], Atoms], message: str, saved: Path, molecule: Atoms, tmp_path: Path
) -> None:
    write(tmp_path / "start.traj", change(molecule))
    with pytest.raises(ValueError, match=message):
        run_dynamics(saved, tmp_path / "start.traj", tmp_path / "md")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"timestep": 0.0}, r"'timestep' must be positive and finite, got 0.0"),
        ({"temperature": float("nan")}, r"'temperature' must be positive and finite, got nan"),
        ({"friction": -1.0}, r"'friction' must be positive"),
        ({"log_interval": 0}, r"'log_interval' must be positive"),
        ({"trajectory_interval": -5}, r"'trajectory_interval' must be positive"),
        ({"threads": 0}, r"'threads' must be positive"),
        ({"steps": 19, "log_interval": 10}, r"'steps' must be at least twice 'log_interval' \(10\), got 19"),
        ({"ensemble": "npt"}, r"'ensemble' npt needs a crystal, or a slab with a third cell vector across it, got pbc"),
        ({"ensemble": "npz"}, r"'ensemble' must be one of nve, nvt, npt, got 'npz'"),
        ({"integrator": "Bussi"}, r"'integrator' must be one of VelocityVerlet for the ensemble nve, got 'Bussi'"),
        ({"pressure": "1bar"}, r"'pressure' belongs to the ensemble npt, got '1bar' with nve"),
        (
            {"axes": ["a"]},
            r"'axes' belong to the integrator MaskedMTKNPT of the ensemble npt, got \['a'\] with Velocity",
        ),
        ({"velocities": "file"}, r"'velocities' must be drawn, for ethanol has none in this frame, got 'file'"),
        ({"replicas": 0}, r"'replicas' must be positive"),
        ({"frame": 3}, r"'frame' must be 0 or left out for the shipped sample, got 3"),
        ({"dtype": "float16"}, r"'dtype' must be one of float32, float64, got 'float16'"),
    ],
)
def test_settings_out_of_range(
    settings: dict[str, object], message: str, saved: Path, tmp_path: Path, unchecked: None
) -> None:
    with pytest.raises(ValueError, match=message):
        run_dynamics(saved, "ethanol", tmp_path / "md", **settings)
    assert not (tmp_path / "md").exists()


def test_a_saved_sum_of_potentials_runs(potential: Potential, molecule: Atoms, tmp_path: Path) -> None:
    SumPotential(potential, ZBL(2.0).double()).save(tmp_path / "sum.pt")
    write(tmp_path / "ethanol.xyz", molecule)
    flags = {"steps": 6, "timestep": 0.1, "temperature": 50.0, "trajectory_interval": 6}
    run_dynamics(tmp_path / "sum.pt", tmp_path / "ethanol.xyz", tmp_path / "md", **flags)
    last = read(tmp_path / "md" / "trajectory.traj")
    assert isinstance(last, Atoms)
    energy = last.get_potential_energy()
    last.calc = PotentialCalculator(tmp_path / "sum.pt", dtype=torch.float64)
    assert last.get_potential_energy() == pytest.approx(energy, abs=1e-9)
    last.calc = PotentialCalculator(potential)
    assert abs(last.get_potential_energy() - energy) > 1.0  # control: without the repulsion


@pytest.mark.parametrize(
    ("steps", "threads", "expected"),
    [(10_000, None, ("auto", 1)), (10_000, 2, ("auto", 2)), (9_999, None, ("off", 2))],
)
def test_long_dynamics_is_compiled_in_one_thread(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    steps: int,
    threads: int | None,
    expected: tuple[str, int],
) -> None:
    class Asked(Exception):
        pass

    def ask(potential: Potential, mode: str) -> None:
        raise Asked(mode, torch.get_num_threads())

    Potential.from_size("small").save(tmp_path / "potential.pt")
    monkeypatch.setattr(Potential, "compile", ask)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(Asked) as asked:
            run_dynamics(str(tmp_path / "potential.pt"), "ethanol", tmp_path / "md", steps=steps, threads=threads)
    finally:
        torch.set_num_threads(before)
    assert asked.value.args == expected
    why = "Not compiled: it is done for 10,000 steps and more (--compile)\n"
    assert (why in capsys.readouterr().out) == (expected[0] == "off")


def test_densities_that_no_training_structure_had_are_said(
    potential: Potential, crystal: Atoms, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "crystal.extxyz", crystal)
    volume = float(crystal.get_volume()) / len(crystal)
    flags = {"ensemble": "npt", "timestep": 0.5, "steps": 12, "pdamp": 400.0, "pressure": "60GPa"}

    def run(name: str, **settings: object) -> tuple[str, DynamicsSummary]:
        potential.save(tmp_path / f"{name}.pt")
        summary = run_dynamics(tmp_path / f"{name}.pt", tmp_path / "crystal.extxyz", tmp_path / name, **settings)
        return capsys.readouterr().out, summary

    least = 0.9999 * volume / 0.98  # 2 % less than this is left soon
    potential.record = {"volumes": [[[14], least, least]]}
    shown, summary = run("pressed", **flags)
    lines = [line for line in shown.splitlines() if "denser" in line]
    assert lines[0].startswith("step "), "said when it happens, once"
    assert "WARNING: denser than the training structures of Si" in lines[0]
    assert len(lines) == 2
    log = np.genfromtxt(tmp_path / "pressed" / "log.csv", delimiter=",", names=True)
    outside = log["volume_A3"] < 0.98 * len(crystal) * least
    assert 0 < outside.mean() < 1
    assert summary.fraction_outside_trained_volumes == pytest.approx(outside.mean())
    assert f"in {summary.fraction_outside_trained_volumes:.0%} of the logged steps" in lines[1]
    potential.record = {"volumes": [[[14], 0.5 * volume, 2 * volume]]}
    shown, summary = run("within", **flags)
    assert "dense" not in shown
    assert summary.fraction_outside_trained_volumes == 0
    potential.record = {"volumes": [[[14], 2 * volume, 2 * volume]]}
    shown, summary = run("nve", steps=2)
    assert shown.count("WARNING: denser than the training structures of Si") == 1
    assert summary.fraction_outside_trained_volumes is None
    run_relaxation(tmp_path / "nve.pt", tmp_path / "crystal.extxyz", tmp_path / "relaxed", cell=True, steps=1)
    assert "dense" in capsys.readouterr().out
