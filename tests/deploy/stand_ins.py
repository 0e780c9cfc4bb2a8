"""A potential whose code is made in seconds, and what was found of its code."""

from __future__ import annotations

import json

import torch
from torch import nn
from torch_geometric.data import Data

from pyg_mpnn import ZBL, Potential, SumPotential
from pyg_mpnn.deploy.support import code_folder


class Own(nn.Module):
    """A representation whose code is made in seconds."""

    cutoff, out_channels, num_layers, symmetry = 4.0, 3, 1, "invariant"

    def __init__(self):
        super().__init__()
        self.weights = nn.Linear(1, 3)

    def forward(self, z, edge_index, edge_vec):
        near = (1 - edge_vec.square().sum(dim=1, keepdim=True) / 16.0).clamp(min=0) ** 3
        return [self.weights(near.new_zeros(z.shape[0], 1).index_add(0, edge_index[1], near)).tanh()]


class Charged(Own):
    """Reads charge and spin of the structure."""

    graph_inputs = ("charge", "spin")

    def forward(self, z, edge_index, edge_vec, charge, spin):
        return [x * (1 + charge[:, None]) + spin[:, None] for x in super().forward(z, edge_index, edge_vec)]


def charged(dtype=torch.float64):
    """A network and a repulsion with a shorter cutoff, so that edges are chosen too."""
    torch.manual_seed(0)
    potential = Potential(Charged())
    for parameter in potential.parameters():  # a fresh potential has forces of zero
        torch.nn.init.normal_(parameter, std=0.5)
    return SumPotential(potential, ZBL(2.6)).to(dtype).eval()


def tiny():
    torch.manual_seed(0)
    return Potential(Own())


def pair():
    return Data(z=torch.tensor([1, 8]), pos=torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]))


def verdicts():
    return [json.loads(path.read_text()) for path in sorted(code_folder().glob("*/verdict.json"))]
