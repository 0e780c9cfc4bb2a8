from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from ase.build import molecule

from pyg_mpnn import Potential
from pyg_mpnn.learning.own_teacher import is_own, load_own, own_teacher
from pyg_mpnn.learning.teacher import label
from pyg_mpnn.models import Committee
from tests.learning.test_selection import committee


def test_folder_of_members_is_their_mean(tmp_path: Path) -> None:
    members = committee().potentials
    for number, member in enumerate(members):
        (tmp_path / f"member-{number}").mkdir()
        member.save(tmp_path / f"member-{number}" / "best.ckpt")
    water = molecule("H2O")
    whole = label(own_teacher(str(tmp_path)).make(), water)
    parts = [label(own_teacher(str(tmp_path / f"member-{place}")).make(), water) for place in range(2)]
    assert whole.energy == pytest.approx(np.mean([part.energy for part in parts]), abs=1e-6)
    assert np.allclose(whole.forces, np.mean([part.forces for part in parts], axis=0), atol=1e-5)
    assert not np.allclose(parts[0].forces, parts[1].forces, atol=1e-3), "control"
    assert isinstance(load_own(str(tmp_path)), Committee)
    (tmp_path / "member-1" / "best.ckpt").unlink()
    with pytest.raises(FileNotFoundError, match=r"with committee\.pt, best\.ckpt or the members .* with 1 trained"):
        load_own(str(tmp_path))


def test_file_that_is_not_there(tmp_path: Path) -> None:
    assert is_own("absent.ckpt")
    assert not is_own("ase.calculators.emt:EMT")
    with pytest.raises(FileNotFoundError, match=r"or a trained potential or its folder, got absent\.ckpt"):
        load_own("absent.ckpt")
    outputs = Potential.from_size("small", energy=False, outputs={"charges": {"class": "ScalarOutput"}})
    outputs.save(tmp_path / "other.pt")
    with pytest.raises(ValueError, match="'teacher' must have an energy"):
        load_own(str(tmp_path / "other.pt"))
    assert torch.get_num_threads() == 1


def test_a_shipped_potential_is_a_teacher_by_its_name() -> None:
    assert is_own("organic")
    assert load_own("organic").elements == (1, 6, 7, 8, 9)
