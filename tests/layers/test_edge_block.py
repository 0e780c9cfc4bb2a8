"""What PyG promises of its convolutions, for every block on edges: pairs of node tensors, sparse adjacencies, and more.

After the tests that PyG runs on its own layers.
"""

from __future__ import annotations

import copy
import inspect
import io
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch_geometric import EdgeIndex
from torch_geometric.nn import HeteroConv, MeanAggregation, MessagePassing, to_hetero

from pyg_mpnn import (
    MPNN,
    ContractedFeatures,
    DensityPowers,
    DensityUpdate,
    DirectionalDensity,
    EdgeMLP,
    FilterConvolution,
    Interaction,
    Messages,
    MultiScale,
    NodeUpdate,
    RadialFeatures,
    RawFeatures,
    SigmoidAttention,
    SoftmaxAttention,
    VectorConvolution,
    layers,
)
from pyg_mpnn.layers.edge_block import EdgeBlock, edge_pairs, ends

NODES, OWN = 7, 4  # the receivers are the first of the senders, the others are ghosts


def messages():
    features = ContractedFeatures(3, channels=2, l_max=2, out_channels=5)
    return Messages(features, EdgeMLP(4, 5, 4, 6), num_radial=3, attention=SoftmaxAttention(4, 6, heads=2))


def interaction(kind, parts):
    return kind(parts, NodeUpdate(4, 6, power_channels=9), DensityUpdate(4, 6, 2, 2), DensityPowers(2, 2, 3))


class Block(NamedTuple):
    build: Callable[[], nn.Module]
    arguments: str  # "density" and "vec" are node tensors as "x" is, the others belong to edges
    rows: str  # of the result

    def call(self, module: nn.Module, given: dict[str, object]) -> list[Tensor]:
        result = module(*(given[name] for name in self.arguments.split()))
        return list(result) if isinstance(result, tuple) else [result]


BLOCKS = {
    "density": Block(lambda: DirectionalDensity(4, 2, 3, 2), "x edge_index radial sphere envelope", "nodes"),
    "density_update": Block(lambda: DensityUpdate(4, 3, 2, 2), "x edge_index radial sphere density", "nodes"),
    "contracted": Block(lambda: ContractedFeatures(3, 2, 2, 5), "density edge_index radial sphere", "edges"),
    "raw": Block(lambda: RawFeatures(3, 2, 5), "density edge_index radial sphere", "edges"),
    "radial": Block(lambda: RadialFeatures(3, 5), "density edge_index radial", "edges"),
    "edge_mlp": Block(lambda: EdgeMLP(4, 3, 6, 5), "x edge_index radial", "edges"),
    "sigmoid": Block(lambda: SigmoidAttention(4, 3), "x edge_index radial envelope", "edges"),
    "softmax": Block(lambda: SoftmaxAttention(4, 3), "x edge_index radial envelope", "edges"),
    "messages": Block(messages, "x edge_index radial envelope sphere density", "edges"),
    "node_update": Block(lambda: NodeUpdate(4, 3), "x edge_index radial", "nodes"),
    "filter": Block(lambda: FilterConvolution(4, 5, 3), "x edge_index radial envelope", "nodes"),
    "vector": Block(lambda: VectorConvolution(4, 3), "x edge_index radial envelope unit_vec vec", "nodes"),
    "interaction": Block(
        lambda: interaction(Interaction, messages()), "x edge_index radial envelope sphere density", "nodes"
    ),
}
PASSING = [name for name, block in BLOCKS.items() if isinstance(block.build(), MessagePassing)]
every_block = pytest.mark.parametrize("name", BLOCKS)


def make_edges() -> dict[str, Tensor]:
    """Edges that end at the first atoms only, by receiver and then sender, one of them twice, and their tensors."""
    pairs = [(0, 1), (0, 1), (0, 5), (1, 0), (1, 6), (3, 2), (3, 4), (3, 6)]  # atom 2 receives nothing
    edge_index = torch.tensor(pairs).T.flip(0).contiguous()
    count = edge_index.shape[1]
    edge = {"radial": torch.randn(count, 3), "sphere": torch.randn(count, 9), "envelope": torch.rand(count)}
    return {"edge_index": edge_index, **edge, "unit_vec": torch.randn(count, 3)}


def make_nodes() -> dict[str, Tensor]:
    return {"x": torch.randn(NODES, 4), "density": torch.randn(NODES, 9, 2), "vec": torch.randn(NODES, 3, 4)}


def pair(nodes: dict[str, Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
    return {name: (value, value[:OWN]) for name, value in nodes.items()}


def close(found: list[Tensor], expected: list[Tensor]) -> None:
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


@every_block
def test_ghosts_send_and_do_not_receive(name, dtype):
    """A pair (senders, receivers) gives the rows of the receivers, and gradients reach the ghosts."""
    block, edges, nodes = BLOCKS[name], make_edges(), make_nodes()
    module = block.build()
    leaves = [value.requires_grad_() for value in nodes.values()]

    def run(given):
        result = [value[:OWN] if block.rows == "nodes" else value for value in block.call(module, {**edges, **given})]
        loss = sum(value.square().sum() for value in result)
        return result, torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)

    (found, slopes), (expected, expected_slopes) = run(pair(nodes)), run(nodes)
    assert found[0].dtype == dtype
    close(found, expected)
    close(slopes, expected_slopes)
    if name not in ("raw", "radial", "sigmoid", "softmax", "node_update"):  # what reads the senders
        assert max(slope[OWN:].abs().max() for slope in slopes) > 1e-3  # control: what the ghosts hold matters


@every_block
def test_receivers_may_be_other_nodes(name):
    """Two kinds of nodes are one graph with the second kind behind the first."""
    block, edges, senders, receivers = BLOCKS[name], make_edges(), make_nodes(), make_nodes()
    module = block.build()
    both = {key: (senders[key], receivers[key][:OWN]) for key in senders}
    together = {key: torch.cat([senders[key], receivers[key][:OWN]]) for key in senders}
    shifted = {**edges, "edge_index": edges["edge_index"] + torch.tensor([[0], [NODES]])}
    expected = block.call(module, {**shifted, **together})
    expected = [value[NODES:] for value in expected] if block.rows == "nodes" else expected
    close(block.call(module, {**edges, **both}), expected)


def adjacencies(edge_index: Tensor, dtype: torch.dtype) -> dict[str, Tensor]:
    """The same edges as PyG's layers take them."""
    source, target = edge_index
    pointers = torch.zeros(OWN + 1, dtype=torch.long)
    pointers[1:] = torch.bincount(target, minlength=OWN).cumsum(0)
    ones, size = torch.ones(len(source), dtype=dtype), (OWN, NODES)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        sparse = torch.sparse_csr_tensor(pointers, source, ones, size, check_invariants=False)
    coo = torch.sparse_coo_tensor(edge_index.flip(0), ones, size, is_coalesced=True, check_invariants=False)
    return {
        "csr": sparse,
        "coo": coo,
        "edge_index_bare": EdgeIndex(edge_index),
        "edge_index_sorted": EdgeIndex(edge_index, sparse_size=(NODES, OWN), sort_order="col"),
    }


@pytest.mark.parametrize("layout", ["csr", "coo", "edge_index_bare", "edge_index_sorted"])
@every_block
def test_sparse_adjacency_and_edge_index(name, layout, dtype):
    block, edges, nodes = BLOCKS[name], make_edges(), make_nodes()
    module, given = block.build(), {**edges, **pair(nodes)}
    expected = block.call(module, given)
    given["edge_index"] = adjacencies(edges["edge_index"], dtype)[layout]
    close(block.call(module, given), expected)


def test_edges_without_an_order_are_refused():
    with pytest.raises(ValueError, match="'edge_index' must be coalesced if it is a sparse COO tensor"):
        edge_pairs(torch.sparse_coo_tensor([[0, 0], [1, 1]], torch.ones(2), (2, 2), check_invariants=False))


def test_several_scales_take_pairs_and_sparse_adjacencies(dtype):
    module, edges, nodes = interaction(MultiScale, [messages(), messages()]), make_edges(), make_nodes()
    near = {name: value[:, :5] if name == "edge_index" else value[:5] for name, value in edges.items()}

    def run(nodes, convert):
        scales = [[scale[name] for scale in (near, edges)] for name in ("edge_index", "radial", "envelope", "sphere")]
        return list(module(nodes["x"], [convert(scale) for scale in scales[0]], *scales[1:], nodes["density"]))

    expected = [value[:OWN] for value in run(nodes, lambda edge_index: edge_index)]
    for layout in ("csr", "edge_index_bare"):
        close(run(pair(nodes), lambda edge_index, layout=layout: adjacencies(edge_index, dtype)[layout]), expected)


def test_half_a_pair_is_refused():
    assert ends(None) == (None, None)
    with pytest.raises(ValueError, match="must hold senders and receivers, got None for one of them"):
        ends((torch.ones(2, 3), None))


@pytest.mark.parametrize("name", ["density", "density_update", "node_update", "filter"])
def test_hetero_conv(name, dtype):
    """Sums over the edges of each kind add up, between kinds of nodes and within one."""
    block, edges = BLOCKS[name], make_edges()
    kinds = [("ghost", "to", "own"), ("own", "to", "own"), ("own", "to", "ghost")]
    convolution = HeteroConv({kind: block.build() for kind in kinds})
    nodes = {"own": make_nodes(), "ghost": make_nodes()}
    given = [
        {kind: nodes[kind][key] for kind in nodes} if key in ("x", "density") else dict.fromkeys(kinds, edges[key])
        for key in block.arguments.split()
    ]
    found = convolution(*given)
    for receiver in nodes:
        expected = 0
        for kind in kinds:
            if kind[2] == receiver:
                both = {key: (nodes[kind[0]][key], nodes[receiver][key]) for key in ("x", "density")}
                expected = expected + block.call(convolution.convs[kind], {**edges, **both})[0]
        torch.testing.assert_close(found[receiver], expected)


def test_interaction_in_hetero_conv():
    edges, nodes, layer = (
        make_edges(),
        {"metal": make_nodes(), "gas": make_nodes()},
        interaction(Interaction, messages()),
    )
    kind = ("metal", "to", "gas")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="There exist node types")
        convolution = HeteroConv({kind: layer})
    names = ("edge_index", "radial", "envelope", "sphere")
    node = {key: {name: nodes[name][key] for name in nodes} for key in ("x", "density")}
    found = convolution(node["x"], *({kind: edges[name]} for name in names), node["density"])["gas"]
    both = {key: (nodes["metal"][key], nodes["gas"][key]) for key in ("x", "density")}
    close(list(found), list(layer(both["x"], *(edges[name] for name in names), both["density"])))


class Network(nn.Module):
    """A density and a node update after it, for one kind of nodes and of edges."""

    def __init__(self):
        super().__init__()
        self.density, self.powers = DirectionalDensity(4, 2, 3, 2), DensityPowers(2, 2, 3)
        self.update = NodeUpdate(4, 3, power_channels=9)

    def forward(self, x, edge_index, edge_radial, edge_sphere, edge_envelope):
        powers = self.powers(self.density(x, edge_index, edge_radial, edge_sphere, edge_envelope))
        return self.update(x, edge_index, edge_radial, powers)


def test_to_hetero():
    """PyG's rewriting gives every node tensor as a pair, ``powers`` too, and adds up what different edges bring."""
    kinds = [("metal", "to", "gas"), ("gas", "to", "metal"), ("gas", "to", "gas")]
    model = to_hetero(Network(), (["metal", "gas"], kinds))
    nodes = {name: make_nodes()["x"] for name in ("metal", "gas")}
    edges = make_edges()
    del edges["unit_vec"]
    found = model(nodes, *(dict.fromkeys(kinds, value) for value in edges.values()))
    assert {name: value.shape for name, value in found.items()} == {"metal": (NODES, 4), "gas": (NODES, 4)}
    edge_index, radial, sphere, envelope = edges.values()
    pairs = {kind: (nodes[kind[0]], nodes[kind[2]]) for kind in kinds}
    density = dict.fromkeys(nodes, 0)
    for kind in kinds:
        block = model.density["__".join(kind)]
        density[kind[2]] = density[kind[2]] + block(pairs[kind], edge_index, radial, sphere, envelope)
    powers = {name: model.powers[name](value) for name, value in density.items()}
    expected = dict.fromkeys(nodes, 0)
    for kind in kinds:
        block = model.update["__".join(kind)]
        expected[kind[2]] = expected[kind[2]] + block(pairs[kind], edge_index, radial, powers[kind[2]])
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value)


class MessageNetwork(nn.Module):
    """A block with a row for each edge between two with a row for each node."""

    def __init__(self, between):
        super().__init__()
        self.density, self.between = DirectionalDensity(4, 2, 3, 2), between
        self.update = NodeUpdate(4, 6)

    def forward(self, x, edge_index, edge_radial, edge_sphere, edge_envelope):
        density = self.density(x, edge_index, edge_radial, edge_sphere, edge_envelope)
        message = self.between(x, edge_index, edge_radial, edge_envelope, edge_sphere, density)
        return self.update(x, edge_index, message)


def test_to_hetero_with_rows_for_edges():
    """Each kind of edges has messages of its own: ``Messages`` is a plain module, whose rows PyG takes for edges'."""
    kinds = [("metal", "to", "gas"), ("gas", "to", "metal"), ("gas", "to", "gas")]
    model = to_hetero(MessageNetwork(messages()), (["metal", "gas"], kinds))
    nodes, edges = {name: make_nodes()["x"] for name in ("metal", "gas")}, make_edges()
    del edges["unit_vec"]
    found = model(nodes, *(dict.fromkeys(kinds, value) for value in edges.values()))
    edge_index, radial, sphere, envelope = edges.values()
    density, expected = dict.fromkeys(nodes, 0), dict.fromkeys(nodes, 0)
    for kind in kinds:
        x, block = (nodes[kind[0]], nodes[kind[2]]), model.density["__".join(kind)]
        density[kind[2]] = density[kind[2]] + block(x, edge_index, radial, sphere, envelope)
    for kind in kinds:
        x, both = (nodes[kind[0]], nodes[kind[2]]), (density[kind[0]], density[kind[2]])
        message = model.between["__".join(kind)](x, edge_index, radial, envelope, sphere, both)
        expected[kind[2]] = expected[kind[2]] + model.update["__".join(kind)](x, edge_index, message)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value)


class Bare(nn.Module):
    """Messages straight from a ``MessagePassing``."""

    def __init__(self):
        super().__init__()
        self.mlp, self.update = EdgeMLP(4, 3, 6, 5), NodeUpdate(4, 5)

    def forward(self, x, edge_index, edge_radial):
        return self.update(x, edge_index, self.mlp(x, edge_index, edge_radial))


def test_to_hetero_takes_every_message_passing_for_one_of_nodes(unchecked):
    """PyG's rule, whatever the block returns: it adds up the rows of two kinds of edges with the same receivers."""
    kinds = [("metal", "to", "gas"), ("gas", "to", "metal"), ("gas", "to", "gas")]
    model, edges = to_hetero(Bare(), (["metal", "gas"], kinds)), make_edges()
    assert "mlp__gas = torch.add(mlp__gas1, mlp__gas2)" in model.code
    nodes = {name: make_nodes()["x"] for name in ("metal", "gas")}
    given = [dict.fromkeys(kinds, edges[name]) for name in ("edge_index", "radial")]
    with pytest.raises(TypeError, match="'edge_attr' must hold one row for each edge, got a pair: to_hetero takes a"):
        model(nodes, *given)


@pytest.mark.parametrize("name", PASSING)
def test_settings_of_pyg_that_would_change_the_physics_are_refused(name):
    module = BLOCKS[name].build()
    for setting, value in {
        "flow": "target_to_source",
        "aggr": "mean",
        "aggr_module": MeanAggregation(),
        "node_dim": -2,
        "decomposed_layers": 2,
    }.items():
        before = getattr(module, setting)
        with pytest.raises(ValueError, match=f"'{setting}' of {type(module).__name__} is fixed, got"):
            setattr(module, setting, value)
        assert getattr(module, setting) == before
        setattr(module, setting, before)


def test_settings_of_pyg_are_refused_at_construction():
    with pytest.raises(ValueError, match=r"'flow' of EdgeMLP is fixed, got 'target_to_source': .* swap the rows of"):
        EdgeMLP(4, 3, 6, 5, flow="target_to_source")
    with pytest.raises(ValueError, match="'aggr' of NodeUpdate is fixed, got 'mean': only a sum is smooth"):
        NodeUpdate(4, 3, aggr="mean")


@every_block
def test_copies_and_files_keep_the_block(name):
    block, given = BLOCKS[name], {**make_edges(), **make_nodes()}
    module, buffer = block.build(), io.BytesIO()
    expected = block.call(module, given)
    close(block.call(copy.deepcopy(module), given), expected)
    torch.save(module, buffer)
    buffer.seek(0)
    close(block.call(torch.load(buffer, weights_only=False), given), expected)


@pytest.mark.parametrize("directions", ["contracted", "raw", "radial"])
@pytest.mark.parametrize("cutoff", [3.0, (2.0, 3.0)])
def test_what_passes_messages_runs_through_pyg(directions, cutoff):
    """In a model every ``MessagePassing`` runs ``propagate`` or ``edge_updater``, each as often as it is called."""
    sizes = {"hidden_channels": 8, "edge_dim": 6, "channels": 2, "num_layers": 2, "num_radial": 3}
    model = MPNN(cutoff=cutoff, directions=directions, attention="softmax", **sizes)
    called, ran = [], []
    for module in model.modules():
        if isinstance(module, MessagePassing):
            module.register_forward_hook(lambda module, *_: called.append(id(module)))
            module.register_propagate_forward_hook(lambda module, *_: ran.append(id(module)))
            module.register_edge_update_forward_hook(lambda module, *_: ran.append(id(module)))
    z, pos = torch.tensor([8, 1, 1]), torch.randn(3, 3)
    edge_index = torch.tensor([[1, 2, 0, 0], [0, 0, 1, 2]])
    model(z, edge_index, pos[edge_index[0]] - pos[edge_index[1]])
    passing = {id(module) for module in model.modules() if isinstance(module, MessagePassing)}
    assert set(ran) == passing
    assert sorted(ran) == sorted(called)


def test_the_table_of_the_readme_is_true():
    """Which blocks pass messages, and through which method."""
    rows = [line.split("|")[1:3] for line in Path(__file__).parents[2].joinpath("README.md").read_text().splitlines()]
    rows = [row for row in rows if len(row) == 2 and re.search("MessagePassing|nn.Module", row[1])]
    told = {name: base.strip() for names, base in rows for name in re.findall(r"`(\w+)`", names)}
    for name in layers.__all__:
        kind = getattr(layers, name)
        if (
            not inspect.isclass(kind)
            or inspect.isabstract(kind)
            or name in ("Contraction", "EdgeBlock", "MessageLayer")
        ):  # interfaces, and a part of blocks
            continue
        if not issubclass(kind, MessagePassing):
            assert told[name] == "`nn.Module`", name
        else:
            method = "edge_updater" if "edge_update" in vars(kind) else "propagate"
            assert told[name] == f"`MessagePassing`, through `{method}`", name
            assert issubclass(kind, EdgeBlock)
