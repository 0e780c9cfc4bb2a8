"""The batches that compiled code is compared on, and what eager evaluation makes of them."""

from __future__ import annotations

import pytest
import torch

from pyg_mpnn.deploy import proof, trials
from pyg_mpnn.deploy.tracing import Kind, trace

pytestmark = [
    pytest.mark.usefixtures("unchecked"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
]


@pytest.mark.slow
@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("trained", [False, True])
def test_trials_cover_what_is_compiled(build, trained, periodic):
    potential = build({"cutoff": (2.0, 4.0), "zbl": True}, torch.float64).train(trained)
    kind = Kind(trained, periodic, periodic, 2)
    traced = trace(potential, kind, torch.float64, torch.device("cpu"))
    made = trials.make_trials(potential, traced, kind, torch.float64)
    inputs = [trial.tensors[len(traced.names) :] for trial in made]
    assert len({len(z) for z, *_ in inputs}) == len(made) == 3
    edges = [edge_index.shape[1] for _, _, _, edge_index, *_ in inputs]
    assert min(edges) < 200 < 4096 < max(edges), "on both sides of a limit of torch's code generator"
    results = {"energies", "forces", *(["virial"] if periodic else [])}
    for trial in made:
        gradients = [value for name, value in trial.wanted.items() if name.startswith("gradient")]
        assert {name for name in trial.wanted if not name.startswith("gradient")} == results
        assert len(gradients) == (sum(tensor.requires_grad for tensor in trial.tensors) if trained else 0)
        values = [value for value in [*gradients, *(trial.wanted[name] for name in results)] if value.numel() > 1]
        assert all(float(value.abs().max()) > 1e-8 for value in values), "zeros would show nothing"
    found = [trials.results_of(lambda tensors: traced.graph(*tensors), trial.tensors, trained) for trial in made]
    deviation = proof.deviations(found, made)
    assert set(deviation) == {*results, *(["gradients of the weights"] if trained else [])}
    assert max(deviation.values()) < 1e-11
