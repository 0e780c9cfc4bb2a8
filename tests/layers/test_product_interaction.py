"""ProductInteraction: the laws for node features and density, and the composition written out."""

from __future__ import annotations

import pytest
import torch

from pyg_mpnn import ProductInteraction
from pyg_mpnn.basis import degrees


def build(num_products=1, carry=True):
    return ProductInteraction(4, channels=2, num_radial=3, l_max=2, num_products=num_products, carry=carry)


def call(module, inputs):
    return module(inputs.x, inputs.edge_index, inputs.radial, inputs.sphere, inputs.envelope, inputs.density)


def node_features(module, inputs):
    return call(module, inputs)[0]


def density(module, inputs):
    return call(module, inputs)[1]


@pytest.mark.parametrize("num_products", [0, 1, 2])
def test_laws_of_node_features(laws, num_products):
    laws(lambda: build(num_products), node_features, "nodes", leaves_smoothly=True)


def first_density(module, inputs):
    return module(inputs.x, inputs.edge_index, inputs.radial, inputs.sphere, inputs.envelope)[1]


def test_laws_of_density(laws):
    laws(build, density, "nodes", degrees(2), leaves_smoothly=True)


def test_laws_of_the_first_density(laws):
    laws(lambda: build(carry=False), first_density, "nodes", degrees(2), leaves_smoothly=True)


def test_composition_written_out(ethanol, inputs):
    layer, given = build(num_products=2), inputs(ethanol)
    gathered = layer.gather(given.x, given.edge_index, given.radial, given.sphere, given.envelope, given.density)
    wanted = layer.products[1](layer.products[0](given.density + gathered, given.x), given.x)
    x = given.x + layer.mlp(torch.cat([given.x, wanted[:, 0], layer.powers(wanted)], dim=1))
    found = call(layer, given)
    torch.testing.assert_close(found[1], wanted)
    torch.testing.assert_close(found[0], x)


def test_symmetry():
    assert build().symmetry("invariant", "invariant", "equivariant") == ("invariant", "equivariant")
    assert build().symmetry("invariant", "invariant", "unconstrained") == ("unconstrained", "unconstrained")


def test_number_of_products_must_not_be_negative():
    with pytest.raises(ValueError, match="'num_products' must be at least 0, got -1"):
        build(-1)
