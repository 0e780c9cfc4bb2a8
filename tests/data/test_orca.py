from __future__ import annotations

from pathlib import Path

import pytest

from pyg_mpnn.data import LabelNames, read_structures
from pyg_mpnn.data.orca import read_orca
from pyg_mpnn.data.read import load_frames
from pyg_mpnn.data.rewrite import convert_file
from pyg_mpnn.units import BOHR, HARTREE

HEAD = "                                 * O   R   C   A *\n"
STEP = """\
---------------------------------
CARTESIAN COORDINATES (ANGSTROEM)
---------------------------------
  H      0.000000    0.000000    0.000000
  H      0.000000    0.000000    0.7{number}0000

----------------------------
CARTESIAN COORDINATES (A.U.)
----------------------------
Total Energy       :           -1.16000000 Eh             -31.56521 eV
FINAL SINGLE POINT ENERGY        -1.1{number}{converged}
"""
GRADIENT = """\
------------------
CARTESIAN GRADIENT{kind}
------------------

   1   H   :    0.000000000    0.000000000    0.0{first}0000000
   2   H   :    0.000000000    0.000000000   -0.010000000

Norm of the cartesian gradient     ...    0.014142136
"""
END = "****ORCA TERMINATED NORMALLY****\n"


def step(number: int = 4, converged: str = "", gradient: bool = True, kind: str = "") -> str:
    table = GRADIENT.format(kind=kind, first=1) if gradient else ""
    return STEP.format(number=number, converged=converged) + table


@pytest.mark.parametrize("kind", ["", " (NUMERICAL)"])
def test_output_has_its_numbers(tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "orca.out"
    path.write_text(HEAD + step(kind=kind) + END)
    (frame,) = load_frames(path)
    assert float(frame.energy) == pytest.approx(-1.14 * HARTREE)
    assert frame.forces[0].tolist() == pytest.approx([0.0, 0.0, -0.01 * HARTREE / BOHR])
    assert "ORCA: converted from hartree and bohr" in capsys.readouterr().out
    (frame,) = read_structures(path, labels=LabelNames(energy="scf_energy"), forces=False)
    assert float(frame.energy) == pytest.approx(-1.16 * HARTREE)


def test_gradients_of_correlated_methods_of_orca_4_are_read(tmp_path: Path) -> None:
    table = "The final MP2 gradient\n  0:   0.00000000   0.00000000   0.02000000\n  1:   0.0   0.0  -0.02000000\n"
    (tmp_path / "orca.out").write_text(HEAD + step(gradient=False) + table + END)
    (frame,) = read_structures(tmp_path / "orca.out")
    assert frame.forces[1, 2].item() == pytest.approx(0.02 * HARTREE / BOHR)


def test_every_step_is_read_whatever_stands_between_them(tmp_path: Path) -> None:
    """A scan and dynamics have no words of a relaxation; the last energy of a relaxation has no forces."""
    path = tmp_path / "orca.out"
    path.write_text(HEAD + step(1) + step(2) + "ORCA GEOMETRY RELAXATION STEP\n" + step(3, gradient=False) + END)
    frames = load_frames(path)
    assert [float(frame.energy) for frame in frames] == pytest.approx(
        [-1.11 * HARTREE, -1.12 * HARTREE, -1.13 * HARTREE]
    )
    assert [frame.pos[1, 2].item() for frame in frames] == pytest.approx([0.71, 0.72, 0.73])
    assert ["forces" in frame for frame in frames] == [True, True, False]


def test_what_is_wrong_is_named_by_its_step(tmp_path: Path) -> None:
    path = tmp_path / "orca.out"
    for said in (" (Wavefunction not fully converged!)", "   (SCF not fully converged!)"):
        path.write_text(HEAD + step(1, said) + step(2) + END)
        with pytest.raises(ValueError, match=r"of ORCA: frame 0 \(its electrons are not converged\)"):
            read_structures(path)
        assert len(read_structures(path, labels=LabelNames(leave_out_wrong=True))) == 1
    energy = "FINAL SINGLE POINT ENERGY"
    path.write_text(HEAD + step().replace(energy, f"{energy} (SCF not converged)") + END)
    with pytest.raises(ValueError, match=r"of ORCA: frame 0 \(its electrons are not converged\)"):
        read_structures(path)
    both = f"{energy} (MM)  0.02\n{step(gradient=False)}{energy} (QM/MM)  -1.12\n"
    path.write_text(HEAD + both + END)
    with pytest.raises(ValueError, match=r"frame 1 \(its energy is one of several parts, \(QM/MM\), which are not"):
        read_structures(path)
    path.write_text(HEAD + step(1) + step(2)[:300])
    with pytest.raises(ValueError, match=r"of ORCA: frame 1 \(the file ends within it\)"):
        read_structures(path)
    path.write_text(HEAD + step(1) + step(2))
    assert len(read_structures(path)) == 2, "both steps are whole"
    path.write_text(
        HEAD + step().replace("  H      0.000000    0.000000    0.7", "  H:     0.000000    0.000000    0.7") + END
    )
    with pytest.raises(ValueError, match=r"frame 0 \(it has 'H:', no atom: a ghost or a point charge\)"):
        read_structures(path)
    path.write_text(HEAD + step() + GRADIENT.format(kind="", first=2) + END)
    with pytest.raises(ValueError, match=r"frame 0 \(it has the gradients of several states\)"):
        read_structures(path)
    path.write_text(HEAD + step(gradient=False) + GRADIENT.format(kind="", first=2) + END)
    with pytest.raises(
        ValueError, match=r"frame 0 \(its forces sum to 33% of their sizes: .* a field or charge besides"
    ):
        read_structures(path)
    path.write_text(HEAD + END)
    with pytest.raises(
        ValueError, match=r"must have its coordinates in the output.* compute it again without MiniPrint"
    ):
        read_structures(path)


def test_energies_of_excited_states_are_said_to_be_such(tmp_path: Path) -> None:
    path = tmp_path / "orca.out"
    path.write_text(HEAD + step(gradient=False).replace("FINAL", "    DE(CIS) =      0.02 Eh (Root  1)\nFINAL") + END)
    said = convert_file(path, tmp_path / "out.xyz")
    assert "1 steps are of an EXCITED STATE: --energy-key scf_energy is the ground state" in said


def test_a_file_that_ends_anywhere_has_whole_steps(tmp_path: Path) -> None:
    path, text = tmp_path / "orca.out", HEAD + step(1) + step(2) + END
    path.write_text(text)
    whole = [(each.energy, each.forces) for each in read_orca(path)]
    for end in range(text.index("(A.U.)"), len(text), 13):
        path.write_text(text[:end])
        steps = read_orca(path)
        assert all((each.energy, each.forces) in whole for each in steps if not each.wrong)
