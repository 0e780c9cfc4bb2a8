"""Sums and maxima over segments: closed values, and torch-scatter gives the same with its derivatives."""

from __future__ import annotations

import sys

import pytest
import torch
from torch_geometric.data import Batch, Data

from pyg_mpnn import (
    ContractedFeatures,
    DensityPowers,
    DensityUpdate,
    DirectionalDensity,
    EdgeMLP,
    Interaction,
    LearnedSumReadout,
    MeanReadout,
    Messages,
    NeighborSum,
    NodeUpdate,
    SoftmaxAttention,
    SoftmaxReadout,
    SumReadout,
    scatter_backend,
)
from pyg_mpnn.scatter import scatter_max, scatter_sum

INDEX = torch.tensor([2, 0, 2, 0])
BACKENDS = ("torch", "torch-scatter")


def require_torch_scatter():
    pytest.importorskip("torch_scatter", reason="torch-scatter is not installed: `make cluster`")


@pytest.fixture(params=BACKENDS)
def backend(request):
    """Both packages in turn; the second is skipped where it is not installed."""
    if request.param == "torch-scatter":
        require_torch_scatter()
    with scatter_backend(request.param):
        yield request.param


def test_sum(backend, dtype):
    src = torch.tensor([[1.0, -1.0], [2.0, -2.0], [4.0, -4.0], [8.0, -8.0]])
    expected = [[10.0, -10.0], [0.0, 0.0], [5.0, -5.0], [0.0, 0.0]]
    assert scatter_sum(src, INDEX, 4).tolist() == expected
    assert NeighborSum()(src, INDEX, dim_size=4).tolist() == expected
    assert scatter_sum(src.unsqueeze(1), INDEX, 4).shape == (4, 1, 2)


def test_sum_along_any_axis(backend, dtype):
    src = torch.randn(4, 2, 3)
    expected = scatter_sum(src, INDEX, 5)
    for dim in (1, 2, -1, -2, -3):
        moved = src.movedim(0, dim)
        torch.testing.assert_close(NeighborSum()(moved, INDEX, dim_size=5, dim=dim), expected.movedim(0, dim))
    with pytest.raises(ValueError, match="'index' must hold one number for each of the 2 rows along 'dim' -2, got"):
        NeighborSum()(src, INDEX, dim_size=5)


def test_max(backend, dtype):
    """Of negative numbers too; a segment without a row is zero."""
    src = torch.tensor([[1.0, -1.0], [2.0, -2.0], [4.0, -4.0], [8.0, -8.0]])
    assert scatter_max(src, INDEX, 4).tolist() == [[8.0, -2.0], [0.0, 0.0], [4.0, -1.0], [0.0, 0.0]]


def test_no_rows(backend):
    empty = torch.zeros(0, 3)
    index = torch.zeros(0, dtype=torch.long)
    assert torch.equal(scatter_sum(empty, index, 2), torch.zeros(2, 3))
    assert torch.equal(scatter_max(empty, index, 2), torch.zeros(2, 3))
    assert scatter_sum(empty, index, 0).shape == (0, 3)


def interaction(pos, batch, seed=0):
    """A sum, a softmax and a density over neighbours."""
    torch.manual_seed(seed)
    vec = pos.unsqueeze(0) - pos.unsqueeze(1)
    pairs = (batch.unsqueeze(0) == batch.unsqueeze(1)) & ~torch.eye(len(pos), dtype=torch.bool)
    target, source = pairs.nonzero().T
    vec, edge_index = vec[target, source], torch.stack([source, target])
    dist = vec.norm(dim=-1)
    x, radial = torch.ones(len(pos), 4), torch.stack([dist, dist**2], dim=-1) / 4
    sphere, envelope = torch.cat([torch.ones_like(dist).unsqueeze(-1), vec], dim=-1), torch.exp(-dist)
    attention = SoftmaxAttention(4, 6, heads=2)
    messages = Messages(ContractedFeatures(2, 3, 1, 5), EdgeMLP(4, 5, 4, 6), num_radial=2, attention=attention)
    layer = Interaction(messages, NodeUpdate(4, 6, power_channels=4), DensityUpdate(4, 6, 3, 1), DensityPowers(3, 1, 2))
    density = DirectionalDensity(4, 3, 2, 1)(x, edge_index, radial, sphere, envelope)
    return layer(x, edge_index, radial, envelope, sphere, density)[0]


def readout(kind):
    def function(pos, batch, seed=0):
        torch.manual_seed(seed)
        module = kind() if kind in (SumReadout, MeanReadout) else kind(3)
        return module(pos**3, batch, dim_size=3, features=pos)

    return function


@pytest.mark.parametrize(
    "function",
    [interaction, *(readout(kind) for kind in (SumReadout, MeanReadout, LearnedSumReadout, SoftmaxReadout))],
    ids=["interaction", "sum", "mean", "learned_sum", "softmax"],
)
def test_torch_scatter_gives_the_same_values_and_derivatives(function, ethanol, water, dtype):
    require_torch_scatter()
    batch = Batch.from_data_list([ethanol, Data(pos=water.pos, z=water.z)])
    results = []
    for name in BACKENDS:
        pos = batch.pos.clone().requires_grad_()
        with scatter_backend(name):
            value = function(pos, batch.batch)
            (first,) = torch.autograd.grad(value.square().sum(), pos, create_graph=True)
            (second,) = torch.autograd.grad(first.square().sum(), pos)
        results.append((value, first, second))
    # sums in another order: a few roundings, more of them in each derivative
    tolerance = 1e-12 if dtype == torch.float64 else 1e-4
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(
            found, expected, rtol=tolerance, atol=tolerance * expected.detach().abs().max().item()
        )


def test_backend_is_used_inside_the_block_only(monkeypatch):
    require_torch_scatter()
    import torch_scatter

    calls = []
    original = torch_scatter.scatter_add
    monkeypatch.setattr(
        torch_scatter, "scatter_add", lambda *args, **options: calls.append(1) or original(*args, **options)
    )
    scatter_sum(torch.ones(4, 1), INDEX, 4)
    assert not calls
    with scatter_backend("torch-scatter"):
        scatter_sum(torch.ones(4, 1), INDEX, 4)
    assert len(calls) == 1
    scatter_sum(torch.ones(4, 1), INDEX, 4)
    assert len(calls) == 1


def test_errors(monkeypatch, unchecked):
    with (
        pytest.raises(ValueError, match="'name' must be 'torch' or 'torch-scatter', got 'numpy'"),
        scatter_backend("numpy"),
    ):
        pass
    with pytest.raises(ValueError, match="'index' and 'dim_size' must be given"):
        NeighborSum()(torch.ones(4, 1), ptr=torch.tensor([0, 4]))
    monkeypatch.setitem(sys.modules, "torch_scatter", None)
    with pytest.raises(ImportError, match=r"pyg_mpnn\[cluster\]"), scatter_backend("torch-scatter"):
        pass
