from __future__ import annotations

import pytest
import torch

from pyg_mpnn import Potential
from pyg_mpnn.testing import LAWS, Healthy, check_potential, crystal, laws, molecule

pytestmark = pytest.mark.usefixtures("unchecked")


def test_report_names_model_precision_and_structures():
    seen = []
    report = check_potential(
        Healthy(), [molecule(), crystal()], laws=[laws.rotation, laws.momentum], name="mine", progress=seen.append
    )
    assert seen == [*report.results, *report.findings] == ["rotation", "momentum", "repulsion"]
    assert (report.model, report.dtype) == ("mine", "float32")
    assert report.structures == ["9 atoms (Z = 1, 6, 8)", "2 atoms in a cell (Z = 6, 14)"]
    assert report.passed


def test_all_laws_by_default_and_compiled_on_request():
    assert [law.name for law in LAWS] == list(dict.fromkeys(law.name for law in LAWS))
    assert all(law.statement for law in LAWS)
    report = check_potential(Healthy(), molecule(), laws=[], compile=lambda model: model)
    assert list(report.results) == ["compiled"]


def test_model_and_structures_are_left_as_they_are():
    model, structure = Healthy().train(), molecule()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    check_potential(model, structure, laws=[laws.double_backward, laws.save_load, laws.rotation], dtype=torch.float64)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(structure.pos, molecule().pos)


def test_a_potential_with_symmetry_unconstrained_says_so():
    potential = Potential.from_size(
        "small", hidden_channels=8, edge_dim=8, directions="raw", symmetry="unconstrained"
    ).double()
    report = check_potential(potential, molecule(), laws=[laws.rotation, laws.translation])
    assert report.not_applicable == ("rotation",)
    assert report.results["translation"].verdict == "pass"
    honest = check_potential(potential, molecule(), laws=[laws.rotation], lacks={})
    assert honest.not_applicable == ("rotation",)
