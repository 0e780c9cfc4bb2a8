"""Compiled code is compared with eager evaluation before it is used, where a release is not known in another process.

Most graphs here are run by torch in the place of compiled code, which would take minutes to make.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn
from torch_geometric.data import Data

from pyg_mpnn import Potential
from pyg_mpnn.deploy import generate, proof, support
from pyg_mpnn.deploy.cache import keep
from pyg_mpnn.deploy.support import CompilationError, code_folder
from pyg_mpnn.deploy.tracing import Kind, trace

pytestmark = [
    pytest.mark.usefixtures("unchecked", "compiler"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
]

# What a process of its own does in the place of compiling: the graph is run by torch.
BY_TORCH = """
import os, signal
from pyg_mpnn.deploy import generate, proof
generate.MAKERS["inference"] = lambda traced, example, folder: lambda tensors: {results}
proof.work()
"""


@pytest.fixture(autouse=True)
def own(cache, tmp_path, monkeypatch):
    """A cache for each test, but one for torch's headers, which take long to compile."""
    monkeypatch.setattr(support, "header_folder", lambda: cache / "headers")
    monkeypatch.setenv("PYG_MPNN_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def made(monkeypatch):
    """What was made: graphs that torch runs, whose results a test can change by ``made.change``."""

    class Made(list):
        change = staticmethod(lambda results: results)

        def make(self, traced, example, folder):
            self.append(traced)
            return lambda tensors: self.change(list(traced.graph(*tensors)))

    made = Made()
    monkeypatch.setattr(generate, "MAKERS", {"inference": made.make, "training": made.make})
    return made


@pytest.fixture
def unknown(monkeypatch):
    """A release of torch that the tests do not know."""
    monkeypatch.setattr(proof, "TESTED_TORCH", ())
    monkeypatch.setattr(generate, "expected_seconds", lambda *_: 0.0)


def verdicts():
    return [json.loads(path.read_text()) for path in sorted(code_folder().glob("*/verdict.json"))]


@pytest.mark.slow
@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("trained", [False, True])
def test_trials_cover_what_is_compiled(build, trained, periodic):
    potential = build({"cutoff": (2.0, 4.0), "zbl": True}, torch.float64).train(trained)
    kind = Kind(trained, periodic, periodic, 2)
    traced = trace(potential, kind, torch.float64, torch.device("cpu"))
    trials = proof.make_trials(potential, traced, kind, torch.float64)
    inputs = [trial.tensors[len(traced.names) :] for trial in trials]
    assert len({len(z) for z, *_ in inputs}) == len(trials) == 3
    edges = [edge_index.shape[1] for _, _, _, edge_index, *_ in inputs]
    assert min(edges) < 200 < 4096 < max(edges), "on both sides of a limit of torch's code generator"
    results = {"energies", "forces", *(["virial"] if periodic else [])}
    for trial in trials:
        gradients = [value for name, value in trial.wanted.items() if name.startswith("gradient")]
        assert {name for name in trial.wanted if not name.startswith("gradient")} == results
        assert len(gradients) == (sum(tensor.requires_grad for tensor in trial.tensors) if trained else 0)
        values = [value for value in [*gradients, *(trial.wanted[name] for name in results)] if value.numel() > 1]
        assert all(float(value.abs().max()) > 1e-8 for value in values), "zeros would show nothing"
    found = [proof.results_of(lambda tensors: traced.graph(*tensors), trial.tensors, trained) for trial in trials]
    deviation = proof.deviations(found, trials)
    assert set(deviation) == {*results, *(["gradients of the weights"] if trained else [])}
    assert max(deviation.values()) < 1e-11


MISTAKES = {
    "energies": lambda results: [results[0] * (1 + 3e-4), *results[1:]],
    "forces": lambda results: [results[0], results[1] * (1 + 3e-4), *results[2:]],
    "virial": lambda results: [*results[:2], results[2] * (1 + 3e-4), results[3]],
    "not a number": lambda results: [results[0], results[1] * float("nan"), *results[2:]],
    "shape": lambda results: [results[0], results[1][:-1], *results[2:]],
}


@pytest.mark.slow
@pytest.mark.parametrize("mistake", MISTAKES)
def test_wrong_results_mean_eager_or_an_error(mistake, silicon, made):
    potential = tiny().eval()
    expected = potential(silicon, stress=True)
    made.change = MISTAKES[mistake]
    potential.compile("on")
    for _ in range(2):
        with pytest.raises(CompilationError, match=r"its results are not the eager ones: relative to .* by .*remove "):
            potential(silicon, stress=True)
    assert len(made) == 1, "the verdict is kept"
    potential.compile("auto")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert torch.equal(potential(silicon, stress=True).forces, expected.forces)
        potential(silicon)
        potential.double()(silicon)
    said = [str(warning.message) for warning in caught if "are not compiled" in str(warning.message)]
    assert len(said) == 1
    assert "its results are not the eager ones" in said[0]
    assert len(made) == 1, "nothing more is compiled where one kind is wrong"
    (verdict,) = verdicts()
    assert not verdict["proven"]
    assert verdict["torch"] == torch.__version__
    assert verdict["tolerance"]["forces"] == 1e-4


def test_wrong_gradients_of_weights_are_found(water, made):
    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(ctx, values):
            return values.clone()

        @staticmethod
        def backward(ctx, gradient):
            return gradient * 1.01

    made.change = lambda results: [results[0], Wrong.apply(results[1]), *results[2:]]
    potential = tiny().train().compile("on")
    with pytest.raises(CompilationError, match="gradients of the weights by"):
        potential(water)
    deviation = verdicts()[0]["deviation"]
    assert deviation["forces"] < 1e-4 < 1e-3 < deviation["gradients of the weights"]


def test_right_results_are_used_and_the_verdict_is_kept(water, made):
    eager = tiny().eval()
    compiled = tiny().eval()
    for _ in range(2):
        torch.testing.assert_close(compiled.compile("on")(water).forces, eager(water).forces, rtol=1e-4, atol=1e-5)
        assert made.pop()
    (verdict,) = verdicts()
    assert verdict["proven"]
    assert not verdict["own_process"]
    assert max(verdict["deviation"].values()) <= 1e-4
    assert set(verdict["deviation"]) == {"energies", "forces"}


def test_weights_that_are_not_finite_prove_nothing(water, made):
    potential = tiny().eval().compile("auto")
    with torch.no_grad():
        potential.representation.weights.weight[0] = float("nan")
    with pytest.warns(UserWarning, match="eager results of generated structures are not finite"):
        potential(water)
    assert verdicts() == []


@pytest.mark.slow
def test_a_verdict_that_was_changed_is_not_trusted(water, made):
    made.change = MISTAKES["forces"]
    potential = tiny().eval()
    with pytest.raises(CompilationError, match="not the eager ones"):
        potential.compile("on")(water)
    (path,) = code_folder().glob("*/verdict.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "proven": True}))
    with pytest.raises(CompilationError, match="not the eager ones"):
        potential.compile("on")(water)
    assert len(made) == 2, "made and compared again"


@pytest.mark.parametrize("field", ["torch", "machine", "code", "proof"])
def test_a_verdict_on_something_else_is_not_trusted(field):
    with keep("name") as (folder, _):
        verdict = proof.Verdict.of(folder, "", {}, tolerance={}, own_process=False, seconds=0.0)
        proof.write_verdict(folder, verdict)
        assert proof.read_verdict(folder) == verdict
        proof.write_verdict(folder, verdict._replace(**{field: "another"}))
        assert proof.read_verdict(folder) is None
        (folder / "verdict.json").write_text('{"proven": true}')
        assert proof.read_verdict(folder) is None


ENDS = {
    "crash": ("import os; os.abort()", "it ended a process of its own by SIGABRT", True),
    "hang": ("import time; time.sleep(60)", "it had no results after 1 s in a process of its own", True),
    "error": ("raise SystemExit('no operator x')", "the process that makes and tries it failed: no operator x", False),
}


@pytest.mark.slow
@pytest.mark.usefixtures("unknown")
@pytest.mark.parametrize("end", ENDS)
def test_a_process_that_gives_no_results(end, water, made, monkeypatch):
    program, message, kept = ENDS[end]
    monkeypatch.setattr(proof, "LIMIT", 1.0)
    monkeypatch.setattr(proof, "PROGRAM", program)
    potential = tiny().eval()
    expected = potential(water).forces
    with pytest.raises(CompilationError, match=message):
        potential.compile("on")(water)
    assert [verdict["reason"] for verdict in verdicts()] == ([message] if kept else [])
    if kept:
        monkeypatch.setattr(proof, "PROGRAM", "the verdict is reused")
    potential.compile("auto")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            assert torch.equal(potential(water).forces, expected)
    assert [message in str(warning.message) for warning in caught if warning.category is UserWarning] == [True]
    assert made == [], "nothing ran in this process"


@pytest.mark.slow
@pytest.mark.usefixtures("unknown")
def test_another_process_evaluates_the_batches(water, made, monkeypatch):
    potential = tiny().eval()
    expected = potential(water).forces
    tries = {
        "list(traced.graph(*tensors))": None,
        "[1.01 * result for result in traced.graph(*tensors)]": "not the eager ones: relative to the largest, energies",
        "os.kill(os.getpid(), signal.SIGSEGV)": "it ended a process of its own by SIGSEGV",
        "list(traced.grap(*tensors))": "torch could not make or load the code: AttributeError",
    }
    for number, (results, message) in enumerate(tries.items()):
        monkeypatch.setenv("PYG_MPNN_CACHE", os.environ["PYG_MPNN_CACHE"] + str(number))
        monkeypatch.setattr(proof, "PROGRAM", BY_TORCH.format(results=results))
        if message is None:
            torch.testing.assert_close(potential.compile("on")(water).forces, expected, rtol=1e-4, atol=1e-5)
            assert made.pop()
            assert verdicts()[0]["own_process"]
            continue
        with pytest.raises(CompilationError, match=message):
            potential.compile("on")(water)
        assert made == []


@pytest.mark.slow
def test_what_a_process_started_ends_with_it(tmp_path):
    status, _ = proof._wait(["sh", "-c", f"sleep 99 & echo $! > {tmp_path}/pid; wait"], 3.0)
    assert status is None
    state = Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}/stat")
    for _ in range(200):  # a killed process ends when it next gets a processor
        if not state.exists() or state.read_text().split()[2] == "Z":
            return
        time.sleep(0.05)
    raise AssertionError(state.read_text())


class Own(nn.Module):
    """A representation whose code is made in seconds."""

    cutoff, out_channels, num_layers, symmetry = 4.0, 3, 1, "invariant"

    def __init__(self):
        super().__init__()
        self.weights = nn.Linear(1, 3)

    def forward(self, z, edge_index, edge_vec):
        near = (1 - edge_vec.square().sum(dim=1, keepdim=True) / 16.0).clamp(min=0) ** 3
        return [self.weights(near.new_zeros(z.shape[0], 1).index_add(0, edge_index[1], near)).tanh()]


def tiny():
    torch.manual_seed(0)
    return Potential(Own())


def pair():
    return Data(z=torch.tensor([1, 8]), pos=torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]))


OTHER = """
import torch, sys
from pyg_mpnn import Potential
from pyg_mpnn.deploy import generate, proof
torch.set_num_threads(1)
proof.TESTED_TORCH = ()
proof.PROGRAM = "the verdict is reused"
sys.path.insert(0, {folder!r})
import test_proof
potential = test_proof.tiny().train(sys.argv[1] == "training").compile("on")
potential(test_proof.pair())
"""


@pytest.mark.slow
@pytest.mark.exhaustive
@pytest.mark.usefixtures("unknown")
@pytest.mark.parametrize("purpose", ["inference", "training"])
def test_code_of_another_process_is_loaded_not_made_again(purpose, tmp_path):
    potential = tiny().train(purpose == "training").compile("on")
    potential(pair())
    assert verdicts()[0]["own_process"]
    (verdict,) = code_folder().glob("*/verdict.json")
    assert all(path.stat().st_mtime < verdict.stat().st_mtime for path in verdict.parent.rglob("*.so"))
    assert all(path.stat().st_mtime < verdict.stat().st_mtime for path in verdict.parent.rglob("*.cpp")), (
        "compiled twice"
    )
    codes = sorted(code_folder().rglob("*.cpp"))
    done = subprocess.run(
        [sys.executable, "-c", OTHER.format(folder=str(Path(__file__).parent)), purpose],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert sorted(code_folder().rglob("*.cpp")) == codes, "nothing was compiled twice"
