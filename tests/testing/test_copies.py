"""The laws of copies catch modules that do not survive a copy or a reset."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from pyg_mpnn.testing import assert_copies_law, assert_reset_law


class Forgetful(nn.Module):
    """Keeps its weight outside ``state_dict``."""

    def __init__(self):
        super().__init__()
        self.weight = torch.randn(2)

    def forward(self, x):
        return x * self.weight


class Shy(nn.Linear):
    """Does not take its weights along into a copy."""

    def __deepcopy__(self, memo):
        return Shy(self.in_features, self.out_features)


class Unpickled(nn.Linear):
    """Loses its weights in a pickle, but not in a deepcopy."""

    def __deepcopy__(self, memo):
        other = Unpickled(self.in_features, self.out_features)
        other.load_state_dict(copy.deepcopy(self.state_dict()))
        return other

    def __reduce__(self):
        return Unpickled, (self.in_features, self.out_features)


def test_copies_law():
    assert_copies_law(lambda: nn.Linear(2, 3), lambda module: module(torch.ones(2)))
    with pytest.raises(AssertionError, match="state_dict"):
        assert_copies_law(Forgetful, lambda module: module(torch.ones(2)))


@pytest.mark.parametrize(("kind", "broken"), [(Shy, "deepcopy"), (Unpickled, "pickle")])
def test_copies_law_catches_copies_that_lose_weights(kind, broken):
    with pytest.raises(AssertionError, match=broken):
        assert_copies_law(lambda: kind(2, 3), lambda module: module(torch.ones(2)))


class Stuck(nn.Linear):
    def reset_parameters(self):
        nn.init.ones_(self.weight)
        nn.init.zeros_(self.bias)


class Restless(nn.Linear):
    def reset_parameters(self):
        with torch.no_grad():
            self.weight.copy_(torch.randn(self.weight.shape, generator=torch.Generator().manual_seed(Restless.calls)))
            self.bias.zero_()
        Restless.calls += 1

    calls = 0


def test_reset_law():
    assert_reset_law(nn.Linear(2, 3))
    with pytest.raises(AssertionError, match="does not draw new weights"):
        assert_reset_law(Stuck(2, 3))
    with pytest.raises(AssertionError, match="same seed"):
        assert_reset_law(Restless(2, 3))
    with pytest.raises(AssertionError, match="no parameters"):
        assert_reset_law(nn.LayerNorm(2, elementwise_affine=False))
