"""The compiled training step gives what the eager one gives: energies, forces and gradients of the weights."""

from __future__ import annotations

import shutil

import pytest
import torch
from torch_geometric.data import Batch

from pyg_mpnn import Potential, RadiusGraph
from pyg_mpnn.deploy import compile_training

SMALL = {"hidden_channels": 8, "edge_dim": 4, "channels": 2, "num_layers": 1, "num_radial": 4, "l_max": 1}
pytestmark = pytest.mark.usefixtures("unchecked")


def structures(data, count):
    """Copies of a molecule with other positions, edges attached."""
    moved = []
    for _ in range(count):
        copy = data.clone()
        copy.pos = data.pos + 0.1 * torch.randn_like(data.pos)
        moved.append(RadiusGraph(4.0)(copy))
    return moved


def gradients(function, potential, batch):
    potential.zero_grad()
    output = function(batch)
    (output.forces.square().sum() + output.energy.sum()).backward()
    found = {name: p.grad for name, p in potential.named_parameters() if p.grad is not None}
    return output, found


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("attention", ["sigmoid", "softmax"])
@pytest.mark.parametrize("dtype", [torch.float64], indirect=True)
def test_compiled_training_equals_eager(attention, ethanol, water, dtype):
    potential = Potential.from_size("base", cutoff=4.0, attention=attention, **SMALL).double().train()
    potential.set_reference({1: -13.6, 6: -1029.0, 8: -2041.0}, 0.5, [6.0])
    compiled = compile_training(potential, Batch.from_data_list(structures(ethanol, 3)))
    counter = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    for batch in ([*structures(ethanol, 2), *structures(water, 3)], structures(water, 5), structures(ethanol, 7)):
        batch = Batch.from_data_list(batch)
        eager, wanted = gradients(potential, potential, batch)
        output, found = gradients(compiled, potential, batch)
        torch.testing.assert_close(output.energy, eager.energy)
        torch.testing.assert_close(output.forces, eager.forces)
        torch.testing.assert_close(output.atom_energies, eager.atom_energies)
        for name, gradient in wanted.items():
            torch.testing.assert_close(found[name], gradient, rtol=1e-7, atol=1e-10, msg=name)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == counter  # other sizes did not compile again


def test_several_cutoffs_are_refused(ethanol):
    potential = Potential.from_size("base", cutoff=(2.0, 4.0), **SMALL)
    with pytest.raises(ValueError, match="compiled training takes one cutoff"):
        compile_training(potential, Batch.from_data_list(structures(ethanol, 2)))


def test_example_without_edges_is_refused(ethanol):
    potential = Potential.from_size("base", cutoff=4.0, **SMALL)
    with pytest.raises(ValueError, match="'example' must be a batch of at least two structures with edges"):
        compile_training(potential, Batch.from_data_list([ethanol, ethanol]))
    with pytest.raises(ValueError, match="'example' must be"):
        compile_training(potential, Batch.from_data_list(structures(ethanol, 1)))


def test_untested_torch_is_refused(ethanol, monkeypatch):
    monkeypatch.setattr(torch, "__version__", "2.99.0")
    with pytest.raises(RuntimeError, match=r"tested with torch .* got 2\.99\.0"):
        compile_training(Potential.from_size("base", **SMALL), Batch.from_data_list(structures(ethanol, 2)))
