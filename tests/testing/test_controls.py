"""The matrix: every broken model against every law, as its author foretold it without sight of the laws."""

from __future__ import annotations

import functools

import pytest
import torch

from pyg_mpnn.testing import FINDINGS, LAWS, Healthy, check_potential, crystal, molecule
from tests.testing.controls import CORRECTIONS, INDEPENDENT, OWN

BROKEN = (*INDEPENDENT, *OWN)
NAMES = {law.name for law in (*LAWS, *FINDINGS)}


@pytest.mark.slow
@pytest.mark.parametrize("model", BROKEN, ids=lambda model: model.__name__)
def test_verdicts_are_the_foretold_ones(model, unchecked):
    report = check_potential(
        model(), [molecule(), crystal()], dtype=torch.float64, rebuild=functools.partial(model, 1.0), findings=()
    )
    found = {finding.name: finding(model(), molecule(), dtype=torch.float64) for finding in FINDINGS}
    wrong = {}
    for name, result in (report.results | found).items():
        if name in model.maybe or name in CORRECTIONS.get(model, {}):
            continue
        if (result.verdict == "fail") != (name in model.breaks):
            wrong[name] = str(result)
    assert not wrong


def test_every_law_is_broken_by_some_model():
    assert {name for model in BROKEN for name in model.breaks} == NAMES
    for model in BROKEN:
        assert model.breaks
        assert set(model.breaks) <= NAMES
        assert set(model.maybe) <= NAMES
        assert not set(model.breaks) & set(model.maybe)
        assert all(model.maybe.values())
    for model, laws in CORRECTIONS.items():
        assert not set(laws) & {*model.breaks, *model.maybe}
        assert set(laws) <= NAMES


@pytest.mark.parametrize("model", BROKEN, ids=lambda model: model.__name__)
def test_without_its_fault_a_model_is_sound(model):
    torch.manual_seed(0)
    sound = Healthy().double()
    broken = model(0.0).double()
    broken.load_state_dict(sound.state_dict(), strict=False)
    from torch_geometric.data import Batch

    for structures in ([molecule(), molecule()], [crystal()]):
        for one, other in zip(
            sound(Batch.from_data_list(structures)), broken(Batch.from_data_list(structures)), strict=True
        ):
            assert (one is None and other is None) or torch.equal(one, other)
