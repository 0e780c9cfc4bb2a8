"""NodeUpdate: the laws, and three atoms by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pyg_mpnn import NodeUpdate


def build():
    return NodeUpdate(4, message_channels=3, hidden_channels=5)


def call(module, inputs):
    return module(inputs.x, inputs.edge_index, inputs.radial * inputs.envelope.unsqueeze(-1))


def test_laws(laws):
    laws(build, call, "nodes", runs="propagate", leaves_smoothly=True)


def test_control_messages_without_the_cutoff_function_leave_with_a_jump(laws):
    with pytest.raises(AssertionError, match="cutoff law broken"):
        laws(
            build,
            lambda module, inputs: module(inputs.x, inputs.edge_index, inputs.radial + 1.0),
            "nodes",
            leaves_smoothly=True,
        )


def test_three_atoms_by_hand():
    """A linear network of ones: h_i + h_i + sum of messages; atom 2 receives nothing."""
    layer = NodeUpdate(1, message_channels=1, hidden_channels=1)
    layer.mlp.activation = nn.Identity()
    for name, weight in layer.named_parameters():
        nn.init.constant_(weight, 0.0 if name.endswith("bias") else 1.0)
    x, message = torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor([[10.0], [20.0], [30.0]])
    found = layer(x, torch.tensor([[1, 2, 0], [0, 0, 1]]), message)
    assert found.flatten().tolist() == [2.0 + 30.0, 4.0 + 30.0, 8.0]


def test_powers_enter_the_network(ethanol, inputs):
    given = inputs(ethanol)
    layer = NodeUpdate(4, message_channels=3, power_channels=18)
    message, powers = given.radial, given.density.flatten(1)
    found = layer(given.x, given.edge_index, message, powers)
    total = torch.zeros(9, 3).index_add(0, given.edge_index[1], message)
    expected = given.x + layer.mlp(torch.cat([given.x, total, powers], dim=-1))
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(layer.update(total, given.x, powers), expected)


def test_isolated_atoms_keep_a_row():
    found = build()(torch.ones(3, 4), torch.tensor([[1], [0]]), torch.ones(1, 3))
    assert found.shape == (3, 4)
    assert torch.equal(found[1], found[2])
    assert not torch.equal(found[0], found[1])


def test_symmetry():
    assert build().symmetry("invariant", "invariant", "invariant") == "invariant"
    assert build().symmetry("invariant", "unconstrained", "invariant") == "unconstrained"
    assert build().symmetry("invariant", "invariant", "equivariant") == "unconstrained"


def test_repr_names_the_sizes():
    assert repr(build()) == "NodeUpdate(4, 3, power_channels=0, hidden_channels=5)"


@pytest.mark.parametrize("arguments", [(0, 3), (4, 0), (4, 3, -1)])
def test_widths_must_be_positive(arguments):
    with pytest.raises(ValueError, match=r"'\w+' must be at least [01], got"):
        NodeUpdate(*arguments)
