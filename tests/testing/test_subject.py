from __future__ import annotations

from collections import namedtuple

import pytest
import torch
from torch import nn

from pyg_mpnn.testing import Healthy, as_subject, crystal, molecule

Named = namedtuple("Named", ["energy", "forces"])
pytestmark = pytest.mark.usefixtures("unchecked")


def distances(pos):
    return (pos[:, None] - pos).square().sum(dim=(1, 2))


def of_tensors(z, pos, batch):
    return torch.zeros(int(batch.max()) + 1, dtype=pos.dtype).index_add(0, batch, distances(pos))


def of_batch(data):
    return of_tensors(data.z, data.pos, data.batch)


def test_all_ways_to_call_and_to_return_are_one():
    expected = as_subject(of_batch, cutoff=3.0).evaluate(molecule())
    assert expected.forces.abs().max() > 0.1
    ways = {
        "tensors": of_tensors,
        "tuple": lambda data: (of_batch(data), expected.forces),
        "named": lambda data: Named(of_batch(data), expected.forces),
        "dictionary": lambda data: {"energy": of_batch(data).reshape(-1, 1), "forces": expected.forces},
    }
    for name, way in ways.items():
        found = as_subject(way, cutoff=3.0).evaluate(molecule())
        assert torch.equal(found.energy, expected.energy), name
        assert torch.allclose(found.forces, expected.forces), name
    called = as_subject(object(), cutoff=3.0, call=lambda model, batch: of_batch(batch)).evaluate(molecule())
    assert torch.equal(called.energy, expected.energy)


def test_the_signature_declares_what_is_missing():
    subject = as_subject(of_tensors, cutoff=3.0)
    missing = {"edges", "periodic", "partly periodic", "stress", "parameters", "precision", "isolated energies"}
    assert set(subject.lacks) == missing
    assert subject.lacks["periodic"] == "its call takes no cell"
    assert not as_subject(Healthy()).lacks


def test_a_module_is_copied_converted_and_set_to_evaluation():
    model = Healthy().train()
    subject = as_subject(model, dtype=torch.float64)
    assert model.training
    assert not subject.model.training
    assert subject.model is not model
    assert model.charge.dtype == torch.float32
    assert subject.evaluate(molecule()).forces.dtype == torch.float64
    assert subject.convert(torch.float32).model.charge.dtype == torch.float32
    assert (subject.cutoffs, subject.smoothness, subject.name) == ((4.0,), 2.0, "Healthy")


def test_given_arguments_win_over_attributes():
    model = Healthy()
    model.lacks = {"stress": "own"}
    subject = as_subject(model, cutoff=[5.0, 3.0], smoothness=1, lacks={"stress": "given", "edges": "none"}, name="x")
    assert (subject.cutoffs, subject.smoothness, subject.name) == ((3.0, 5.0), 1.0, "x")
    assert subject.lacks == {"stress": "given", "edges": "none"}


def test_open_and_periodic_structures_go_into_one_batch():
    subject = as_subject(Healthy(), dtype=torch.float64)
    together = subject.evaluate([molecule(), crystal()])
    assert torch.allclose(together.energy[1:], subject.evaluate(crystal()).energy)
    assert torch.allclose(together.energy[:1], subject.evaluate(molecule()).energy)


def test_bad_adapters_are_errors():
    with pytest.raises(ValueError, match="'cutoff' must be given"):
        as_subject(of_batch)
    with pytest.raises(ValueError, match=r"'lacks' must name capabilities out of .* got \['colour'\]"):
        as_subject(of_batch, cutoff=3.0, lacks={"colour": "grey"})
    with pytest.raises(TypeError, match="'model' must be callable or an ASE calculator, got int"):
        as_subject(3, cutoff=1.0)
    with pytest.raises(ValueError, match=r"'dtype' must be torch\.float64, got torch\.float32: not a torch"):
        as_subject(of_batch, cutoff=3.0).convert(torch.float32)


def test_what_is_not_returned_is_an_error():
    constant = nn.Linear(1, 1)
    constant.forward = lambda data: torch.zeros(data.num_graphs)
    with pytest.raises(ValueError, match="its energy has no derivative by the positions"):
        as_subject(constant, cutoff=3.0).evaluate(molecule())
    with pytest.raises(ValueError, match="the model returned no stress"):
        as_subject(of_batch, cutoff=3.0).evaluate(crystal(), stress=True)


def test_without_a_cutoff_laws_that_need_one_do_not_apply():
    subject = as_subject(of_batch, lacks={"cutoff": "all pairs"})
    assert subject.cutoffs == ()
