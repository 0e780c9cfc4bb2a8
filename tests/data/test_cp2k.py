from __future__ import annotations

from pathlib import Path

import pytest

from pyg_mpnn.data import LabelNames, read_structures
from pyg_mpnn.data.cp2k import iterate_cp2k, scan_cp2k
from pyg_mpnn.data.read import load_frames
from pyg_mpnn.units import BOHR, GPA, HARTREE

OUTPUT = """\
 CP2K| version string:                                          CP2K version 7.0
 CELL| Vector a [angstrom]:       5.000     0.000     0.000    |a| =       5.000
 CELL| Vector b [angstrom]:       0.000     6.000     0.000    |b| =       6.000
 CELL| Vector c [angstrom]:       0.000     0.000     7.000    |c| =       7.000

 MODULE QUICKSTEP:  ATOMIC COORDINATES IN angstrom

  Atom  Kind  Element       X           Y           Z          Z(eff)       Mass

       1     1 H    1    0.000000    0.000000    0.000000      1.00       1.0079
       2     1 H    1    0.760000    0.000000    0.000000      1.00       1.0079

  *** SCF run converged in     9 steps ***
  Integrated absolute spin density  :                               0.0000000000

 ENERGY| Total FORCE_EVAL ( QS ) energy (a.u.):               -1.170000000000000

 ATOMIC FORCES in [a.u.]

 # Atom   Kind   Element          X              Y              Z
      1      1      H          -0.01000000     0.00000000     0.00000000
      2      1      H           0.01000000     0.00000000     0.00000000
 SUM OF ATOMIC FORCES           0.00000000     0.00000000     0.00000000     0.00000000

 STRESS TENSOR [GPa]

            X               Y               Z
  X       1.00000000      0.10000000      0.00000000
  Y       0.10000000      2.00000000      0.00000000
  Z       0.00000000      0.00000000      3.00000000
"""
NEWER = [
    ("ATOMIC FORCES in [a.u.]", "FORCES| Atomic forces [hartree/bohr]"),
    ("      1      1      H          -0.01000000", " FORCES|      1  -1.00000000E-02"),
    ("      2      1      H           0.01000000", " FORCES|      2   1.00000000E-02"),
    (" STRESS TENSOR [GPa]", " STRESS| Analytical stress tensor [bar]"),
    ("  X       1.00000000      0.10000000", " STRESS|      x  1.0E+04  1.0E+03"),
    ("  Y       0.10000000      2.00000000", " STRESS|      y  1.0E+03  2.0E+04"),
    ("      3.00000000\n", "      3.0E+04\n"),
    ("energy (a.u.):", "energy [hartree]"),
]
ENDED = "  **** **** PROGRAM ENDED AT 2025\n"


@pytest.mark.parametrize("newer", [False, True])
def test_output_has_its_numbers(tmp_path: Path, newer: bool, capsys: pytest.CaptureFixture[str]) -> None:
    text = OUTPUT
    for old, new in NEWER if newer else []:
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "cp2k.out").write_text(text + ENDED)
    (frame,) = load_frames(tmp_path / "cp2k.out")
    assert float(frame.energy) == pytest.approx(-1.17 * HARTREE)
    assert frame.cell[0].diagonal().tolist() == [5.0, 6.0, 7.0]
    assert frame.forces[1].tolist() == pytest.approx([0.01 * HARTREE / BOHR, 0.0, 0.0])
    assert frame.stress[0].diagonal().tolist() == pytest.approx([-GPA, -2 * GPA, -3 * GPA])
    assert float(frame.stress[0, 0, 1]) == pytest.approx(-0.1 * GPA)
    assert "CP2K: converted from hartree and bohr" in capsys.readouterr().out


def test_what_is_wrong_in_an_output_is_named(tmp_path: Path) -> None:
    path = tmp_path / "cp2k.out"
    path.write_text(OUTPUT + OUTPUT.replace("SCF run converged in", "SCF run NOT converged in") + ENDED)
    with pytest.raises(ValueError, match=r"1 other in .* of CP2K: frame 1 \(its electrons are not converged\)"):
        read_structures(path)
    assert len(read_structures(path, labels=LabelNames(leave_out_wrong=True))) == 1
    path.write_text(OUTPUT + OUTPUT[: OUTPUT.index("ENERGY|")])
    with pytest.raises(ValueError, match=r"frame 1 \(the file ends within it\)"):
        read_structures(path)
    path.write_text(OUTPUT + OUTPUT[OUTPUT.index(" ENERGY|") :] + ENDED)
    with pytest.raises(ValueError, match=r"frame 1 of .* must have its positions in the output.* NAME-pos-1.xyz"):
        read_structures(path)
    path.write_text(OUTPUT.replace("[GPa]", "[foo]"))
    with pytest.raises(ValueError, match=r"stresses must be in gpa or kbar or bar or atm, got 'foo'"):
        read_structures(path)
    path.write_text(OUTPUT.replace("energy (a.u.)", "energy [eV]"))
    with pytest.raises(ValueError, match=r"energies must be in a.u. or hartree, got .*ev"):
        read_structures(path)


def xyz(first: str, energy: float, steps: tuple[int, ...] = (0, 10)) -> str:
    return "".join(
        f"     2\n i = {k:8d}, time = 0.000, E = {energy}\n H 0.0 0.0 0.0\n H {first} 0.0 0.0\n" for k in steps
    )


def test_positions_are_read_with_forces_and_cells_beside_them(tmp_path: Path) -> None:
    path = tmp_path / "run-pos-1.xyz"
    path.write_text(xyz("0.76", -1.17))
    with pytest.raises(ValueError, match=r"must have its cell beside it, got neither run-1.cell nor run-1.restart"):
        read_structures(path)
    rows = "".join(f"{k} 0.0 5 0 0 0 6 0 0 0 7 210\n" for k in (0, 10))
    (tmp_path / "run-1.cell").write_text(f"# Step Time Ax Ay ...\n{rows}")
    assert "forces" not in read_structures(path, forces=False)[0]
    (tmp_path / "run-frc-1.xyz").write_text(xyz("0.01", -1.17))
    first, second = read_structures(path)
    assert float(first.energy) == pytest.approx(-1.17 * HARTREE)
    assert second.forces[1, 0].item() == pytest.approx(0.01 * HARTREE / BOHR)
    assert first.cell[0].diagonal().tolist() == [5.0, 6.0, 7.0]
    (tmp_path / "run-frc-1.xyz").write_text(xyz("0.01", -1.17, (0, 20)))
    with pytest.raises(ValueError, match=r"forces of the same steps .* got step 10 in .* and 20"):
        read_structures(path)
    path.write_text(xyz("0.76", -1.17)[:-12])
    with pytest.raises(ValueError, match="a cut or damaged step"):
        read_structures(path)


def test_a_header_that_is_printed_again_is_no_step(tmp_path: Path) -> None:
    """A run that was killed before it computed anything and begun again into the same file."""
    path = tmp_path / "cp2k.out"
    path.write_text(OUTPUT[: OUTPUT.index("  *** SCF")] + OUTPUT + ENDED)
    assert len(read_structures(path)) == 1


def test_directions_that_are_not_periodic_are_not(tmp_path: Path) -> None:
    path = tmp_path / "cp2k.out"
    for said, pbc in (("NONE", [False] * 3), ("XY", [True, True, False]), ("XYZ", [True] * 3)):
        path.write_text(OUTPUT.replace("  *** SCF", f" POISSON| Periodicity          {said}\n  *** SCF") + ENDED)
        (atoms,) = iterate_cp2k(path, LabelNames())
        assert atoms.pbc.tolist() == pbc
        assert ("stress" in atoms.calc.results) == (said == "XYZ")


def test_an_output_beside_positions_gives_what_other_files_do_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, beside = tmp_path / "run-pos-1.xyz", tmp_path / "run.out"
    path.write_text(xyz("0.76", -1.17, (0,)) + xyz("0.77", -1.18, (1,)))
    second = OUTPUT[OUTPUT.index("  *** SCF") :].replace("-1.17", "-1.18")
    beside.write_text(OUTPUT + second + ENDED)
    first, other = load_frames(path)
    assert first.cell[0].diagonal().tolist() == [5.0, 6.0, 7.0]
    assert other.forces[1].tolist() == pytest.approx([0.01 * HARTREE / BOHR, 0.0, 0.0])
    assert other.stress[0].diagonal().tolist() == pytest.approx([-GPA, -2 * GPA, -3 * GPA])
    assert "NOT CHECKED" not in capsys.readouterr().out
    beside.write_text(OUTPUT + second.replace("converged in", "NOT converged in") + ENDED)
    with pytest.raises(ValueError, match=r"1 other in .* of CP2K: frame 1 \(its electrons are not converged\)"):
        read_structures(path)
    beside.write_text(OUTPUT + ENDED)
    load_frames(path)
    assert "NOT CHECKED" in capsys.readouterr().out
    beside.write_text(OUTPUT + " MD| Ensemble Type            NPT_I\n" + second + ENDED)
    with pytest.raises(ValueError, match="must have its cell beside it"):
        read_structures(path)


def test_a_file_that_ends_anywhere_is_read_or_says_so(tmp_path: Path) -> None:
    path, lines = tmp_path / "cp2k.out", (OUTPUT + ENDED).splitlines(keepends=True)
    begin = lines.index(" STRESS TENSOR [GPa]\n")
    for end in range(begin, len(lines)):
        path.write_text("".join(lines[:end]))
        (atoms,) = iterate_cp2k(path, LabelNames())
        assert ("stress" in atoms.calc.results) == (lines[end - 1].startswith("  Z"))
        if lines[end - 1].startswith(("  X", "  Y")) and "1.0" in "".join(lines[begin:end]):
            (found,) = scan_cp2k(path).wrong.values()
            assert found == "the file ends within it"


def test_steps_of_one_energy_and_other_forces_are_not_taken_for_each_other(tmp_path: Path) -> None:
    path, beside = tmp_path / "run-pos-1.xyz", tmp_path / "run.out"
    path.write_text(xyz("0.76", -1.17, (0,)) + xyz("0.77", -1.17, (1,)))
    again = OUTPUT[OUTPUT.index("  *** SCF") :]
    beside.write_text(OUTPUT + again + ENDED)
    assert [frame.forces[1, 0].item() > 0 for frame in read_structures(path)] == [True, True]
    other = again.replace("-0.01000000", " 9.01000000").replace(" 0.01000000", "-0.01000000").replace(" 9.01", " 0.01")
    beside.write_text(OUTPUT + other + ENDED)
    with pytest.raises(ValueError, match="'forces' is missing in frame 0"):
        read_structures(path)
