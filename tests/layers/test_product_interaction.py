from __future__ import annotations

import pytest
import torch

from pyg_mpnn import EquivariantProduct, ProductInteraction, ProductUpdate
from pyg_mpnn.basis import degrees


def build():
    return ProductUpdate(4, channels=2, l_max=2)


def call(module, inputs):
    return module(inputs.density, inputs.x)


def test_laws(laws):
    laws(build, call, "nodes", degrees(2), leaves_smoothly=True)


def test_formula_written_out(ethanol, inputs):
    layer, given = build(), inputs(ethanol)
    density = given.density

    def mix(weight, values):
        return torch.einsum("nac,ack->nak", values, weight[degrees(2)])

    first, second = mix(layer.factors.weight, density).chunk(2, dim=-1)
    second = second / (1 + second.square().sum(dim=1, keepdim=True)).sqrt()
    gates = (given.x @ layer.gates.weight.T + layer.gates.bias).view(-1, 14, 2)  # 11 paths and 3 degrees
    products = EquivariantProduct(2)(first, second, gates[:, :11])
    expected = density + mix(layer.of_products.weight, products)
    expected = expected + gates[:, 11:][:, degrees(2)] * mix(layer.of_density.weight, density)
    torch.testing.assert_close(call(layer, given), expected, rtol=1e-4, atol=1e-5)


def test_product_grows_no_faster_than_the_density(ethanol, inputs):
    """One factor is bounded: a density a thousand times as large gives at most that."""
    layer, given = build(), inputs(ethanol)
    large = layer(1e3 * given.density, given.x).abs().max() / layer(given.density, given.x).abs().max()
    assert 100 < large < 3e3


def test_symmetry():
    assert build().symmetry("equivariant", "invariant") == "equivariant"
    assert build().symmetry("unconstrained", "invariant") == "unconstrained"


def test_repr_names_the_sizes():
    assert repr(build()) == "ProductUpdate(4, 2, l_max=2)"


@pytest.mark.parametrize("arguments", [(0, 2, 2), (4, 0, 2), (4, 2, -1)])
def test_sizes_must_make_sense(arguments):
    with pytest.raises(ValueError, match=r"'\w+' must be at least [01], got"):
        ProductUpdate(*arguments)


def build_product_interaction(num_products=1, carry=True):
    return ProductInteraction(4, channels=2, num_radial=3, l_max=2, num_products=num_products, carry=carry)


def call_product_interaction(module, inputs):
    return module(inputs.x, inputs.edge_index, inputs.radial, inputs.envelope, inputs.sphere, inputs.density)


def node_features(module, inputs):
    return call_product_interaction(module, inputs)[0]


def density(module, inputs):
    return call_product_interaction(module, inputs)[1]


@pytest.mark.parametrize("num_products", [0, 1, 2])
def test_laws_of_node_features(laws, num_products):
    laws(lambda: build_product_interaction(num_products), node_features, "nodes", leaves_smoothly=True)


def first_density(module, inputs):
    return module(inputs.x, inputs.edge_index, inputs.radial, inputs.envelope, inputs.sphere)[1]


def test_laws_of_density(laws):
    laws(build_product_interaction, density, "nodes", degrees(2), leaves_smoothly=True)


def test_laws_of_the_first_density(laws):
    laws(lambda: build_product_interaction(carry=False), first_density, "nodes", degrees(2), leaves_smoothly=True)


def test_composition_written_out(ethanol, inputs):
    layer, given = build_product_interaction(num_products=2), inputs(ethanol)
    gathered = layer.gather(given.x, given.edge_index, given.radial, given.sphere, given.envelope, given.density)
    wanted = layer.products[1](layer.products[0](given.density + gathered, given.x), given.x)
    x = given.x + layer.mlp(torch.cat([given.x, wanted[:, 0], layer.powers(wanted)], dim=1))
    found = call_product_interaction(layer, given)
    torch.testing.assert_close(found[1], wanted)
    torch.testing.assert_close(found[0], x)


def test_product_interaction_symmetry():
    assert build_product_interaction().symmetry("invariant", "invariant", "equivariant") == ("invariant", "equivariant")
    assert build_product_interaction().symmetry("invariant", "invariant", "unconstrained") == (
        "unconstrained",
        "unconstrained",
    )


def test_number_of_products_must_not_be_negative():
    with pytest.raises(ValueError, match="'num_products' must be at least 0, got -1"):
        build_product_interaction(-1)


def test_sums_are_divided_by_the_number_of_neighbours(ethanol, inputs):
    layer, given = build_product_interaction(num_products=0), inputs(ethanol)
    before = density(layer, given) - given.density
    layer.set_neighbors([4.0])
    torch.testing.assert_close(density(layer, given) - given.density, before / 4)
    with pytest.raises(ValueError, match="'cutoff' must be one radius"):
        layer.set_neighbors([4.0, 8.0])
