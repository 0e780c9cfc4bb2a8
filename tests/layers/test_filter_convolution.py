"""FilterConvolution: the laws, the formula written out, and PyG's own convolution of SchNet."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch_geometric.nn.models.schnet import CFConv
from torch_geometric.nn.models.schnet import ShiftedSoftplus as PyGShiftedSoftplus

from pyg_mpnn import CosineCutoff, FilterConvolution, ShiftedSoftplus


def build():
    return FilterConvolution(4, num_filters=5, num_radial=3)


def call(module, inputs):
    return module(inputs.x, inputs.edge_index, inputs.radial, inputs.envelope)


def test_laws(laws):
    laws(build, call, "nodes", runs="propagate", leaves_smoothly=True)


def test_formula_written_out(ethanol, inputs):
    """Anchor: sum_j f_c MLP(b_ij) W h_j with a loop over edges."""
    layer, given = build(), inputs(ethanol)
    nn.init.normal_(layer.filter.linears[1].bias)
    expected = torch.zeros(9, 5)
    for edge, (j, i) in enumerate(given.edge_index.T.tolist()):
        expected[i] += given.envelope[edge] * layer.filter(given.radial[edge]) * (layer.linear.weight @ given.x[j])
    torch.testing.assert_close(call(layer, given), expected, rtol=1e-4, atol=1e-5)


def test_equals_the_convolution_of_pyg(ethanol, inputs):
    layer, given = build(), inputs(ethanol)
    network = nn.Sequential(nn.Linear(3, 5), PyGShiftedSoftplus(), nn.Linear(5, 5))
    theirs = CFConv(4, 5, 5, network, cutoff=2.6)
    for linear in (network[0], network[2]):
        nn.init.normal_(linear.bias)
    layer.linear.load_state_dict(theirs.lin1.state_dict())
    layer.filter.linears[0].load_state_dict(network[0].state_dict())
    layer.filter.linears[1].load_state_dict(network[2].state_dict())
    ours = layer(given.x, given.edge_index, given.radial, CosineCutoff(2.6)(given.dist))
    expected = theirs(given.x, given.edge_index, given.dist, given.radial)
    torch.testing.assert_close(theirs.lin2(ours), expected, rtol=1e-5, atol=1e-5)
    assert (layer(given.x, given.edge_index, given.radial, given.envelope) - ours).abs().max() > 1e-3


def test_symmetry():
    assert build().symmetry("invariant", "invariant") == "invariant"
    assert build().symmetry("equivariant", "invariant") == "unconstrained"


def test_repr_names_the_sizes():
    assert repr(build()) == "FilterConvolution(4, 5, 3, ShiftedSoftplus())"
    assert repr(FilterConvolution(4, 5, 3, nn.Tanh())) == "FilterConvolution(4, 5, 3, Tanh())"


@pytest.mark.parametrize("arguments", [(0, 5, 3), (4, 0, 3), (4, 5, 0)])
def test_widths_must_be_positive(arguments):
    with pytest.raises(ValueError, match=r"'\w+' must be at least 1, got"):
        FilterConvolution(*arguments)


def test_activation_must_be_smooth():
    with pytest.raises(TypeError, match="'activation' must be infinitely differentiable"):
        FilterConvolution(4, 5, 3, nn.ReLU())
    assert isinstance(build().activation, ShiftedSoftplus)
