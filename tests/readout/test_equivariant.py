from __future__ import annotations

import pytest
import torch

from pyg_mpnn import DirectionalBasis
from pyg_mpnn.readout import GatedDensity, traceless_tensor


def test_tensor_of_the_harmonics_of_a_direction(dtype):
    u = torch.nn.functional.normalize(torch.randn(5, 3), dim=1)
    found = traceless_tensor(DirectionalBasis(2)(u)[:, 4:])
    torch.testing.assert_close(found, 7.5**0.5 * (u[:, :, None] * u[:, None] - torch.eye(3) / 3))
    assert found.diagonal(dim1=1, dim2=2).sum(1).abs().max() < 1e-5


@pytest.mark.parametrize("degree", [0, 1, 2])
def test_gates_weight_the_channels_of_one_degree(degree):
    layer, x, density = GatedDensity(4, 8, 3, degree), torch.randn(5, 4), torch.randn(5, 9, 3)
    expected = torch.einsum("nmc,nc->nm", density[:, degree**2 : (degree + 1) ** 2], layer.gate(x))
    torch.testing.assert_close(layer(x, density), expected)
    assert layer.symmetry("invariant", "equivariant") == "equivariant"
    assert layer.symmetry("unconstrained", "equivariant") == "unconstrained"
    before = layer.gate.layers[0].weight.clone() if hasattr(layer.gate, "layers") else None
    layer.reset_parameters()
    assert before is None or not torch.equal(before, layer.gate.layers[0].weight)
    assert repr(layer) == f"GatedDensity(4, 8, 3, degree={degree})"


def test_unusable_arguments_are_errors(unchecked):
    with pytest.raises(ValueError, match="'channels' must be at least 1"):
        GatedDensity(4, 8, 0, 1)
