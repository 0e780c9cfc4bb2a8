"""Laws of copies: saved, loaded, copied and pickled modules are the same module."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import torch
from torch import Tensor, nn

from pyg_mpnn.testing.deviation import require


def assert_copies_law(build: Callable[[], nn.Module], call: Callable[[nn.Module], Tensor]) -> None:
    """A module gives the same result after ``state_dict`` into a new one, ``copy.deepcopy`` and pickling.

    Args:
        build: makes a new module.
        call: applies a module to fixed inputs.

    Raises:
        AssertionError: a copy gives another result, bit by bit.

    Example:
        >>> assert_copies_law(lambda: nn.Linear(2, 3), lambda module: module(torch.ones(1, 2)))
    """
    module = build()
    loaded = build()
    loaded.load_state_dict(module.state_dict())
    copies = {
        "state_dict": loaded,
        "deepcopy": copy.deepcopy(module),
        "pickle": pickle.loads(pickle.dumps(module)),
    }
    expected = call(module)
    for name, other in copies.items():
        require(f"copies law ({name})", call(other), expected, tolerance=0.0)


def assert_reset_law(module: nn.Module) -> None:
    """``reset_parameters`` draws new weights, and the same weights from the same seed.

    Args:
        module: with parameters and a method ``reset_parameters``.

    Raises:
        AssertionError: the weights do not change, differ for the same seed, or there are none.

    Example:
        >>> assert_reset_law(nn.Linear(2, 3))
    """
    if not list(module.parameters()):
        raise AssertionError("reset law not tested: the module has no parameters")
    with torch.random.fork_rng(devices=[]):
        first, again, other = (_reset(module, seed) for seed in (0, 0, 1))
    require("reset law (same seed)", again, first, tolerance=0.0)
    if torch.equal(first, other):
        raise AssertionError("reset law broken: 'reset_parameters' does not draw new weights")


def _reset(module: nn.Module, seed: int) -> Tensor:
    torch.manual_seed(seed)
    module.reset_parameters()  # type: ignore[operator]
    return nn.utils.parameters_to_vector(module.parameters()).detach().clone()
