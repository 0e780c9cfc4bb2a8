from __future__ import annotations

import pytest
import torch
from torch import nn

from pyg_mpnn import MPNN
from pyg_mpnn.models.checks import check_apart, check_representation, choose_device


@pytest.mark.usefixtures("unchecked")
def test_representations_that_do_not_fit_are_refused():
    check_representation(MPNN(num_layers=1), "invariant")
    with pytest.raises(TypeError, match=r"got Linear without cutoff, out_channels, num_layers, symmetry"):
        check_representation(nn.Linear(2, 2), "invariant")
    with pytest.raises(TypeError, match=r"'representation' must be a module, got the class MPNN: make one of it"):
        check_representation(MPNN, "invariant")
    with pytest.raises(TypeError, match=r"'representation' must be a torch.nn.Module, got int"):
        check_representation(3, "invariant")
    with pytest.raises(ValueError, match="'symmetry' must be 'invariant' or 'unconstrained', got 'equivariant'"):
        check_representation(MPNN(num_layers=1), "equivariant")
    with pytest.raises(ValueError, match="'representation' must be invariant, got one that declares 'unconstrained'"):
        check_representation(MPNN(num_layers=1, directions="raw"), "invariant")


def test_atoms_at_one_place_are_named():
    edge_index = torch.tensor([[1, 5], [0, 3]])
    check_apart(torch.tensor([[0.0, 0.0, 1e-30], [1.0, 0.0, 0.0]]), edge_index)
    with pytest.raises(ValueError, match="'pos' must keep atoms apart, got atoms 3 and 5 at one place"):
        check_apart(torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]), edge_index)


@pytest.mark.parametrize("gpus", [False, True])
def test_a_device_by_name(gpus, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus)
    assert choose_device("auto") == torch.device("cuda" if gpus else "cpu")
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device(None) is None


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "meta", ""])
def test_a_device_that_is_not_there(name):
    with pytest.raises(ValueError, match=f"'device' must be one that torch can use here, got '{name}'"):
        choose_device(name)
