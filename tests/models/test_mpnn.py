"""The representation: declared symmetry, cost of optional parts, arguments it refuses, one anchor by hand."""

from __future__ import annotations

import copy
import math
import threading

import pytest
import torch
from torch import nn

from pyg_mpnn import (
    MPNN,
    Interaction,
    MultiScale,
    Potential,
    ProductInteraction,
    SigmoidAttention,
    neighbor_list,
)
from pyg_mpnn.geometry import edge_vectors

SMALL = {"hidden_channels": 16, "edge_dim": 8, "channels": 4, "num_layers": 2, "num_radial": 6}


def features(representation, data):
    edges = neighbor_list(data.pos, representation.cutoff)
    return representation(data.z, edges.edge_index, edge_vectors(data.pos, edges.edge_index))


@pytest.mark.parametrize(
    ("directions", "symmetry"), [("contracted", "invariant"), ("radial", "invariant"), ("raw", "unconstrained")]
)
@pytest.mark.parametrize("cutoff", [4.0, (2.5, 4.0)])
def test_declared_symmetry(directions, symmetry, cutoff):
    assert MPNN(directions=directions, cutoff=cutoff, **SMALL).symmetry == symmetry


@pytest.mark.parametrize("parts", [{"attention": "sigmoid"}, {"attention": "softmax", "heads": 2}])
def test_two_scales_are_two_lists_by_hand(ethanol, parts, dtype):
    """Each scale's messages on a list made by torch-cluster for its own cutoff, summed before the node network."""
    radius_graph = pytest.importorskip(
        "torch_cluster", reason="torch-cluster is not installed: `make cluster`"
    ).radius_graph
    representation = MPNN(cutoff=(2.5, 4.0), **SMALL, **parts)
    representation.set_neighbors([4.0, 8.0])
    lists = []
    for envelope in representation.envelopes:
        edge_index = radius_graph(ethanol.pos, envelope.cutoff, max_num_neighbors=100)
        vec = edge_vectors(ethanol.pos, edge_index)
        dist = vec.norm(dim=-1)
        assert (dist < envelope.cutoff).all()
        lists.append((edge_index, representation.radial(dist), envelope(dist), representation.directional(vec)))
    assert lists[0][0].shape[1] < lists[1][0].shape[1]
    edge_index, radial, envelope, sphere = lists[1]
    x = representation.embedding(ethanol.z)
    density = representation.density(x, edge_index, radial, sphere, envelope)
    for layer in representation.layers:
        total, change = 0, 0
        for scale, (edge_index, radial, envelope, sphere) in zip(layer.messages, lists, strict=True):
            message = scale(x, edge_index, radial, envelope, sphere, density)
            total = total + torch.zeros(len(x), 8).index_add(0, edge_index[1], message)
            change = change + layer.density_update(x, edge_index, message, sphere, density)
        density = density + change
        x = layer.node_update.update(total, x, layer.powers(density))
    torch.testing.assert_close(features(representation, ethanol)[-1], x)


def test_optional_parts_cost_nothing():
    """Without attention, scales and directions no weight and no module of theirs is left."""
    bare = MPNN(directions="radial", attention=None, **SMALL)
    names = [name for name, _ in bare.named_modules()]
    assert not [
        name for name in names if any(part in name for part in ("attention", "density", "powers", "contraction"))
    ]
    assert bare.directional is None
    assert all(type(layer) is Interaction for layer in bare.layers)
    full = MPNN(cutoff=(2.0, 4.0), attention="sigmoid", **SMALL)
    assert all(type(layer) is MultiScale for layer in full.layers)
    assert any(isinstance(module, SigmoidAttention) for module in full.modules())


def test_smoothness_is_that_of_the_cutoff():
    found = [MPNN(envelope=name, **SMALL).smoothness for name in ("cosine", "polynomial", "bump")]
    assert found == [1, 2, math.inf]


def test_neighbor_number_is_the_integral_of_the_cutoff():
    """Cosine: 3 int x^2 (cos(pi x) + 1)/2 dx = 1/2 - 3/pi^2."""
    representation = MPNN(envelope="cosine", **SMALL)
    representation.set_neighbors([100.0])
    expected = 100 * (0.5 - 3 / math.pi**2)
    assert abs(representation.density.nu.item() - expected) < 1e-3
    assert abs(representation.layers[1].messages.nu.item() - expected) < 1e-3


def test_no_edges(dtype):
    nothing = MPNN(cutoff=(2.0, 4.0), **SMALL)(
        torch.tensor([1, 8]), torch.zeros(2, 0, dtype=torch.long), torch.zeros(0, 3)
    )
    assert torch.isfinite(nothing[-1]).all()
    assert nothing[-1].shape == (2, 16)


def test_config_rebuilds():
    representation = MPNN(cutoff=(2.0, 4.0), basis="gaussian", attention="softmax", heads=2, **SMALL)
    assert MPNN(**representation.config).config == representation.config
    assert repr(representation).startswith("MPNN(cutoff=[2.0, 4.0], hidden_channels=16")


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cutoff": 0.0}, r"'cutoff' must be positive and finite \(in A\), got 0.0"),
        ({"cutoff": -1.0}, "'cutoff' must be positive"),
        ({"cutoff": math.nan}, "'cutoff' must be positive"),
        ({"cutoff": (4.0, 2.0)}, "'cutoff' must increase strictly"),
        ({"cutoff": (1.0, 2.0, 3.0, 4.0)}, "'cutoff' must hold one to three radii"),
        ({"basis": "fourier"}, "'basis' must be one of .* got 'fourier'"),
        ({"envelope": "step"}, "'envelope' must be one of"),
        ({"directions": "all"}, "'directions' must be one of"),
        ({"attention": "hard"}, "'attention' must be one of"),
        ({"heads": 2}, "'heads' must be 1 without attention, got 2"),
        ({"num_layers": 0}, "'num_layers' must be at least 1, got 0"),
        ({"attention": "sigmoid", "heads": 3}, "'edge_dim' must be a multiple of 'heads'"),
        ({"invariants": ("receiver", "receiver")}, "'invariants' must be distinct names"),
        ({"invariants": ()}, "'invariants' must be distinct names"),
        ({"l_max": -1}, "'l_max'"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        MPNN(**{**SMALL, **arguments})


@pytest.mark.parametrize(("directions", "hops"), [("contracted", 3), ("raw", 2), ("radial", 2)])
@pytest.mark.parametrize("cutoff", [3.0, (1.0, 3.0)])
def test_receptive_field_is_the_distance_of_the_last_atom_with_an_effect(directions, hops, cutoff, dtype):
    """A chain with edges between neighbours only: the atom ``hops`` away matters, the next one has no effect at all."""
    representation = MPNN(cutoff=cutoff, directions=directions, **SMALL)
    assert representation.receptive_field == hops * 3.0
    pos = torch.zeros(6, 3)
    pos[:, 0] = 2.3 * torch.arange(6)
    pos[:, 1:] = 0.2 * torch.rand(6, 2)
    dist = (pos - pos[0]).norm(dim=-1)
    assert dist[hops] < representation.receptive_field < dist[hops + 1]
    edge_index = neighbor_list(pos, 3.0).edge_index

    def first(pos):
        return representation(torch.full((6,), 6), edge_index, edge_vectors(pos, edge_index))[-1][0]

    for atom in range(1, 6):
        moved = pos.clone()
        moved[atom] += 0.1 * torch.randn(3)
        assert torch.equal(first(moved), first(pos)) == (atom > hops)


class Domains:
    """A structure cut into two domains, each with the atoms of the other within one cutoff as ghosts.

    Both run in threads of one process, as two processes would, and meet at each exchange.
    """

    def __init__(self, representation, z, pos, edge_index, leaves_out=()):
        self.representation, self.z, self.pos, self.edge_index = representation, z, pos, edge_index
        self.leaves_out, self.calls = leaves_out, []
        left = pos.detach()[:, 0] < pos.detach()[:, 0].median()
        self.own = [left.nonzero().squeeze(-1), (~left).nonzero().squeeze(-1)]
        self.barrier = threading.Barrier(2, timeout=60)
        self.results, self.shared = [None, None], [None, None]

    def run(self, options):
        threads = [threading.Thread(target=self.domain, args=(number, options)) for number in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        order = torch.cat(self.own).argsort()
        return [torch.cat(parts)[order] for parts in zip(*self.results, strict=True)]

    def domain(self, number, options):
        own, ends_here = self.own[number], torch.isin(self.edge_index[1], self.own[number])
        source, target = self.edge_index[:, ends_here]
        senders = torch.cat([own, source.unique()[~torch.isin(source.unique(), own)]])
        place = torch.full((len(self.z),), -1).index_copy(0, senders, torch.arange(len(senders)))
        index = torch.cat(self.own).argsort()[senders]  # where the atoms stand behind each other, domain by domain
        assert len(own) < len(senders) < len(self.z)

        def exchange(x, density):
            self.shared[number] = {"x": x, "density": density}
            self.calls.append((x is None, density is None))
            self.barrier.wait()
            found = []
            for name in ("x", "density"):
                parts = [values[name] for values in self.shared]
                rows = None if parts[0] is None else torch.cat(parts)[index]
                if name in self.leaves_out and rows is not None:
                    rows = torch.cat([rows[: len(own)], torch.zeros_like(rows[len(own) :])])
                found.append(rows)
            self.barrier.wait()
            return tuple(found)

        vec = self.pos[source] - self.pos[target]
        edges = torch.stack([place[source], place[target]])
        self.results[number] = self.representation(
            self.z[senders], edges, vec, num_own=len(own), exchange=exchange, **options
        )


DOMAINS = {
    "contracted": {"cutoff": 3.0, "invariants": ("receiver", "sender", "pair")},
    "two scales, product": {"cutoff": (2.0, 3.0), "attention": "softmax", "num_products": 1},
    "radial": {"cutoff": 3.0, "directions": "radial", "attention": "sigmoid"},
    "gathered": {"cutoff": 3.0, "layers": [ProductInteraction(16, 4, 6, 2) for _ in range(3)]},
}


@pytest.mark.parametrize("memory", ["normal", "low"])
@pytest.mark.parametrize("name", DOMAINS)
def test_two_domains_that_exchange_are_the_whole_structure(name, memory, dtype):
    """Features after each layer, gradients of positions and of weights; ghosts reach as far as one cutoff."""
    representation = MPNN(**{**SMALL, "num_layers": 3}, **copy.deepcopy(DOMAINS[name])).to(dtype)
    z, pos = torch.tensor([1, 6, 8])[torch.randint(3, (40,))], (9.0 * torch.rand(40, 3)).requires_grad_()
    edge_index = neighbor_list(pos.detach(), 3.0).edge_index
    variables = [pos, *representation.parameters()]

    def differentiate(features):
        loss = sum((layer * torch.sin(torch.arange(layer.numel()).reshape(layer.shape))).sum() for layer in features)
        gradients = torch.autograd.grad(loss, variables, allow_unused=True, materialize_grads=True)
        return [*features, *gradients]

    expected = differentiate(representation(z, edge_index, pos[edge_index[0]] - pos[edge_index[1]]))
    domains = Domains(representation, z, pos, edge_index)
    tolerance = {"rtol": 1e-10, "atol": 1e-11} if dtype == torch.float64 else {"rtol": 1e-3, "atol": 1e-4}
    for found, other in zip(differentiate(domains.run({"memory": memory})), expected, strict=True):
        torch.testing.assert_close(found, other, **tolerance)
    if name == "radial":  # the features of the elements need no exchange, so the first layer has nothing to ask for
        assert domains.calls == [(True, True)] * 2 + [(False, True)] * 4
    else:
        assert domains.calls == [(True, False)] * 2 + [(False, False)] * 4
    for left_out in ("x", "density") if name != "radial" else ("x",):  # control: what is exchanged matters
        wrong = Domains(representation, z, pos, edge_index, leaves_out=(left_out,)).run({"memory": memory})
        assert (wrong[-1] - expected[2]).abs().max() > 1e-3


def test_exchange_and_number_of_own_atoms_come_together(water):
    representation = MPNN(**SMALL)
    edges = torch.tensor([[1], [0]]), torch.ones(1, 3)
    with pytest.raises(ValueError, match="'num_own' must be a number of at most 3 atoms and come with 'exchange', got"):
        representation(water.z, *edges, num_own=2)
    with pytest.raises(ValueError, match="got 4 and"):
        representation(water.z, *edges, num_own=4, exchange=lambda x, density: (x, density))


class Rotating(nn.Module):
    """A layer of one's own in ten lines: sums of neighbours, and a density that shrinks."""

    def __init__(self, channels):
        super().__init__()
        self.channels, self.linear = channels, nn.Linear(channels, channels)
        self.register_buffer("nu", torch.tensor(1.0))

    def reset_parameters(self):
        self.linear.reset_parameters()

    def set_neighbors(self, counts):
        self.nu.fill_(counts[-1])

    def symmetry(self, x, radial, sphere, density):
        return x, density

    def forward(self, x, edge_index, radial, envelope, sphere, density):
        source, target = edge_index
        sums = torch.zeros_like(x).index_add(0, target, self.linear(x)[source] * envelope.unsqueeze(-1))
        return torch.tanh(x + sums / self.nu + density.square().sum(dim=(1, 2)).unsqueeze(-1)), density / 2


def test_layers_may_be_your_own(ethanol, tmp_path):
    given = MPNN(**SMALL)
    same = MPNN(**SMALL, layers=list(copy.deepcopy(given.layers)))
    same.load_state_dict(given.state_dict())
    assert torch.equal(features(same, ethanol)[-1], features(given, ethanol)[-1])
    own = MPNN(**{**SMALL, "num_layers": 1}, layers=[given.layers[0], Rotating(16), Rotating(16)])
    own.set_neighbors([7.0])
    assert (own.num_layers, own.receptive_field, own.symmetry) == (3, 20.0, "invariant")
    assert own.layers[1].nu.item() == pytest.approx(own.density.nu.item())
    assert given.layers[0].messages.nu == own.density.nu > 1.0
    assert "Rotating" in repr(own)
    potential = Potential(own)
    assert potential(ethanol).forces.abs().max() > 1e-4
    potential.save(tmp_path / "potential.pt")
    loaded = Potential.load(tmp_path / "potential.pt", trust=[Rotating])
    assert torch.equal(loaded(ethanol).forces, potential.eval()(ethanol).forces)
    with pytest.raises(ValueError, match="'layers' must hold at least one layer, got none"):
        MPNN(**SMALL, layers=[])


@pytest.mark.parametrize("cutoff", [4.0, (2.5, 4.0)])
def test_layers_of_this_package_are_saved_with_their_arguments(cutoff, ethanol, tmp_path, dtype):
    """Two layers, the second without a carried density, which no argument of the network describes."""
    first, second = MPNN(cutoff=cutoff, **SMALL).layers
    second.density_update = None
    representation = MPNN(cutoff=cutoff, **SMALL, layers=[first, second])
    potential = Potential(representation)
    potential.set_reference({1: -13.6, 6: -1029.0, 8: -2041.0}, 1.0, [8.0] * len(representation.cutoffs))
    potential.save(tmp_path / "potential.pt")
    loaded = Potential.load(tmp_path / "potential.pt")
    assert loaded.representation.layers[1].density_update is None
    assert torch.equal(loaded(ethanol).forces, potential.eval()(ethanol).forces)
