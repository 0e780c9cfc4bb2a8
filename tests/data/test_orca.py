from __future__ import annotations

from pathlib import Path

import pytest

from pyg_mpnn.data import LabelNames, read_structures
from pyg_mpnn.data.read import load_frames
from pyg_mpnn.units import BOHR, HARTREE

ORCA = """\
                                 * O   R   C   A *
Number of atoms                             ...      2
---------------------------------
CARTESIAN COORDINATES (ANGSTROEM)
---------------------------------
  H      0.000000    0.000000    0.000000
  H      0.000000    0.000000    0.740000

FINAL SINGLE POINT ENERGY        -1.17{converged}
------------------
CARTESIAN GRADIENT
------------------

   1   H   :    0.000000000    0.000000000    0.010000000
   2   H   :    0.000000000    0.000000000   -0.010000000

"""


def test_orca_has_its_numbers_and_names_what_is_not_converged(tmp_path: Path) -> None:
    path, end = tmp_path / "orca.out", "****ORCA TERMINATED NORMALLY****\n"
    path.write_text(ORCA.format(converged="") + end)
    (frame,) = read_structures(path)
    assert float(frame.energy) == pytest.approx(-1.17 * HARTREE)
    assert frame.forces[0].tolist() == pytest.approx([0.0, 0.0, -0.01 * HARTREE / BOHR])
    path.write_text(ORCA.format(converged=" (Wavefunction not fully converged!)") + end)
    with pytest.raises(ValueError, match=r"of ORCA: frame 0 \(its electrons are not converged\)"):
        read_structures(path)
    step = "ORCA SCF GRADIENT CALCULATION\n" + ORCA.format(converged="") + "ORCA GEOMETRY RELAXATION STEP\n"
    path.write_text(step + ORCA.format(converged="")[:300])
    with pytest.raises(ValueError, match=r"of ORCA: frame 1 \(the file ends within it\)"):
        read_structures(path)
    assert len(read_structures(path, labels=LabelNames(leave_out_wrong=True))) == 1
