"""Every block compiles into one graph and gives the same values and gradients.

The graph is run by PyTorch itself (``backend="aot_eager"``): tracing and differentiation are tested, no C++ compiler is
needed. The speed that generated code brings is a matter for the models and their benchmarks.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pyg_mpnn import (
    ChannelMixing,
    ContractedFeatures,
    DensityPowers,
    DensityUpdate,
    DirectionalDensity,
    EdgeMLP,
    EquivariantProduct,
    FilterConvolution,
    GatherDensity,
    Interaction,
    Messages,
    MultiScale,
    NodeUpdate,
    ProductInteraction,
    ProductUpdate,
    RadialFeatures,
    RawFeatures,
    SigmoidAttention,
    SoftmaxAttention,
    VectorConvolution,
    VectorUpdate,
)

pytestmark = pytest.mark.usefixtures("unchecked")


def contracted():
    return ContractedFeatures(3, channels=2, l_max=2, out_channels=5)


def messages():
    return Messages(contracted(), EdgeMLP(4, 5, 4, 6), num_radial=3, attention=SoftmaxAttention(4, 6, heads=2))


def composition(kind, parts):
    return kind(parts, NodeUpdate(4, 6, power_channels=9), DensityUpdate(4, 6, 2, 2), DensityPowers(2, 2, 3))


class Vectors(nn.Module):
    """The two blocks that carry vectors; they get the part of the density with l = 1."""

    def __init__(self):
        super().__init__()
        self.convolution, self.update = VectorConvolution(2, num_radial=3), VectorUpdate(2)

    def forward(self, x, edge_index, radial, envelope, sphere, density):
        vectors = density[:, 1:4]
        return self.update(*self.convolution(x[:, :2], edge_index, radial, envelope, sphere[:, 1:4], vectors))


BLOCKS = {
    "density": (lambda: DirectionalDensity(4, 2, 3, 2), "x edge_index radial sphere envelope"),
    "density_update": (lambda: DensityUpdate(4, 3, 2, 2), "x edge_index radial sphere density"),
    "powers": (lambda: DensityPowers(2, 2, 3), "density"),
    "contracted": (contracted, "density edge_index radial sphere"),
    "raw": (lambda: RawFeatures(3, 2, 5), "density edge_index radial sphere"),
    "radial": (lambda: RadialFeatures(3, 5), "density edge_index radial"),
    "edge_mlp": (lambda: EdgeMLP(4, 3, 6, 5), "x edge_index radial"),
    "sigmoid": (lambda: SigmoidAttention(4, 3), "x edge_index radial envelope"),
    "softmax": (lambda: SoftmaxAttention(4, 3), "x edge_index radial envelope"),
    "messages": (messages, "x edge_index radial envelope sphere density"),
    "filter_convolution": (lambda: FilterConvolution(4, 5, 3), "x edge_index radial envelope"),
    "vectors": (Vectors, "x edge_index radial envelope sphere density"),
    "node_update": (lambda: NodeUpdate(4, 3), "x edge_index radial"),
    "interaction": (lambda: composition(Interaction, messages()), "x edge_index radial envelope sphere density"),
    "mixing": (lambda: ChannelMixing(2, 3, 2), "density"),
    "product": (lambda: EquivariantProduct(2), "density density"),
    "product_update": (lambda: ProductUpdate(4, 2, 2), "density x"),
    "gather": (lambda: GatherDensity(4, 2, 3, 2), "x edge_index radial sphere envelope density"),
    "product_interaction": (
        lambda: ProductInteraction(4, 2, 3, 2),
        "x edge_index radial envelope sphere density",
    ),
    "multi_scale": (
        lambda: composition(MultiScale, [messages(), messages()]),
        "x edge_index radial envelope sphere density",
    ),
}

SLOW = pytest.mark.slow
LONG = ("messages", "vectors", "interaction", "product", "product_interaction", "multi_scale")  # made of the others


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32], indirect=True, ids=["float32"])
@pytest.mark.parametrize("name", [pytest.param(name, marks=SLOW if name in LONG else ()) for name in BLOCKS])
def test_compiled_equals_eager(name, dtype, ethanol, inputs):
    build, names = BLOCKS[name]
    module = build()

    def run(function):
        given = inputs(ethanol)._asdict()
        arguments = [given[argument].detach() for argument in names.split()]
        leaves = [tensor.requires_grad_() for tensor in arguments if tensor.is_floating_point()]
        if name == "multi_scale":  # the same edges on both scales
            arguments[1:5] = [[tensor, tensor] for tensor in arguments[1:5]]
        result = function(*arguments)
        result = torch.cat([part.flatten() for part in result]) if isinstance(result, tuple) else result
        return result, *torch.autograd.grad(result.square().sum(), leaves, allow_unused=True, materialize_grads=True)

    torch.compiler.reset()
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager", dynamic=True)
    for found, expected in zip(run(compiled), run(module), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@SLOW
@pytest.mark.parametrize("dtype", [torch.float32], indirect=True, ids=["float32"])
def test_compiled_with_ghosts_equals_eager(dtype, ethanol, inputs):
    """The first four atoms receive, all send."""
    module, given = composition(Interaction, messages()), inputs(ethanol)
    ours = (given.edge_index[1] < 4).nonzero().squeeze(-1)
    edges = [given.edge_index[:, ours], *(tensor[ours] for tensor in (given.radial, given.envelope, given.sphere))]
    x, density = given.x.requires_grad_(), given.density.requires_grad_()

    def call(x, density):
        return module((x, x[:4]), *edges, (density, density[:4]))

    def run(function):
        result = function(x, density)
        return *result, *torch.autograd.grad(sum(part.square().sum() for part in result), (x, density))

    torch.compiler.reset()
    compiled = torch.compile(call, fullgraph=True, backend="aot_eager", dynamic=True)
    for found, expected in zip(run(compiled), run(call), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
