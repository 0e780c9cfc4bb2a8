"""Every literal option trains end to end: the loss on real forces falls within a few steps."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch_geometric.loader import DataLoader

from pyg_mpnn import (
    MLP,
    MPNN,
    LearnedSumReadout,
    MeanReadout,
    Potential,
    SoftmaxReadout,
    SumReadout,
)
from pyg_mpnn.data import StructureDataset, ethanol, fit_reference
from pyg_mpnn.geometry import edge_vectors
from pyg_mpnn.training.loss import loss_terms
from pyg_mpnn.training.rotation import rotate_batch

SMALL = {"hidden_channels": 16, "edge_dim": 8, "channels": 4, "num_layers": 2, "num_radial": 6, "cutoff": 4.0}
OPTIONS = {
    "softmax": {"attention": "softmax", "heads": 2},
    "sigmoid": {"attention": "sigmoid"},
    "no attention": {"attention": None},
    "raw directions": {"directions": "raw", "symmetry": "unconstrained"},
    "radial": {"directions": "radial"},
    "two scales": {"cutoff": (2.5, 4.0)},
    "three scales": {"cutoff": (2.0, 3.0, 4.0)},
    "gaussian": {"basis": "gaussian"},
    "exp_normal": {"basis": "exp_normal"},
    "cosine": {"envelope": "cosine"},
    "bump": {"envelope": "bump"},
    "three invariants": {"invariants": ("receiver", "sender", "pair")},
    "learned readout": {"readout": "learned"},
    "last head": {"potential_heads": "last"},
}


@pytest.fixture(scope="module")
def frames():
    return ethanol("train")[:8]


QUICK = ("softmax", "raw directions", "two scales")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in OPTIONS]
)
def test_potential_trains(name, frames):
    potential = Potential.from_size("base", **{**SMALL, **OPTIONS[name]}).train()
    reference = fit_reference(frames, potential.cutoffs)
    potential.set_reference(reference.energies, reference.scale, reference.neighbors)
    optimizer = torch.optim.Adam(potential.parameters(), lr=1e-2)
    losses = []
    whole = next(iter(DataLoader(StructureDataset(frames, potential.cutoffs), batch_size=len(frames))))
    for _ in range(25):
        batch = rotate_batch(whole) if potential.symmetry == "unconstrained" else whole
        terms = loss_terms(potential(batch), batch, reference.scale)
        loss = terms.forces + 0.1 * terms.energy
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(terms.forces.item())
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.slow
@pytest.mark.parametrize("kind", [MeanReadout, SumReadout, LearnedSumReadout, SoftmaxReadout])
def test_property_of_a_graph_trains(kind, frames):
    """An intensive property by hand: the mean distance of an atom from the centre, a number for each molecule."""
    representation, head = MPNN(**SMALL, attention="softmax"), MLP([16, 1])
    readout = kind(16) if kind in (LearnedSumReadout, SoftmaxReadout) else kind()
    model = nn.ModuleList([representation, head, readout])
    batch = next(iter(DataLoader(StructureDataset(frames, 4.0), batch_size=len(frames))))
    target = torch.stack([(frame.pos - frame.pos.mean(0)).norm(dim=-1).mean() for frame in frames]).float()
    target = (target - target.mean()) / target.std()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(40):
        features = representation(batch.z, batch.edge_index, edge_vectors(batch.pos.float(), batch.edge_index))[-1]
        values = readout(head(features), batch.batch, dim_size=len(frames), features=features).squeeze(-1)
        loss = (values - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
