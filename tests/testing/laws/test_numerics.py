from __future__ import annotations

import functools

import torch
from torch import nn

from pyg_mpnn.testing import Healthy, laws, molecule


class Rounded(Healthy):
    """A constant in float32."""

    def _atomic(self, s, e):
        return super()._atomic(s, e) * torch.tensor([1.1], dtype=torch.float32)


class Drifting(Healthy):
    """Counts its calls."""

    calls = 0

    def _atomic(self, s, e):
        self.calls += 1
        return super()._atomic(s, e) * (1.0 + 1e-14 * self.calls)


class Greedy(Healthy):
    """Writes into its input."""

    def forward(self, data, stress=False):
        result = super().forward(data, stress)
        data.pos.detach().add_(1e-12)
        return result


class Forgetful(Healthy):
    """A fitted number that is not in the state_dict."""

    factor = 1.0

    def _atomic(self, s, e):
        return super()._atomic(s, e) * self.factor


class Singular(Healthy):
    """1 / r, far too near."""

    def _pair(self, s, e):
        return super()._pair(s, e) + e.weight * (1e-5 / (e.sq - e.sq.detach().clamp(max=1e-3)))


def test_laws_hold(holds):
    for law in (laws.near_atoms, laws.dtype, laws.determinism, laws.save_load):
        holds(law)


def test_faults_are_caught(catches):
    catches(laws.dtype, Rounded(), "rounded to float32 in float64 (first in")
    catches(laws.determinism, Drifting(), "energy called again")
    catches(laws.determinism, Greedy(), "inputs changed")
    catches(laws.near_atoms, Singular(), "not finite")


def test_state_outside_the_state_dict_is_caught():
    model = Forgetful()
    model.factor = 1.5
    assert laws.save_load(model, molecule(), rebuild=Forgetful).verdict == "fail"
    rebuilt = laws.save_load(model, molecule(), rebuild=functools.partial(_forgetful, 1.5))
    assert rebuilt.verdict == "pass"


def _forgetful(factor: float) -> nn.Module:
    model = Forgetful()
    model.factor = factor
    return model


def test_compiled_is_opt_in_and_compares():
    same = laws.compiled(Healthy(), molecule(), options={"compile": lambda model: model}, dtype=torch.float64)
    assert same.verdict == "pass"

    def broken(model):
        model.angular.data.mul_(1.0001)
        return model

    assert laws.compiled(Healthy(), molecule(), options={"compile": broken}, dtype=torch.float64).verdict == "fail"
    assert laws.compiled not in laws.LAWS
