"""ProductUpdate: the laws, and the formula written out."""

from __future__ import annotations

import pytest
import torch

from pyg_mpnn import EquivariantProduct, ProductUpdate
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
