"""Energies and forces of potentials whose weights come from a formula: silent changes of the model show here.

The numbers are those of the day when the model was written (``python tests/models/test_golden.py`` prints them); a
change that means to alter them replaces them, with a line in the changelog.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch_geometric.data import Data

from pyg_mpnn import Potential

VALUES = Path(__file__).with_name("golden.json")
SMALL = {"hidden_channels": 8, "edge_dim": 6, "channels": 3, "num_layers": 2, "num_radial": 5, "l_max": 2}
MODELS = {
    "contracted": {"cutoff": 4.0, "attention": "sigmoid", "invariants": ("receiver",)},
    "two scales": {
        "cutoff": (2.5, 4.0),
        "attention": "softmax",
        "heads": 2,
        "invariants": ("receiver", "sender", "pair"),
        "basis": "gaussian",
        "envelope": "cosine",
    },
    "radial": {"cutoff": 4.0, "directions": "radial", "attention": None, "basis": "exp_normal", "envelope": "bump"},
}
STRUCTURES = {
    "water": Data(
        z=torch.tensor([8, 1, 1]),
        pos=torch.tensor([[0.0, 0.0, 0.1193], [0.05, 0.7632, -0.477], [0.0, -0.7632, -0.477]], dtype=torch.float64),
    ),
    "silicon": Data(
        z=torch.tensor([14, 14]),
        pos=torch.tensor([[0.0, 0.0, 0.0], [1.6, 1.2, 1.35]], dtype=torch.float64),
        cell=2.7155 * torch.tensor([[[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0]]], dtype=torch.float64),
        pbc=torch.ones(1, 3, dtype=torch.bool),
    ),
}


def build(name: str) -> Potential:
    """Weights sin(k + 0.7 i) / sqrt(fan in) for weight i of the k-th parameter, the same on every machine."""
    potential = Potential.from_size("base", **SMALL, **MODELS[name], isolated="free").double()
    potential.set_reference({1: -13.6, 8: -2041.8, 14: -7874.5}, 0.7, [6.0] * len(potential.cutoffs))
    with torch.no_grad():
        for k, (_, parameter) in enumerate(sorted(potential.named_parameters())):
            number = torch.arange(parameter.numel(), dtype=torch.float64)
            parameter.copy_((torch.sin(k + 0.7 * number) / parameter.shape[-1] ** 0.5).view_as(parameter))
    return potential.eval()


def evaluate(name: str, structure: str, dtype: torch.dtype) -> dict[str, list[object]]:
    """Energy and forces as nested lists."""
    output = build(name).to(dtype)(STRUCTURES[structure])
    return {"energy": output.energy.tolist(), "forces": output.forces.tolist()}


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("name", MODELS)
def test_golden_values(name, structure, dtype):
    expected = json.loads(VALUES.read_text())[f"{name}, {structure}"]
    found = evaluate(name, structure, dtype)
    tolerance = 1e-10 if dtype == torch.float64 else 1e-5
    for quantity in ("energy", "forces"):
        actual, wanted = (torch.tensor(source[quantity], dtype=torch.float64) for source in (found, expected))
        error = (actual - wanted).abs().max() / wanted.abs().max()
        assert error < tolerance, f"{quantity}: {error:.1e}"


def test_golden_values_control():
    """A change of one weight in the last of ten digits that matter would be seen."""
    expected = json.loads(VALUES.read_text())["contracted, water"]
    potential = build("contracted")
    with torch.no_grad():
        potential.atomwise.heads[0].linears[0].weight[0, 0] += 1e-6
    forces = potential(STRUCTURES["water"]).forces
    wanted = torch.tensor(expected["forces"], dtype=torch.float64)
    assert (forces - wanted).abs().max() / wanted.abs().max() > 1e-10


if __name__ == "__main__":
    pairs = {f"{name}, {structure}": (name, structure) for name in MODELS for structure in STRUCTURES}
    values = {title: evaluate(*pair, torch.float64) for title, pair in pairs.items()}
    VALUES.write_text(json.dumps(values, indent=1) + "\n")
    print(f"written to {VALUES}")
