from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from pyg_mpnn import Potential, load_potential
from pyg_mpnn.data import ethanol, to_atoms
from pyg_mpnn.learning import LearnSettings
from pyg_mpnn.learning.student import train_student, validates
from pyg_mpnn.models import Committee


def test_a_label_that_validates_once_validates_always() -> None:
    few, more = ([place for place in range(count) if validates(place)] for count in (20, 100))
    assert len(few) == 10
    assert more[:10] == few
    assert len(more) == 18


@pytest.mark.slow
@pytest.mark.parametrize("start", ["organic", None])
def test_first_members_start_from_given_weights(start: str | None, tmp_path: Path) -> None:
    """One epoch leaves their weights near those that they started from; random ones, the control, are elsewhere."""
    frames = [to_atoms(frame) for frame in ethanol("train")[:40]]
    given: dict[str, Any] = {"epochs": 1, "committee": 2, "threads": 1, "compile": "off"}
    given |= {"size": None if start else "base"}  # that of the file
    of = LearnSettings({"class": "ase.calculators.emt:EMT"}, "ethanol.xyz", "run", start_from=start, **given)
    assert (of.size is None) == (start is not None)
    train_student(of, 0, frames, tmp_path / "round" / "committee", tmp_path / "none", print)
    committee, organic = load_potential(tmp_path / "round" / "committee" / "committee.pt"), load_potential("organic")
    assert isinstance(committee, Committee)
    for member in committee.potentials:
        assert isinstance(member, Potential)
        names = [name for name, _ in member.representation.named_parameters()]
        trained, weights = (
            torch.cat([of.state_dict()[f"representation.{name}"].flatten() for name in names])
            for of in (member, organic)
        )
        assert bool((trained - weights).norm() < 0.5 * weights.norm()) == (start == "organic")
