from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from pyg_mpnn import DensityUpdate, DirectionalDensity
from pyg_mpnn.basis import degrees


def build(nu=1.0):
    return DirectionalDensity(4, channels=2, num_radial=3, l_max=2, nu=nu)


def call(module, inputs):
    return module(inputs.x, inputs.edge_index, inputs.radial, inputs.sphere, inputs.envelope)


def test_laws(laws):
    laws(build, call, "nodes", degrees(2), runs="propagate", leaves_smoothly=True)


def test_control_without_the_cutoff_function_a_neighbour_leaves_with_a_jump(laws):
    def without(module, inputs):
        ones = torch.ones_like(inputs.envelope)
        return module(inputs.x, inputs.edge_index, inputs.radial + 1.0, inputs.sphere, ones)

    with pytest.raises(AssertionError, match="cutoff law broken"):
        laws(build, without, "nodes", degrees(2), leaves_smoothly=True)


def test_three_atoms_by_hand():
    """Atom 0 at the origin with neighbours on x (atom 1) and z (atom 2); all weights one, nu = 2."""
    layer = DirectionalDensity(1, channels=1, num_radial=1, l_max=1, nu=2.0)
    for weight in layer.parameters():
        nn.init.ones_(weight)
    x = torch.tensor([[5.0], [1.0], [10.0]])
    edge_index = torch.tensor([[1, 2, 0], [0, 0, 1]])
    radial = torch.tensor([[3.0], [4.0], [3.0]])
    s = math.sqrt(3)
    sphere = torch.tensor([[1.0, s, 0.0, 0.0], [1.0, 0.0, 0.0, s], [1.0, -s, 0.0, 0.0]])
    envelope = torch.tensor([0.5, 0.25, 0.5])
    # atom 0: 0.5 * 3 * 1 / 2 = 0.75 along x, 0.25 * 4 * 10 / 2 = 5 along z; atom 1: 0.5 * 3 * 5 / 2 = 3.75 along -x
    expected = torch.tensor([[5.75, 0.75 * s, 0.0, 5.0 * s], [3.75, -3.75 * s, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    torch.testing.assert_close(layer(x, edge_index, radial, sphere, envelope).squeeze(-1), expected)


def test_first_degree_points_to_the_neighbour(water, inputs):
    """e3nn's order of l = 1 is (x, y, z): the density of H, whose one neighbour is the O, is along that bond."""
    found = call(build(), inputs(water, 1.2))[1, 1:4, 0]
    bond = water.pos[0] - water.pos[1]
    torch.testing.assert_close(torch.linalg.cross(found, bond), torch.zeros(3), rtol=0.0, atol=1e-6)
    assert found.norm() > 1e-3


def test_nu_divides(ethanol, inputs):
    torch.manual_seed(1)
    one = call(build(), inputs(ethanol))
    torch.manual_seed(1)
    torch.testing.assert_close(call(build(nu=4.0), inputs(ethanol)), one / 4)


def test_nu_is_saved():
    other = build()
    other.load_state_dict(build(nu=7.0).state_dict())
    assert float(other.nu) == 7.0


def test_symmetry():
    assert build().symmetry("invariant", "invariant", "equivariant") == "equivariant"
    assert build().symmetry("unconstrained", "invariant", "equivariant") == "unconstrained"
    assert build().symmetry("invariant", "invariant", "unconstrained") == "unconstrained"


def test_repr_names_the_sizes():
    assert repr(build()) == "DirectionalDensity(4, 2, 3, l_max=2)"


@pytest.mark.parametrize("arguments", [(0, 2, 3, 2), (4, 0, 3, 2), (4, 2, 0, 2), (4, 2, 3, -1), (4, 2, 3, 2, 0.0)])
def test_sizes_must_make_sense(arguments):
    with pytest.raises(ValueError, match=r"'\w+' must be (at least [01]|positive and finite), got"):
        DirectionalDensity(*arguments)


def build_density_update():
    return DensityUpdate(4, message_channels=3, channels=2, l_max=2)


def call_density_update(module, inputs):
    message = inputs.radial * inputs.envelope.unsqueeze(-1)
    return module(inputs.x, inputs.edge_index, message, inputs.sphere, inputs.density)


def test_density_update_laws(laws):
    laws(build_density_update, call_density_update, "nodes", degrees(2), runs="propagate", leaves_smoothly=True)


def test_formula_written_out(ethanol, inputs):
    """Anchor: sum_j (g W h_j Y_ij + g' A_j) with loops over edges, degrees and channels."""
    layer, given = build_density_update(), inputs(ethanol)
    message = given.radial * given.envelope.unsqueeze(-1)
    gates, carry = (message @ layer.gates.weight.T).chunk(2, dim=1)
    element = given.x @ layer.element.weight.T
    expected = torch.zeros_like(given.density)
    for edge, (j, i) in enumerate(given.edge_index.T.tolist()):
        for component, l in enumerate(degrees(2).tolist()):
            for c in range(2):
                direct, carried = gates[edge, l * 2 + c], carry[edge, l * 2 + c]
                expected[i, component, c] += direct * element[j, c] * given.sphere[edge, component]
                expected[i, component, c] += carried * given.density[j, component, c]
    torch.testing.assert_close(call_density_update(layer, given), expected, rtol=1e-4, atol=1e-5)


def test_no_message_no_change(ethanol, inputs):
    """Linear without bias: it vanishes with the message, and so with the cutoff function in it."""
    layer, given = build_density_update(), inputs(ethanol)
    for weight in layer.parameters():
        nn.init.ones_(weight)
    zero = layer(given.x, given.edge_index, torch.zeros_like(given.radial), given.sphere, given.density)
    assert (zero == 0.0).all()


def test_density_update_symmetry():
    assert build_density_update().symmetry("invariant", "invariant", "equivariant", "equivariant") == "equivariant"
    assert (
        build_density_update().symmetry("invariant", "unconstrained", "equivariant", "equivariant") == "unconstrained"
    )


def test_density_update_repr_names_the_sizes():
    assert repr(build_density_update()) == "DensityUpdate(4, 3, 2, l_max=2)"


@pytest.mark.parametrize("arguments", [(0, 3, 2, 2), (4, 0, 2, 2), (4, 3, 0, 2), (4, 3, 2, -1)])
def test_density_update_sizes_must_make_sense(arguments):
    with pytest.raises(ValueError, match=r"'\w+' must be at least [01], got"):
        DensityUpdate(*arguments)
