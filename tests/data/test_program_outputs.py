from __future__ import annotations

from pathlib import Path

import pytest

from pyg_mpnn.data import LabelNames, read_structures
from pyg_mpnn.data.read import load_frames
from pyg_mpnn.units import GPA

STEP = """\
--------------------------------------- Iteration {number}(   1)  ---------------------------------------
------------------------ aborting loop {why} ----------------------------------------
  in kB      10.00000  20.00000  30.00000   1.00000   2.00000   3.00000
      direct lattice vectors                 reciprocal lattice vectors
     4.000000000  0.000000000  0.000000000     0.250000000  0.000000000  0.000000000
     0.000000000  4.000000000  0.000000000     0.000000000  0.250000000  0.000000000
     0.000000000  0.000000000  4.000000000     0.000000000  0.000000000  0.250000000
 POSITION                                       TOTAL-FORCE (eV/Angst)
 -----------------------------------------------------------------------------------
      0.00000      0.00000      0.00000         0.100000      0.000000      0.000000
      2.00000      2.00000      0.{number}0000        -0.100000      0.000000      0.000000
 -----------------------------------------------------------------------------------
  FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)
  ---------------------------------------------------
  free  energy   TOTEN  =        -7.{number}000000 eV

  energy  without entropy=       -7.00000000  energy(sigma->0) =       -7.{number}500000
"""
REACHED, NOT_REACHED = "because EDIFF is reached", "EDIFF was not reached (unconverged)"


def outcar(path: Path, steps: list[str], potential: str = "Cu 22Jun2005") -> Path:
    head = (
        f" POTCAR:    PAW_PBE {potential}\n   TITEL  = PAW_PBE {potential}\n POTCAR:    PAW_PBE {potential}\n"
        "   ions per type =               2\n"
    )
    body = "".join(STEP.format(number=k + 1, why=why) for k, why in enumerate(steps))
    path.write_text(head + body + " General timing and accounting informations for this job:\n")
    return path


def test_outcar_has_its_numbers_and_says_its_units(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frames = load_frames(outcar(tmp_path / "OUTCAR", [REACHED, REACHED]))
    assert [float(frame.energy) for frame in frames] == [-7.15, -7.25]
    assert frames[1].pos[1].tolist() == pytest.approx([2.0, 2.0, 0.2])
    assert frames[0].forces[0].tolist() == [0.1, 0.0, 0.0]
    assert frames[0].stress[0].diagonal().tolist() == pytest.approx([-0.1 * GPA * k for k in (10, 20, 30)])
    shown = capsys.readouterr().out
    assert "VASP: in eV and A, the stress from kbar" in shown
    assert "pseudopotentials PAW_PBE Cu 22Jun2005" in shown
    with pytest.raises(ValueError, match=r"units must be left out for .*OUTCAR, which has its own \(VASP\)"):
        read_structures(tmp_path / "OUTCAR", labels=LabelNames(energy_unit="hartree"))


def test_steps_that_are_not_converged_or_cut_are_named_and_left_out_on_demand(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = outcar(tmp_path / "OUTCAR", [REACHED, NOT_REACHED, REACHED, REACHED])
    text = path.read_text()
    path.write_text(text[: text.rindex("FREE ENERGIE")])
    named = r"2 others in .* of VASP: frame 1 \(its electrons are not converged\), frame 3 \(the file ends within it\)"
    with pytest.raises(ValueError, match=named):
        read_structures(path)
    frames = load_frames(path, labels=LabelNames(leave_out_wrong=True))
    assert [float(frame.energy) for frame in frames] == [-7.15, -7.35]
    assert "2 LEFT OUT: frame 1 (its electrons" in capsys.readouterr().out


def test_electrons_that_stop_at_nelm_are_not_converged_whatever_is_printed(tmp_path: Path) -> None:
    """VASP 5 says that EDIFF is reached after NELM steps too."""
    path = outcar(tmp_path / "OUTCAR", [REACHED, REACHED, REACHED])
    lines = path.read_text().splitlines()
    places = [k for k, line in enumerate(lines) if "Iteration" in line]
    changes = ["-0.2E-02  (-0.4E-04)", "-0.6E-06  (-0.2E-08)", "-0.2E-02  (-0.4E-04)"]
    for place, change, taken in reversed(list(zip(places, changes, (3, 3, 2), strict=True))):
        lines[place : place + 1] = [lines[place], f" total energy-change (2. order) :{change}"] * taken
    echoed = "   EDIFF = 1d-6\n   EDIFF = 1E-6; NSW = 5\n"  # lines of INCAR as they were typed
    said = "   NELM   =      3;   NELMIN=  2\n   EDIFF  = 0.1E-05   stopping-criterion for ELM\n"
    path.write_text(echoed + said + "\n".join(lines))
    named = r"got 1 other in .*: frame 0 \(its electrons are not converged in NELM = 3 steps, but to 0.002 eV\)"
    with pytest.raises(ValueError, match=named):
        read_structures(path)
    path.write_text(path.read_text().replace("NELM   =      3", "NELM   =      4"))
    assert len(read_structures(path)) == 3, "control"


def test_other_pseudopotentials_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, potential in (("a", "Cu 22Jun2005"), ("b", "Cu_pv 06Sep2000")):
        (tmp_path / name).mkdir()
        outcar(tmp_path / name / "OUTCAR", [REACHED], potential)
    first, second = tmp_path / "a" / "OUTCAR", tmp_path / "b" / "OUTCAR"
    load_frames([first, first])
    assert "WARNING" not in capsys.readouterr().out
    load_frames([first, second])
    shown = capsys.readouterr().out
    assert f"WARNING: {second} has the pseudopotential 'PAW_PBE Cu_pv 06Sep2000' and {first} has" in shown


def test_steps_of_a_force_field_of_vasp_are_refused(tmp_path: Path) -> None:
    path = outcar(tmp_path / "OUTCAR", [REACHED])
    path.write_text(path.read_text() + "  ML FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)\n")
    with pytest.raises(ValueError, match=r"got some of VASP's own machine-learned force field in .*: give vasprun.xml"):
        read_structures(path)


def vasprun(path: Path, scsteps: list[int], end: str = "</modeling>") -> Path:
    vectors = "".join(
        f"<v>{'4.0 0.0 0.0'[-4 * k :] + ' ' + '4.0 0.0 0.0'[: -4 * k] if k else '4.0 0.0 0.0'}</v>" for k in (0, 2, 1)
    )
    crystal = f'<crystal><varray name="basis">{vectors}</varray></crystal>'
    places = '<varray name="positions"><v>0 0 0</v><v>0.5 0.5 0.1</v></varray>'
    atoms = "".join("<rc><c>Cu</c><c>1</c></rc>" for _ in range(2))
    energy = '<energy><i name="e_fr_energy">-7.1</i><i name="e_0_energy">-7.2</i></energy>'
    steps = "".join(
        f"<calculation>{f'<scstep>{energy}</scstep>' * count}<structure>{crystal}{places}</structure>"
        '<varray name="forces"><v>0.1 0 0</v><v>-0.1 0 0</v></varray>'
        f'<varray name="stress"><v>10 0 0</v><v>0 20 0</v><v>0 0 30</v></varray>{energy}</calculation>'
        for count in scsteps
    )
    path.write_text(
        '<modeling><kpoints><varray name="kpointlist"><v>0 0 0</v></varray><varray name="weights"><v>1</v></varray>'
        '</kpoints><parameters><i type="int" name="NELM">4</i><separator name="response functions"><i type="int" '
        'name="NELM">1</i></separator></parameters>'
        f'<atominfo><array name="atoms"><set>{atoms}</set></array><array name="atomtypes"><set><rc><c>2</c><c>Cu</c>'
        "<c>63</c><c>11</c><c>PAW_PBE Cu 22Jun2005</c></rc></set></array></atominfo>"
        f'<structure name="initialpos">{crystal}{places}</structure>{steps}{end}'
    )
    return path


def test_vasprun_counts_steps_of_its_electrons(tmp_path: Path) -> None:
    frames = read_structures(vasprun(tmp_path / "vasprun.xml", [3, 2]))
    assert [float(frame.energy) for frame in frames] == pytest.approx([-7.2, -7.2])
    assert frames[0].stress[0].diagonal().tolist() == pytest.approx([-0.1 * GPA * k for k in (10, 20, 30)])
    with pytest.raises(ValueError, match=r"frame 1 \(its electrons are not converged in NELM = 4 steps\)"):
        read_structures(vasprun(tmp_path / "vasprun.xml", [3, 4]))
    path = vasprun(tmp_path / "vasprun.xml", [3], end="<calculation><scstep>")
    with pytest.raises(ValueError, match=r"frame 1 \(the file ends within it\)"):
        read_structures(path)
    assert len(read_structures(path, labels=LabelNames(leave_out_wrong=True))) == 1
