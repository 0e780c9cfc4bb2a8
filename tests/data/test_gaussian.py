from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from pyg_mpnn.data import LabelNames, read_structures
from pyg_mpnn.data.gaussian import read_gaussian
from pyg_mpnn.data.read import load_frames
from pyg_mpnn.units import BOHR, DEBYE, HARTREE

HEAD = " Entering Gaussian System, Link 0=g16\n"
END = " Normal termination of Gaussian 16 at Mon Nov 30 2026.\n"
LINE = " ---------------------------------------------------------------------\n"


def geometry(rows: list[tuple[int, float, float, float]], kind: str = "Input") -> str:
    table = "".join(
        f"      {k}          {z}           0    {x:12.6f}{y:12.6f}{w:12.6f}\n" for k, (z, x, y, w) in enumerate(rows, 1)
    )
    title = (
        " Center     Atomic      Atomic             Coordinates (Angstroms)\n Number     Number       Type    X  Y  Z\n"
    )
    return f"                          {kind} orientation:\n{LINE}{title}{LINE}{table}{LINE}"


def energy(value: float, method: str = "RB3LYP") -> str:
    return f" SCF Done:  E({method}) =  {value:.8f}     A.U. after    7 cycles\n"


def forces(*rows: tuple[float, float, float]) -> str:
    table = "".join(f"      {k}        1    {x:15.9f}{y:15.9f}{w:15.9f}\n" for k, (x, y, w) in enumerate(rows, 1))
    title = " Center     Atomic                   Forces (Hartrees/Bohr)\n Number     Number   X   Y   Z\n"
    return f"{title}{LINE}{table}{LINE}"


H2 = [(1, 0.0, 0.0, 0.0), (1, 0.0, 0.0, 0.74)]
LONGER = [(1, 0.0, 0.0, 0.0), (1, 0.0, 0.0, 0.80)]
TURNED = [(1, 0.37, 0.0, 0.0), (1, -0.37, 0.0, 0.0)]
PULL = forces((0.0, 0.0, -0.01), (0.0, 0.0, 0.01))


def test_output_has_its_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "g.log"
    path.write_text(HEAD + geometry(H2) + geometry(TURNED, "Standard") + energy(-1.17) + PULL + END)
    (frame,) = load_frames(path)
    assert float(frame.energy) == pytest.approx(-1.17 * HARTREE)
    assert frame.pos[1].tolist() == pytest.approx([0.0, 0.0, 0.74]), "in the orientation of the forces"
    assert frame.forces[1].tolist() == pytest.approx([0.0, 0.0, 0.01 * HARTREE / BOHR])
    shown = capsys.readouterr().out
    assert "Gaussian: converted from hartree and bohr" in shown
    assert "energies of B3LYP" in shown


def test_every_geometry_is_read_once(tmp_path: Path) -> None:
    """A relaxation prints its last geometry again, and the next job computes it again."""
    again = geometry(LONGER) + energy(-1.19) + PULL
    text = geometry(H2) + energy(-1.17) + PULL + again + geometry(LONGER) + END + again + END
    (tmp_path / "g.log").write_text(HEAD + text)
    frames = read_structures(tmp_path / "g.log")
    assert [float(frame.energy) for frame in frames] == pytest.approx([-1.17 * HARTREE, -1.19 * HARTREE])


LATER = [
    (" E2 =    -0.38D-01 EUMP2 =    -0.12D+01", -1.2),
    (" E2 =    -0.38D-01 EUMP2 =    -0.12D+01\n E3=       -0.1D-01        EUMP3=      -0.13D+01", -1.3),
    (" E3=       -0.1D-01        EUMP3=      -0.13D+01\n E4(SDQ)=  -0.3D-02        UMP4(SDQ)=  -0.14D+01", -1.4),
    (" DE(Corr)= -0.5E-01 E(CORR)=     -1.4000     Delta=-1D-02\n DE(Corr)= -0.5E-01 E(CORR)=     -1.5    D=1", -1.5),
    (" DE(Corr)= -0.5E-01 E(CORR)=     -1.5    D=1\n CCSD(T)= -0.16D+01", -1.6),
    (" E2(B2PLYP) = -0.1D+00 E(B2PLYP) = -0.17D+01", -1.7),
    (" Total Energy, E(TD-HF/TD-DFT) =  -1.00", -1.0),
    (
        energy(-0.5, "RPM6") + energy(-0.4, "RPM6") + " ONIOM: extrapolated energy =    -1.25",
        -1.25,
    ),
    (
        " Counterpoise: doing DCBS calculation for fragment   1\n" + energy(-0.6) + " E2 = -0.1D+00 EUMP2 = -0.7D+00\n"
        " Counterpoise: corrected energy =      -1.16000",
        -1.16,
    ),
]


@pytest.mark.parametrize(("lines", "value"), LATER)
def test_the_energy_is_that_of_the_last_method(tmp_path: Path, lines: str, value: float) -> None:
    path = tmp_path / "g.log"
    path.write_text(HEAD + geometry(H2) + energy(-1.1, "RHF") + lines + "\n" + PULL + END)
    (frame,) = read_structures(path)
    assert float(frame.energy) == pytest.approx(value * HARTREE)


def test_the_energy_before_is_there_by_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "g.log"
    path.write_text(HEAD + geometry(H2) + energy(-1.1) + " Total Energy, E(TD-HF/TD-DFT) =  -1.00\n" + END)
    (frame,) = load_frames(path, labels=LabelNames(energy="scf_energy"))
    assert float(frame.energy) == pytest.approx(-1.1 * HARTREE)
    assert "1 steps are of an EXCITED STATE: --energy-key scf_energy" in capsys.readouterr().out


def test_what_is_wrong_is_named_by_its_step(tmp_path: Path) -> None:
    path = tmp_path / "g.log"
    good = geometry(H2) + energy(-1.17) + PULL
    wrong = {
        geometry(H2)
        + " >>>>>>>>>> Convergence criterion not met.\n"
        + energy(-1.17)
        + END
        + good: "frame 0 .its elect",
        good + geometry(LONGER) + " Convergence failure -- run terminated.\n": r"frame 1 \(its electrons are not conv",
        geometry(H2, "Standard") + energy(-1.17) + PULL: r"frame 0 \(its coordinates are in the standard orientation.*"
        "again with Geom=PrintInputOrient",
        geometry([*H2, (0, 0.0, 0.0, 3.0)]) + energy(-1.17): r"frame 0 \(it has 1 ghost atoms\)",
        geometry(TURNED) + energy(-1.17) + PULL: r"frame 0 \(its forces turn the molecule: .* another orientation",
    }
    for text, said in wrong.items():
        path.write_text(HEAD + text + END)
        with pytest.raises(ValueError, match=rf"got 1 other in .* of Gaussian: {said}"):
            read_structures(path)
    path.write_text(HEAD + good + geometry(LONGER))
    with pytest.raises(ValueError, match=r"of Gaussian: frame 1 \(the file ends within it\)"):
        read_structures(path)
    assert len(read_structures(path, labels=LabelNames(leave_out_wrong=True))) == 1
    for begun in (geometry(LONGER), geometry(LONGER) + energy(-1.16)):
        path.write_text(HEAD + begun + HEAD + good + END)
        with pytest.raises(ValueError, match=r"of Gaussian: frame 0 \(the file ends within it\)"):
            read_structures(path)
    path.write_text(HEAD + geometry(H2) + END)
    with pytest.raises(ValueError, match=r"must have geometries with energies, got none in .* of Gaussian"):
        read_structures(path)


def test_a_job_that_ended_in_an_error_has_no_energy_of_its_last_method(tmp_path: Path) -> None:
    path = tmp_path / "g.log"
    error = " Error termination via Lnk1e in /g16/l913.exe at Mon Nov 30 2026.\n"
    for energies in ("", " DE(Corr)= -0.5E-01 E(CORR)=     -1.4000     Delta=-1D-02\n"):
        path.write_text(HEAD + geometry(H2) + energy(-1.17, "RHF") + energies + error)
        with pytest.raises(ValueError, match=r"of Gaussian: frame 0 \(its calculation ended in an error\)"):
            read_structures(path)
    path.write_text(HEAD + geometry(H2) + energy(-1.17) + PULL + geometry(H2) + error)
    assert len(read_structures(path)) == 1, "of a relaxation that needs more steps"


def test_a_compressed_file_that_was_cut_is_named(tmp_path: Path) -> None:
    path = tmp_path / "g.log.gz"
    text = HEAD + "".join(geometry(LONGER) + energy(-1.0 - k / 7) + PULL for k in range(300)) + END
    path.write_bytes(gzip.compress(text.encode())[:-100])
    with pytest.raises(ValueError, match=r"got a compressed file that was cut in .*g.log.gz: copy it again"):
        read_structures(path)


def test_forces_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    """Gaussian prints stars where a number is too large for its column."""
    stars = PULL.replace("   -0.010000000", "***************")
    assert "***" in stars
    (tmp_path / "g.log").write_text(HEAD + geometry(H2) + energy(-1.17) + stars + END)
    (step,) = read_gaussian(tmp_path / "g.log")
    assert not step.forces
    assert step.wrong == "its table of forces has 1 of 2 atoms that can be read"
    with pytest.raises(ValueError, match="1 of 2 atoms that can be read"):
        load_frames(tmp_path / "g.log")


@pytest.mark.parametrize(
    ("line", "name"), [(" CBS-QB3 (0 K)= {}  CBS-QB3 Energy= {}", "CBS-QB3"), (" G4(0 K)= {}", "G4")]
)
def test_a_composite_energy_is_not_read_and_that_is_said(
    line: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = line.format("-1.166000", "-1.163000") + "\n"
    (tmp_path / "g.log").write_text(HEAD + geometry(H2) + energy(-1.17) + text + END)
    (frame,) = load_frames(tmp_path / "g.log")
    assert float(frame.energy) == pytest.approx(-1.17 * HARTREE)
    assert f"the COMPOSITE energy of {name} is NOT READ" in capsys.readouterr().out


def test_energies_of_two_methods_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [tmp_path / "a.log", tmp_path / "b.log", tmp_path / "c.log"]
    for path, method in zip(paths, ("RB3LYP", "UB3LYP", "RPBEPBE"), strict=True):
        path.write_text(HEAD + geometry(H2) + energy(-1.17, method) + END)
    load_frames(paths[:2])
    assert "WARNING" not in capsys.readouterr().out
    load_frames(paths)
    shown = capsys.readouterr().out
    assert f"WARNING: {paths[2]} has energies of 'PBEPBE' and {paths[0]} of 'B3LYP'" in shown
    paths[0].write_text(paths[0].read_text() + geometry(LONGER) + energy(-1.1, "RPBEPBE") + END)
    load_frames(paths[0])
    assert "energies are of SEVERAL METHODS (B3LYP, PBEPBE)" in capsys.readouterr().out


def test_dummy_atoms_and_cell_vectors_are_no_atoms(tmp_path: Path) -> None:
    cell = [(-2, 10.0, 0.0, 0.0), (-2, 0.0, 10.0, 0.0), (-2, 0.0, 0.0, 10.0)]
    table = PULL.replace(LINE, "", 1).removesuffix(LINE)
    rows = "              -2    0.1 0.0 0.0\n" * 3
    text = geometry([H2[0], (-1, 1.0, 0.0, 0.0), H2[1], *cell]) + energy(-1.17) + table + rows + LINE
    (tmp_path / "g.log").write_text(HEAD + text + END)
    (frame,) = read_structures(tmp_path / "g.log")
    assert frame.z.tolist() == [1, 1]
    assert frame.forces.shape == (2, 3)
    assert frame.cell[0].diagonal().tolist() == [10.0, 10.0, 10.0]


@pytest.mark.parametrize("charge", [0, 1])
def test_the_dipole_is_turned_to_the_orientation_of_the_coordinates(tmp_path: Path, charge: int) -> None:
    rng = np.random.default_rng(0)
    standard = rng.normal(size=(4, 3))
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    turn *= np.linalg.det(turn)
    shift = np.array([0.5, -1.0, 2.0])
    charges = np.array([0.3, -0.2, 0.1, -0.2]) + charge / 4
    rows = {"Input": standard @ turn + shift, "Standard": standard}
    text = "".join(geometry([(1, *row) for row in places.tolist()], kind) for kind, places in rows.items())
    x, y, z = charges @ standard / DEBYE
    said = f" Charge =  {charge} Multiplicity = 1\n{text}{energy(-1.17)}"
    moment = f" Dipole moment (field-independent basis, Debye):\n    X= {x:.6f}    Y= {y:.6f}    Z= {z:.6f}  Tot= 1.0\n"
    (tmp_path / "g.log").write_text(HEAD + said + moment + END)
    (step,) = read_gaussian(tmp_path / "g.log")
    assert step.others["dipole"] == pytest.approx(charges @ rows["Input"], abs=1e-4)
    assert np.abs(charges @ standard - charges @ rows["Input"]).max() > 0.05, "control"


def test_a_file_that_ends_anywhere_has_whole_steps(tmp_path: Path) -> None:
    path, text = tmp_path / "g.log", HEAD + "".join(geometry(at) + energy(-1.0) + PULL for at in (H2, LONGER)) + END
    for end in range(text.index(PULL), len(text) - len(END), 13):
        path.write_text(text[:end])
        steps = read_gaussian(path)
        assert all((each.energy, len(each.forces)) == (-1.0, 2) for each in steps if not each.wrong)
