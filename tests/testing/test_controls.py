"""The matrix: every broken model against every law, as its author foretold it without sight of the laws."""

from __future__ import annotations

import functools

import pytest
import torch

from pyg_mpnn.testing import FINDINGS, LAWS, Healthy, check_potential, crystal, molecule
from tests.testing.controls import CORRECTIONS, INDEPENDENT, OWN

BROKEN = (*INDEPENDENT, *OWN)
NAMES = {law.name for law in (*LAWS, *FINDINGS)}


def wrong_verdicts(model, laws):
    """Verdicts of these laws that are not the foretold ones, of those that were foretold."""
    foretold = [law for law in laws if law.name not in {*model.maybe, *CORRECTIONS.get(model, {})}]
    of_laws = [law for law in foretold if law in LAWS]
    rebuild = functools.partial(model, 1.0)
    structures = [molecule(), crystal()]
    report = check_potential(model(), structures, dtype=torch.float64, rebuild=rebuild, laws=of_laws, findings=())
    found = {law.name: law(model(), molecule(), dtype=torch.float64) for law in foretold if law in FINDINGS}
    results = report.results | found
    return {name: str(it) for name, it in results.items() if (it.verdict == "fail") != (name in model.breaks)}


@pytest.mark.slow
@pytest.mark.parametrize("model", BROKEN, ids=lambda model: model.__name__)
def test_a_fault_fails_the_laws_that_are_foretold(model, unchecked):
    assert not wrong_verdicts(model, [law for law in (*LAWS, *FINDINGS) if law.name in model.breaks])


@pytest.mark.exhaustive
@pytest.mark.parametrize("model", BROKEN, ids=lambda model: model.__name__)
def test_a_fault_fails_no_other_law(model, unchecked):
    assert not wrong_verdicts(model, [law for law in (*LAWS, *FINDINGS) if law.name not in model.breaks])


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
