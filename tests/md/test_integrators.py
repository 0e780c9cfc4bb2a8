from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk, fcc100
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms, FixBondLengths
from ase.io import read, write
from ase.md.nose_hoover_chain import NoseHooverChainNVT

from pyg_mpnn import Potential
from pyg_mpnn.cli.main import main
from pyg_mpnn.md.integrators import INTEGRATORS, choose, parse_pressure
from pyg_mpnn.md.run import Run
from pyg_mpnn.units import GPA

SETTINGS = {
    "ensemble": "npt",
    "integrator": None,
    "timestep": 2.0,
    "temperature": 300.0,
    "friction": None,
    "tdamp": None,
    "pdamp": None,
    "pressure": None,
    "axes": None,
}


@pytest.fixture
def copper(tmp_path: Path) -> tuple[Path, Path]:
    """A potential with random weights that knows copper, and a cube of 32 atoms."""
    small = {"num_layers": 1, "hidden_channels": 8, "edge_dim": 8, "channels": 4, "l_max": 0}
    potential = Potential.from_size("small", cutoff=3.2, **small)
    potential.set_reference({29: -3.5}, scale=0.1, neighbors=[12.0])
    potential.to(dtype=potential.dtype).save(tmp_path / "copper.pt")
    write(tmp_path / "copper.extxyz", bulk("Cu", cubic=True) * (2, 2, 2))
    return tmp_path / "copper.pt", tmp_path / "copper.extxyz"


def follow(atoms: Atoms, steps: int, **settings: object) -> tuple[Run, np.ndarray]:
    """Run with ASE's EMT; conserved quantity and total energy in meV/atom and temperature, of each step."""
    run = Run(atoms, choose(atoms, SETTINGS | settings), 0)
    run.atoms.calc = EMT()
    rows: list[tuple[float, float, float]] = []
    conserved = run.conditions.integrator.conserved
    assert conserved is not None
    scale = 1000 / len(atoms)

    def record() -> None:
        temperature = 2 * run.atoms.get_kinetic_energy() / (units.kB * run.degrees_of_freedom)
        rows.append((conserved(run.dynamics) * scale, run.atoms.get_total_energy() * scale, temperature))

    run.dynamics.attach(record)
    run.dynamics.run(steps)
    return run, np.array(rows).T


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, of in INTEGRATORS.items() if of.conserved])
def test_what_is_conserved_stays(name: str) -> None:
    """To second order in the time step, while the total energy does not, but for NVE."""
    atoms = bulk("Cu", cubic=True) * (2, 1, 1)
    ensemble = INTEGRATORS[name].ensemble
    constants = {"ensemble": ensemble, "integrator": name}
    constants |= {"tdamp": 50.0} if ensemble != "nve" else {}
    constants |= {"pdamp": 200.0} if ensemble == "npt" else {}
    coarse, fine = (follow(atoms, round(200 / step), timestep=step, **constants)[1].std(axis=1) for step in (4.0, 2.0))
    assert fine[0] < 0.3
    assert coarse[0] / fine[0] > 2.5
    assert (fine[1] > 5 * fine[0]) == (ensemble != "nve")  # control


@pytest.mark.parametrize("name", ["Bussi", "NoseHooverChainNVT"])
def test_fixed_atoms_gather_no_heat(name: str) -> None:
    """ASE's chain alone gives them momenta that it counts: what is conserved then moves by 500 meV."""
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.1, seed=1)
    atoms.set_constraint(FixAtoms([0, 1]))
    run, (conserved, _, _) = follow(atoms, 60, ensemble="nvt", integrator=name, tdamp=50.0)
    assert np.ptp(conserved) < 1.0
    if name == "NoseHooverChainNVT":
        assert not run.dynamics._p[:2].any()


@pytest.mark.parametrize("name", ["NoseHooverChainNVT", "IsotropicMTKNPT", "MTKNPT", "MaskedMTKNPT"])
def test_chain_rests_at_the_temperature_asked_for(name: str) -> None:
    """The velocities have it exactly: 4 atoms whose centre rests, 9 degrees of freedom. ASE's own chains count 12."""
    atoms = bulk("Cu", cubic=True)
    conditions = choose(atoms, SETTINGS | {"ensemble": INTEGRATORS[name].ensemble, "integrator": name})
    run = Run(atoms, conditions, 0)
    assert run.degrees_of_freedom == 9
    momenta = run.atoms.get_momenta()
    chain = run.dynamics._thermostat
    assert chain.integrate_nhc(momenta.copy(), 1.0) == pytest.approx(momenta, rel=1e-12)
    plain = NoseHooverChainNVT(run.atoms, run.dynamics.dt, 300.0, 100 * run.dynamics.dt)._thermostat
    assert np.abs(plain.integrate_nhc(momenta.copy(), 1.0) / momenta - 1).max() > 1e-6  # control


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Bussi", "NoseHooverChainNVT"])
def test_temperature_of_few_atoms_is_the_one_asked_for(name: str) -> None:
    atoms = bulk("Cu", cubic=True)
    settings = {"tdamp": 40.0, "timestep": 4.0, "ensemble": "nvt"}
    run, (_, _, temperatures) = follow(atoms, 800, integrator=name, **settings)
    assert temperatures[100:].mean() == pytest.approx(300.0, abs=45.0)  # 12 degrees of freedom: 400 K
    assert run.atoms.get_momenta().sum(axis=0) == pytest.approx(np.zeros(3), abs=1e-8)


def test_volume_and_cell_vectors_that_move() -> None:
    atoms = bulk("Cu", cubic=True)
    fast = {"pdamp": 100.0, "pressure": "20GPa"}
    start = atoms.cell.array
    volume = follow(atoms, 30, **fast)[0].atoms.cell.array
    assert volume / volume[0, 0] == pytest.approx(start / start[0, 0], abs=1e-12)
    assert volume[0, 0] < 0.99 * start[0, 0]
    masked = follow(atoms, 30, axes=["a", "c"], **fast)[0].atoms.cell.array
    assert masked[1] == pytest.approx(start[1], abs=1e-12)
    assert masked[0, 0] < 0.99 * start[0, 0]
    assert masked[2, 2] < 0.99 * start[2, 2]
    sheared = atoms.copy()
    sheared.set_cell(start + np.outer([1, 0, 0], [0, 0.3, 0]), scale_atoms=True)
    angles = follow(sheared, 30, integrator="MTKNPT", **fast)[0].atoms.cell.angles()
    assert abs(angles[2] - sheared.cell.angles()[2]) > 0.1


def test_a_slab_changes_in_its_plane_by_the_stress_of_its_cell() -> None:
    slab = fcc100("Cu", (2, 2, 2), vacuum=4.0)
    slab.cell[2] = [0.0, 0.0, 10.0]
    conditions = choose(slab, SETTINGS)
    assert (conditions.name, conditions.axes) == ("MaskedMTKNPT", (True, True, False))
    run, (conserved, total, _) = follow(slab, 60, pdamp=100.0, timestep=1.0)
    assert (run.atoms.cell[2] == slab.cell[2]).all()
    assert abs(run.atoms.cell.lengths()[0] / slab.cell.lengths()[0] - 1) > 1e-3
    assert np.std(conserved) < 0.05 * np.std(total)


@pytest.mark.parametrize(
    ("change", "settings", "message"),
    [
        ({"pbc": False}, {}, r"'ensemble' npt needs a crystal, or a slab with a third cell vector"),
        ({"pbc": [1, 0, 0]}, {}, r"'ensemble' npt needs a crystal"),
        ({"pbc": [1, 1, 0]}, {"integrator": "MTKNPT"}, r"'integrator' MTKNPT must change periodic directions only"),
        ({"pbc": [1, 1, 0]}, {"axes": ["c"]}, r"must change periodic directions only, got pbc .* or give axes a b"),
        ({}, {"axes": ["a", "x"]}, r"'axes' must be some of a, b, c \(the cell vectors\), each once, got 'a x'"),
        ({}, {"axes": ["a"], "integrator": "MTKNPT"}, r"'axes' belong to the integrator MaskedMTKNPT .* with MTKNPT"),
        ({"cell": [[7, 0, 0], [1, 7, 0], [0, 0, 7]]}, {"axes": ["a"]}, r"'axes' must be perpendicular to the cell"),
        ({}, {"integrator": "Langevin"}, r"'integrator' must be one of IsotropicMTKNPT, MTKNPT, MaskedMTKNPT for the"),
        ({}, {"friction": 0.1}, "'friction' is not used by"),
        ({}, {"pressure": "1 atm"}, r"'pressure' must be a number with its unit, such as '1bar' or '0.5GPa', got '1 a"),
        ({"constraint": FixAtoms([0])}, {}, r"'ensemble' must be nve or nvt for a structure with constraints"),
        (
            {"constraint": FixBondLengths([(0, 1)])},
            {"ensemble": "nvt", "integrator": "NoseHooverChainNVT"},
            r"NoseHooverChainNVT knows the constraints FixAtoms and FixCartesian only",
        ),
    ],
)
def test_refused_before_the_first_step(change: dict[str, object], settings: dict[str, object], message: str) -> None:
    atoms = bulk("Cu", cubic=True) * (2, 2, 2)
    for name, value in change.items():
        getattr(atoms, f"set_{name}")(value)
    with pytest.raises(ValueError, match=message):
        choose(atoms, SETTINGS | settings)


@pytest.mark.parametrize(("text", "gpa"), [("1bar", 1e-4), ("0.5 GPa", 0.5), (" -2e3bar ", -0.2)])
def test_pressures(text: str, gpa: float) -> None:
    assert parse_pressure(text) == pytest.approx(gpa * GPA)


@pytest.mark.parametrize("text", ["1", "GPa", "1Pa", "1..2 GPa", "nan bar"])
def test_no_pressures(text: str) -> None:
    with pytest.raises(ValueError, match=r"'pressure' must be a number with its unit"):
        parse_pressure(text)


@pytest.mark.parametrize(
    "flags",
    [[], ["--integrator", "MTKNPT"], ["--axes", "a", "b", "c"]],
    ids=["IsotropicMTKNPT", "MTKNPT", "MaskedMTKNPT"],
)
def test_npt_from_the_command_line(
    flags: list[str], copper: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], unchecked: None
) -> None:
    model, structure = copper
    command = f"md --model {model} --structure {structure} --out {tmp_path / 'md'} --ensemble npt --steps 20"
    command += " --timestep 2 --pdamp 100 --pressure 3GPa --trajectory-interval 5 --threads 1"
    assert main([*command.split(), *flags]) == 0
    out = capsys.readouterr().out
    name = {0: "IsotropicMTKNPT", 2: "MTKNPT", 4: "MaskedMTKNPT"}[len(flags)]
    first = next(line for line in out.splitlines() if line.startswith("pyg_mpnn in ASE"))
    for part in (
        f"NPT by ASE's {name}",
        "300 K",
        "pressure 3 GPa (30000 bar)",
        "pdamp 100 fs",
        "units eV, A, fs, K",
        "labels",
    ):
        assert part in first
    assert "degrees of freedom in the temperature: 93 of 96, the whole at rest" in out
    assert "density" in out
    log = np.genfromtxt(tmp_path / "md" / "log.csv", delimiter=",", names=True)
    assert set(log.dtype.names) >= {"conserved_eV", "volume_A3", "pressure_GPa"}
    frames = read(tmp_path / "md" / "trajectory.traj", ":")
    assert [frame.get_volume() for frame in frames] == pytest.approx(log["volume_A3"][::5].tolist(), rel=1e-12)
    assert log["volume_A3"].std() > 1e-3
    stress = frames[-1].get_stress(include_ideal_gas=True)
    assert -stress[:3].mean() / GPA == pytest.approx(log["pressure_GPa"][-1], rel=1e-9)
    assert log["conserved_eV"].std() < 0.1 * log["total_eV"].std()
