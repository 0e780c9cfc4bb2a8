"""Compiled code is compared with eager evaluation before it is used, and what was found is kept.

Graphs here are run by torch in the place of compiled code, which would take minutes to make.
"""

from __future__ import annotations

import json
import warnings

import pytest
import torch

from pyg_mpnn.deploy import proof
from pyg_mpnn.deploy.cache import keep
from pyg_mpnn.deploy.support import CompilationError, code_folder
from tests.deploy.stand_ins import tiny, verdicts

pytestmark = [
    pytest.mark.usefixtures("unchecked", "compiler", "fresh_cache"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
]


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
