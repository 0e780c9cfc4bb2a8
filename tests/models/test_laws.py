"""Every shipped composition under all laws, with weights for which every path matters."""

from __future__ import annotations

import copy
import functools
from typing import Any

import pytest
import torch
from torch_geometric.data import Batch

from pyg_mpnn import Potential
from pyg_mpnn.testing import check_potential, crystal, deviation, laws, molecule

TINY = {"hidden_channels": 16, "edge_dim": 8, "channels": 4, "num_layers": 2, "num_radial": 6, "cutoff": 4.0}
COMPOSITIONS = {
    "contracted": {},
    "three invariants": {"invariants": ("receiver", "sender", "pair")},
    "sigmoid": {"attention": "sigmoid"},
    "softmax": {"attention": "softmax", "heads": 2},
    "two scales": {"cutoff": (2.5, 4.0)},
    "three scales, softmax": {"cutoff": (2.0, 3.0, 4.0), "attention": "softmax"},
    "l_max 0": {"l_max": 0},
    "l_max 3": {"l_max": 3},
    "radial": {"directions": "radial"},
    "raw": {"directions": "raw", "symmetry": "unconstrained"},
    "gaussian": {"basis": "gaussian"},
    "exp_normal": {"basis": "exp_normal"},
    "cosine": {"envelope": "cosine"},
    "bump": {"envelope": "bump"},
    "learned readout": {"readout": "learned"},
    "last head": {"potential_heads": "last"},
    "product": {"num_products": 1},
    "gathered": {
        "layers": [
            {"class": "ProductInteraction", "in_channels": 16, "channels": 4, "num_radial": 6, "l_max": 2}
            for _ in range(2)
        ]
    },
    "sigmoid, gaussian, cosine, learned readout": {
        "attention": "sigmoid",
        "basis": "gaussian",
        "envelope": "cosine",
        "readout": "learned",
    },
    "softmax, exp_normal, bump, last head, three invariants, product": {
        "attention": "softmax",
        "heads": 2,
        "basis": "exp_normal",
        "envelope": "bump",
        "potential_heads": "last",
        "invariants": ("receiver", "sender", "pair"),
        "num_products": 1,
    },
}
REFERENCE = {1: -13.6, 6: -146.0, 8: -430.0, 14: -103.0}
# What does not apply, for each composition; nothing else may be left out.
NOT_APPLICABLE = dict.fromkeys(COMPOSITIONS, ()) | {"raw": ("rotation", "inversion", "torque")}


def make(name: str, seed: int = 0) -> Potential:
    """A potential with random weights, those of weak paths strengthened, and an RMS force of 2 eV/A."""
    torch.manual_seed(seed)
    potential = Potential.from_size("base", **{**TINY, **COMPOSITIONS[name]}).double().eval()
    neighbors = [8.0] * len(potential.cutoffs)
    potential.set_reference(REFERENCE, 1.0, neighbors)
    with torch.no_grad():
        for key, parameter in potential.named_parameters():
            if ".attention." in key and parameter.ndim == 2:
                parameter.mul_(6.0)
            elif ".messages.0.filter" in key or ".messages.2.filter" in key:  # the weakest of three scales
                parameter.mul_(2.5)
    potential.set_reference(REFERENCE, 2.0 / potential(molecule()).forces.square().mean().sqrt().item(), neighbors)
    return potential


def switched_off(potential: Potential, path: str) -> Potential:
    """The potential with the parameters of one path set to zero."""
    changed = copy.deepcopy(potential)
    with torch.no_grad():
        for key, parameter in changed.named_parameters():
            if path in key:
                parameter.zero_()
    return changed


def paths(name: str) -> list[str]:
    """Parts of the names of the parameters of each path that a composition has."""
    options = {**TINY, **COMPOSITIONS[name]}
    found = [] if options.get("directions") in ("radial", "raw") else ["density"]
    found += [".gather.", ".products."] if "layers" in options else []
    found += [".attention."] if options.get("attention") else []
    found += [".products."] if options.get("num_products") else []
    if isinstance(options["cutoff"], tuple):
        found += [f".messages.{scale}.filter" for scale in range(len(options["cutoff"]))]
    return found


@pytest.mark.parametrize("name", COMPOSITIONS)
def test_every_path_changes_the_forces_by_five_percent(name):
    potential = make(name)
    batch = Batch.from_data_list([molecule()])
    forces = potential(batch).forces
    for path in paths(name):
        assert deviation(switched_off(potential, path)(batch).forces, forces) > 0.05, path


# Each option in one of them; all, and float32 too, with ``-m exhaustive``.
CHOSEN = (
    "contracted",
    "three scales, softmax",
    "l_max 0",
    "l_max 3",
    "radial",
    "raw",
    "sigmoid, gaussian, cosine, learned readout",
    "softmax, exp_normal, bump, last head, three invariants, product",
)
IN_BOTH = "contracted"
LONG = ("three scales, softmax", "l_max 3")


def _case(name: str, precision: torch.dtype) -> Any:
    chosen = name in CHOSEN if precision == torch.float64 else name == IN_BOTH
    marks = [pytest.mark.long] * (name in LONG) if chosen else pytest.mark.exhaustive
    return pytest.param(name, precision, marks=marks, id=f"{name}-{str(precision).removeprefix('torch.')}")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "precision"), [_case(name, which) for name in COMPOSITIONS for which in (torch.float64, torch.float32)]
)
def test_every_law_holds(name, precision, unchecked):
    potential = make(name)
    report = check_potential(
        potential,
        [molecule(), crystal()],
        dtype=precision,
        rebuild=functools.partial(Potential.from_config, potential.config),
    )
    assert report.passed, str(report)
    assert report.not_applicable == NOT_APPLICABLE[name]


@pytest.mark.slow
def test_the_laws_see_a_fault_in_a_real_network(unchecked):
    """Controls: a cutoff that jumps, a neighbour list that is capped, features that are not invariant."""
    hard = make("contracted")
    hard.representation.envelopes[-1].forward = lambda dist: (dist < 4.0).to(dist)
    capped = make("contracted")
    inner = capped.interaction_energies

    def first_neighbours(z, edge_index, edge_vec, batch, num_graphs, **options):
        rank = torch.arange(edge_index.shape[1]) - torch.searchsorted(edge_index[1].contiguous(), edge_index[1])
        return inner(z, edge_index[:, rank < 32], edge_vec[rank < 32], batch, num_graphs, **options)

    capped.interaction_energies = first_neighbours
    raw = make("raw")
    raw.symmetry = "invariant"  # a lie

    def check(model, *chosen):
        return tuple(check_potential(model, molecule(), laws=chosen).failed)

    assert check(hard, laws.smoothness_single, laws.smoothness_crowd) == ("smoothness_single", "smoothness_crowd")
    assert check(raw, laws.rotation, laws.torque) == ("rotation", "torque")
    assert check(capped, laws.no_truncation, laws.rotation) == ("no_truncation",)  # which runs
