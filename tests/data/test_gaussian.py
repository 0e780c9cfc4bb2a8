from __future__ import annotations

from pathlib import Path

import pytest

from pyg_mpnn.data import LabelNames, read_structures
from pyg_mpnn.data.read import load_frames
from pyg_mpnn.units import BOHR, HARTREE

GAUSSIAN = """\
 Entering Gaussian System, Link 0=g16
                          {orientation} orientation:
 ---------------------------------------------------------------------
 Center     Atomic      Atomic             Coordinates (Angstroms)
 Number     Number       Type             X           Y           Z
 ---------------------------------------------------------------------
      1          1           0        0.000000    0.000000    0.000000
      2          1           0        0.000000    0.000000    0.740000
 ---------------------------------------------------------------------
 {scf}
 SCF Done:  E(RB3LYP) =  -1.17000000     A.U. after    7 cycles
 Center     Atomic                   Forces (Hartrees/Bohr)
 Number     Number              X              Y              Z
 -------------------------------------------------------------------
      1        1           0.000000000    0.000000000   -0.010000000
      2        1           0.000000000    0.000000000    0.010000000
 -------------------------------------------------------------------
{end}
"""


def test_gaussian_has_its_numbers_and_names_what_is_wrong(tmp_path: Path) -> None:
    path, whole = tmp_path / "g.log", " Normal termination of Gaussian 16"
    path.write_text(GAUSSIAN.format(orientation="Input", scf="", end=whole))
    (frame,) = read_structures(path)
    assert float(frame.energy) == pytest.approx(-1.17 * HARTREE)
    assert frame.forces[1].tolist() == pytest.approx([0.0, 0.0, 0.01 * HARTREE / BOHR])
    path.write_text(GAUSSIAN.format(orientation="Input", scf="Convergence criterion not met.", end=whole))
    with pytest.raises(ValueError, match=r"of Gaussian: the last frame \(its electrons are not converged\)"):
        read_structures(path)
    path.write_text(GAUSSIAN.format(orientation="Input", scf="", end=""))
    with pytest.raises(ValueError, match=r"of Gaussian: the last frame \(the file ends within it\)"):
        read_structures(path)
    path.write_text(GAUSSIAN.format(orientation="Standard", scf="", end=whole))
    with pytest.raises(ValueError, match=r"coordinates in the orientation of its forces, got .* compute it again"):
        read_structures(path)
