from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pyg_mpnn.data import LabelNames, read_structures
from pyg_mpnn.data.read import load_frames
from pyg_mpnn.units import GPA


def entry(**outputs: Any) -> dict[str, Any]:
    sites = [{"species": [{"element": "Cu", "occu": 1}], "xyz": xyz} for xyz in ([0.0, 0.0, 0.0], [1.8, 1.8, 0.0])]
    lattice = {"matrix": [[3.6, 0.0, 0.0], [0.0, 3.6, 0.0], [0.0, 0.1, 4.0]]}
    structure = {"@module": "pymatgen.core.structure", "@class": "Structure", "lattice": lattice, "sites": sites}
    forces = [[0.1, 0.0, 0.0], [-0.1, 0.0, 0.0]]
    return {"structure": structure, "outputs": {"energy": -8.0, "forces": forces, **outputs}}


def test_entries_have_the_numbers_of_their_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "cu.json"
    path.write_text(json.dumps([entry(stress=[10, 20, 30, 40, 50, 60], efermi=1.0), entry()]))
    first, second = load_frames(path)
    assert first.z.tolist() == [29, 29]
    assert first.pos[1].tolist() == [1.8, 1.8, 0.0]
    assert first.cell[0, 2].tolist() == [0.0, 0.1, 4.0]
    assert first.energy.item() == -8.0
    # VASP's order xx, yy, zz, xy, yz, zx in kbar, positive under pressure
    expected = -GPA * first.stress.new_tensor([[1.0, 4.0, 6.0], [4.0, 2.0, 5.0], [6.0, 5.0, 3.0]])
    assert first.stress[0].flatten().tolist() == pytest.approx(expected.flatten().tolist(), rel=1e-12)
    assert bool(second.stress.isnan().all())
    shown = capsys.readouterr().out
    assert "stress from -stress in 1" in shown
    assert "present but not used: efermi" in shown


def test_unusable_entries_are_errors(tmp_path: Path) -> None:
    path = tmp_path / "cu.json"
    mixed = entry()
    mixed["structure"]["sites"][0]["species"].append({"element": "Ag", "occu": 0.5})
    path.write_text(json.dumps([entry(), mixed]))
    with pytest.raises(
        ValueError, match=r"frame 1 of .*cu.json must be a structure of pymatgen .*: a site with several"
    ):
        read_structures(path)
    path.write_text(json.dumps([entry(stress=[1.0, 2.0])]))
    with pytest.raises(ValueError, match=r"frame 0 of .*: a stress of shape \(2,\)"):
        read_structures(path)
    path.write_text(json.dumps([entry()])[:-20])
    with pytest.raises(ValueError, match=r"'path' must be JSON, got .*cu.json"):
        read_structures(path)
    with pytest.raises(ValueError, match=r"units must be left out for .*: those of pymatgen's JSON are eV, A and kbar"):
        read_structures(path, labels=LabelNames(length_unit="bohr"))
