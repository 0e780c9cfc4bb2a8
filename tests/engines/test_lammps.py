"""LAMMPS beside ASE: energy, forces, virial, dynamics, several processes, and what is refused."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import ase.io
import numpy as np
import pytest
from ase import Atoms

from pyg_mpnn import ZBL, Potential, SumPotential
from pyg_mpnn.engines.lammps import Lammps, _check_ranks, main, run_script
from pyg_mpnn.md import PotentialCalculator
from tests.engines.charged import TRUST

ELEMENTS = ["H", "C", "O", "Si"]
BAR = 1.602176634e6  # eV/A^3, as LAMMPS has it
QUIET = ["-screen", "none", "-log", "none"]


def triclinic(atoms: Atoms) -> Atoms:
    atoms = atoms.copy()
    atoms.set_cell(atoms.cell.array + np.array([[0, 0, 0], [2.0, 0, 0], [-1.5, 2.5, 0]]), scale_atoms=True)
    return atoms


def slab(atoms: Atoms) -> Atoms:
    atoms = atoms.copy()
    atoms.center(vacuum=6.0, axis=2)
    atoms.pbc = [True, True, False]
    return atoms


def free(atoms: Atoms) -> Atoms:
    atoms = atoms.copy()
    atoms.center(vacuum=6.0)
    return atoms


def primitive() -> Atoms:
    """Two atoms in a cell that is smaller than the cutoff."""
    cell = [[3.84, 0.0, 0.0], [1.92, 3.326, 0.0], [1.92, 1.109, 3.135]]
    return Atoms("SiC", [[0.0, 0.0, 0.0], [1.8, 1.2, 0.9]], cell=cell, pbc=True)


@pytest.fixture
def structures(molecule: Atoms, crystal: Atoms) -> dict[str, Atoms]:
    return {
        "crystal": crystal,
        "triclinic": triclinic(crystal),
        "slab": slab(crystal),
        "molecule": free(molecule),
        "primitive": primitive(),
    }


def boundary(atoms: Atoms) -> str:
    return " ".join("p" if flag else "f" for flag in atoms.pbc)


def write(path: Path, atoms: Atoms) -> Path:
    ase.io.write(path, atoms, format="lammps-data", specorder=ELEMENTS, masses=True)
    return path


def box(atoms: Atoms, folder: Path, before: str = "units metal") -> Lammps:
    """LAMMPS with a structure and no potential."""
    lmp = Lammps(QUIET)
    lmp.commands_string(f"""
        {before}
        atom_style atomic
        atom_modify map yes
        boundary {boundary(atoms)}
        read_data {write(folder / "box.data", atoms)}
        thermo_style custom step pe pxx pyy pzz pxy pxz pyz etotal vol
    """)
    return lmp


@pytest.fixture
def start(saved: Path, tmp_path: Path) -> Callable[[Atoms], Lammps]:
    def make(atoms: Atoms, options: str = "") -> Lammps:
        lmp = box(atoms, tmp_path)
        lmp.command(f"pair_style pyg_mpnn {options}")
        lmp.command(f"pair_coeff * * {saved} H C O Si")
        return lmp

    return make


def gather(lmp: Lammps, name: str) -> np.ndarray:
    return np.array(lmp.gather_atoms(name, 1, 3)).reshape(-1, 3)


def stress(lmp: Lammps) -> np.ndarray:
    return -np.array([lmp.get_thermo(name) for name in ("pxx", "pyy", "pzz", "pxy", "pxz", "pyz")]) / BAR


def voigt(virial: np.ndarray) -> np.ndarray:
    return -virial[[0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]]


@pytest.mark.parametrize("kind", ["crystal", "triclinic", "slab", "molecule", "primitive"])
def test_energy_forces_and_virial_equal_ase(kind, structures, start, potential, assert_forces_equal, capsys):
    atoms = structures[kind]
    lmp = start(atoms)
    lmp.command("run 0")
    printed = capsys.readouterr().out
    assert "fix_modify pyg_mpnn energy yes virial yes" in printed
    assert "units metal (eV, A, ps, bar); potential" in printed
    periodic = atoms.copy()  # the virial of a slab is that of the box with vacuum, where neighbours do not reach
    periodic.pbc = True
    periodic.calc = PotentialCalculator(potential)
    assert lmp.get_thermo("pe") == pytest.approx(periodic.get_potential_energy(), rel=1e-12)
    assert_forces_equal(gather(lmp, "f"), periodic.get_forces())
    wanted = voigt(-periodic.get_stress(voigt=False) * periodic.get_volume())
    np.testing.assert_allclose(stress(lmp) * periodic.get_volume(), wanted, atol=1e-7 * np.abs(wanted).max())


@pytest.mark.parametrize("kind", ["molecule", "crystal"])
def test_charge_of_the_style_reaches_the_potential(
    kind, structures, charged, at_charge, assert_forces_equal, tmp_path, capsys
):
    lmp = box(structures[kind], tmp_path)
    with pytest.raises(ValueError, match=r"'inputs' must hold a number for each of charge, .* got none"):
        lmp.commands_string(f"pair_style pyg_mpnn trust {TRUST}\npair_coeff * * {charged} H C O Si")
    lmp.commands_string(f"pair_style pyg_mpnn inputs charge=1 trust {TRUST}\npair_coeff * * {charged} H C O Si\nrun 0")
    assert "charge 1, float64" in capsys.readouterr().out
    energy, forces = at_charge(structures[kind], 1)
    assert lmp.get_thermo("pe") == pytest.approx(energy, rel=1e-12)
    assert_forces_equal(gather(lmp, "f"), forces)
    assert np.abs(forces - at_charge(structures[kind], 0)[1]).max() > 1e-4, "control: the charge counts"


def test_dynamics_conserves_the_energy(structures, start):
    lmp = start(structures["molecule"])
    lmp.commands_string("""
        velocity all create 300 1 loop geom
        timestep 0.0002
        fix atoms all nve
        run 0
    """)
    totals = []
    for _ in range(40):
        lmp.command("run 5 pre no post no")
        totals.append(lmp.get_thermo("etotal"))
    assert 0 < np.ptp(totals) < 2e-4 * 9


def test_barostat_and_minimizer(structures, start):
    """A triclinic cell that deforms: the conserved quantity holds only if the virial is right."""
    atoms = structures["triclinic"]
    lmp = start(atoms)
    lmp.commands_string("""
        thermo_style custom step pe econserve vol
        velocity all create 300 1 loop geom
        timestep 0.0001
        fix box all npt temp 300 300 0.05 tri 10000 10000 0.1
        run 0
    """)
    conserved, energy = lmp.get_thermo("econserve"), lmp.get_thermo("pe")
    lmp.command("run 20")
    assert lmp.get_thermo("vol") != pytest.approx(atoms.get_volume(), rel=1e-4)
    assert lmp.get_thermo("econserve") == pytest.approx(conserved, abs=1e-3)
    assert abs(lmp.get_thermo("pe") - energy) > 0.1
    lmp.commands_string("""
        unfix box
        minimize 0 0 3 10
    """)
    assert lmp.get_thermo("pe") < energy


def test_restart_file_goes_on(structures, start, saved, tmp_path):
    """Ten steps at once, and five and five with a restart file between them."""
    dynamics = "timestep 0.0005\nfix atoms all nve\n"
    lmp = start(structures["crystal"])
    lmp.commands_string(f"velocity all create 300 1 loop geom\n{dynamics}run 5\nwrite_restart {tmp_path}/r\nrun 5")
    whole = gather(lmp, "x")
    again = Lammps(QUIET)
    again.commands_string(f"""
        units metal
        atom_modify map yes
        read_restart {tmp_path}/r
        pair_style pyg_mpnn
        pair_coeff * * {saved} H C O Si
        {dynamics}
        run 5
    """)
    np.testing.assert_allclose(gather(again, "x"), whole, atol=1e-10)


@pytest.fixture
def script(structures, saved, tmp_path) -> Path:
    write(tmp_path / "box.data", structures["molecule"])
    (tmp_path / "in.lammps").write_text(f"""
# one's own input script
units metal
atom_style atomic
boundary f f f
read_data {tmp_path}/box.data
pair_style pyg_mpnn dtype float64 &
  skin 0.3
pair_coeff * * {saved} H C O Si
fix atoms all nve
run 2
""")
    return tmp_path / "in.lammps"


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_an_ampersand_joins_lines_whatever_ends_them(end, monkeypatch):
    said = []
    monkeypatch.setattr(Lammps, "command", lambda self, line: said.append(line))
    Lammps.commands_list(Lammps.__new__(Lammps), ["units metal", f"fix atoms & {end}all nve", "run 2 &"])
    assert [line.split() for line in said] == [["units", "metal"], ["fix", "atoms", "all", "nve"], ["run", "2"]]


def test_input_script_runs(script, capsys):
    assert main([str(script), "--ranks", "1", "--", *QUIET]) == 0
    assert "ensemble by the fixes nve" in capsys.readouterr().out


def test_error_in_a_script_is_one_line(script, capsys):
    script.write_text(script.read_text().replace("units metal", "units real"))
    assert main([str(script), "--", *QUIET]) == 1
    assert "pyg_mpnn: error: 'units' must be metal" in capsys.readouterr().err
    with pytest.raises(RuntimeError, match="'ranks' must be the number of processes that were started, got 3 and 1"):
        run_script(script, QUIET, ranks=3)
    with pytest.raises(FileNotFoundError, match="'path' must be an input script"):
        run_script(script.with_name("absent"), QUIET)
    script.write_text("label loop\njump SELF loop")
    with pytest.raises(ValueError, match="without jump, label and triple quotes"):
        run_script(script, QUIET)


@pytest.mark.parametrize(
    ("style", "coefficients", "message"),
    [
        ("", "H C O", "FILE and the element of each of 4 atom types"),
        ("", "H C O Xx", "'elements' must be chemical symbols such as Si, got 'Xx'"),
        ("", "H C O Fe", "elements the model was trained on"),
        ("skin", "H C O Si", "must have pairs of an option"),
        ("color red", "H C O Si", r"must have pairs of an option \(dtype, skin, compile, device, inputs, trust\)"),
        ("dtype half", "H C O Si", "dtype float32 or float64"),
        ("compile maybe", "H C O Si", "compile auto, on or off"),
        ("device cuda:97", "H C O Si", "'device' must be one that torch can use here, got 'cuda:97'"),
        ("skin 0", "H C O Si", "'skin' must be positive"),
        ("skin much", "H C O Si", "'skin' must be a number, got much"),
        ("inputs charge", "H C O Si", "'inputs' must be names and numbers, each name once, .*, got charge"),
        ("inputs charge=1,charge=2", "H C O Si", "'inputs' must be names and numbers, each name once"),
        ("inputs charge=1", "H C O Si", "'inputs' must be left out: the potential reads elements and positions"),
    ],
)
def test_wrong_commands_are_refused(style, coefficients, message, structures, saved, tmp_path):
    lmp = box(structures["molecule"], tmp_path)
    with pytest.raises(ValueError, match=message):
        lmp.commands_string(f"pair_style pyg_mpnn {style}\npair_coeff * * {saved} {coefficients}")


def test_commands_out_of_order_are_refused(structures, saved, tmp_path):
    lmp = Lammps(QUIET)
    lmp.commands_string("units metal\npair_style pyg_mpnn")
    with pytest.raises(ValueError, match="must come after the box is made"):
        lmp.command(f"pair_coeff * * {saved} Si")
    lmp = box(structures["molecule"], tmp_path)
    lmp.command("pair_style pyg_mpnn")
    with pytest.raises(ValueError, match="must name the potential before the dynamics"):
        lmp.command("run 0")
    with pytest.raises(FileNotFoundError, match=r"absent\.ckpt"):
        lmp.command("pair_coeff * * absent.ckpt H C O Si")


def test_error_in_the_potential_stops_the_dynamics(structures, start):
    """LAMMPS itself would go on without forces."""
    lmp = start(structures["molecule"])
    lmp.command("fix atoms all nve")
    lmp.command("run 1")
    lmp.evaluator.numbers = None
    lmp.numbers = np.array([0, 26, 26, 26, 26])
    with pytest.raises(ValueError, match="elements the model was trained on"):
        lmp.command("run 100")
    assert lmp.extract_global("ntimestep") < 5
    with pytest.raises(ValueError, match="elements the model was trained on"):
        lmp.command("run 1")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("comm_modify cutoff 2.5", "'comm_modify' must leave mode single, group all and a cutoff of at least 4.5 A"),
        ("comm_modify mode multi", "'comm_modify' must leave mode single"),
        ("neighbor 2.0 bin", "'neighbor' must be at most the skin of pair_style pyg_mpnn, 0.5 A"),
        ("neighbor ${far} bin", "'neighbor' must be a number"),
        ("comm_modify group some", "'comm_modify' must leave mode single, group all"),
        ("""if "1 > 0" then "comm_modify cutoff 1.5" """, "'comm_modify' must leave mode single"),
        ("""run 2 every 1 "comm_modify cutoff 1.5" """, "'comm_modify' must leave mode single"),
        ("include ${file}", "'include' must name a file in several processes"),
    ],
)
def test_commands_that_would_lose_images_are_refused(line, message, structures, start, tmp_path):
    """In several processes, also from a file; what loses none is left to LAMMPS."""
    lmp = start(structures["molecule"])
    lmp.comm = SimpleNamespace(size=2, rank=0)
    (tmp_path / "more.txt").write_text(f"# as LAMMPS includes it\n{line}\n")
    for given in (line, f"include {tmp_path}/more.txt"):
        with pytest.raises(ValueError, match=re.escape(message)):
            lmp.command(given)
    (tmp_path / "more.txt").write_text('print """\ntwo lines\n"""\n')
    lmp.command(f"include {tmp_path}/more.txt")
    lmp.commands_string(
        "comm_modify cutoff 6.0 vel yes\nneighbor 0.3 bin\nif '1 > 0' then 'comm_modify cutoff 6.0 group all'"
    )


def test_mpiexec_of_another_mpi_is_refused(monkeypatch):
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "4")
    with pytest.raises(RuntimeError, match="4 processes were started and each sees only itself"):
        _check_ranks(1)
    _check_ranks(4)


def mpirun(ranks: int, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("mpiexec")), "-n", str(ranks), sys.executable, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)


@pytest.fixture
def cases(structures, saved, tmp_path) -> Path:
    """All structures with the network, and the crystal with a sum, two cutoffs and an attention over neighbours."""
    network = Potential.from_size("small", cutoff=(3.0, 4.5), attention="softmax", zbl=True).double()
    network.set_reference({1: -13.6, 6: -1029.5, 8: -2042.1, 14: -7870.2}, 5.0, [5.0, 20.0])
    SumPotential(network, ZBL(2.0).double(), Potential.load(saved)).save(tmp_path / "sum.pt")
    for name, atoms in {**structures, "sum": structures["crystal"]}.items():
        write(tmp_path / f"{name}.data", atoms)
        model = tmp_path / "sum.pt" if name == "sum" else saved
        (tmp_path / f"{name}.txt").write_text(f"{boundary(atoms)}\n{model}\n")
    return tmp_path


@pytest.mark.slow
def test_processes_give_the_same(cases, structures):
    """Forces, energy, pressure, and positions after 12 steps in a cell that deforms, on 1, 2 and 4 processes."""
    found = {}
    for ranks in (1, 2, 4):
        done = mpirun(ranks, Path(__file__).with_name("domains.py"), cases, cases / f"{ranks}.npz")
        assert done.returncode == 0, done.stdout + done.stderr
        found[ranks] = dict(np.load(cases / f"{ranks}.npz"))
    for name in [*structures, "sum"]:
        forces = found[1][f"{name}_forces"]
        rms = np.sqrt((forces**2).mean())
        assert rms > 0.01
        for ranks in (2, 4):
            assert np.abs(found[ranks][f"{name}_forces"] - forces).max() < 1e-11 * rms, (name, ranks)
            for kind, tolerance in {"values": 1e-10, "after": 1e-9}.items():
                wanted = found[1][f"{name}_{kind}"]
                np.testing.assert_allclose(found[ranks][f"{name}_{kind}"], wanted, rtol=tolerance, atol=1e-5)
            moved = found[1][f"{name}_positions"]
            np.testing.assert_allclose(found[ranks][f"{name}_positions"], moved, atol=1e-9)


@pytest.mark.slow
def test_failure_of_one_process_ends_all(cases):
    for path in cases.glob("*.data"):
        if path.stem != "crystal":
            path.unlink()
    done = mpirun(2, Path(__file__).with_name("domains.py"), cases, cases / "result.npz", "fail")
    assert done.returncode != 0
    assert "process 1 of 2 failed at step" in done.stderr
    assert not (cases / "result.npz").exists()


@pytest.mark.slow
def test_script_that_fails_on_one_process_ends_all(script):
    """Before the dynamics: the other one would wait for it."""
    only = "import sys; from mpi4py import MPI; from pyg_mpnn.engines import lammps as module\n"
    only += "if MPI.COMM_WORLD.rank == 1: module.Lammps._coefficients = None\n"
    only += "sys.exit(module.main(sys.argv[1:]))"
    done = mpirun(2, "-c", only, script, "--", *QUIET)
    assert done.returncode != 0
    assert "pyg_mpnn: error: 'NoneType' object is not callable" in done.stderr
