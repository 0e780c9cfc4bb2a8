from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Data

from pyg_mpnn.testing import Check, Healthy, crystal, law, molecule
from pyg_mpnn.testing.law import as_structures


@law("stress")
def example(subject, structures, value=0.0):
    """An example.

    More of it.
    """
    return [Check("size", value, "eV", 1.0, "because")]


@law()
def silent(subject, structures):
    """Measures nothing."""
    return []


@law()
def raising(subject, structures):
    """Calls the model with something bad."""
    raise RuntimeError("size mismatch\nand more")


@law()
def drawing(subject, structures):
    """Draws a random number."""
    return [Check("number", float(torch.rand(())), "", 1.0, "any")]


def test_a_law_knows_itself():
    assert (example.name, example.statement, example.needs) == ("example", "An example.", ("stress",))
    assert repr(example) == "Law('example', needs=('stress',))"


def test_verdicts(unchecked):
    assert example(Healthy(), molecule()).verdict == "pass"
    assert example(Healthy(), molecule(), options={"value": 2.0}).verdict == "fail"
    assert example(Healthy(), molecule(), options={"value": float("nan")}).verdict == "fail"
    result = example(Healthy(), molecule(), lacks={"stress": "never had one"})
    assert (result.verdict, result.reason) == ("n/a", "stress: never had one")


def test_an_exception_is_a_fail_and_so_is_nothing_measured(unchecked):
    result = raising(Healthy(), molecule())
    assert (result.verdict, result.reason) == ("fail", "RuntimeError: size mismatch")
    assert silent(Healthy(), molecule()).verdict == "fail"


def test_random_numbers_are_the_same_and_leave_no_trace(unchecked):
    state = torch.get_rng_state()
    assert drawing(Healthy(), molecule()).value == drawing(Healthy(), molecule()).value
    assert torch.equal(torch.get_rng_state(), state)


def test_structures_are_reduced_to_what_laws_need():
    full = crystal()
    full.edge_index, full.energy = torch.zeros(2, 1, dtype=torch.long), torch.ones(1)
    (plain,) = as_structures(full)
    assert set(plain.keys()) == {"z", "pos", "cell", "pbc"}
    open_one = Data(z=full.z, pos=full.pos.float(), cell=torch.zeros(1, 3, 3), pbc=torch.zeros(1, 3, dtype=torch.bool))
    (plain,) = as_structures([open_one])
    assert set(plain.keys()) == {"z", "pos"}
    assert plain.pos.dtype == torch.float64


@pytest.mark.parametrize("structures", [[], [Data(z=torch.zeros(0, dtype=torch.long), pos=torch.zeros(0, 3))]])
def test_no_structures_are_an_error(structures):
    with pytest.raises(ValueError, match="'structures' must hold at least one structure, each with atoms"):
        as_structures(structures)
