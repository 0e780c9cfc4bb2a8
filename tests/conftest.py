"""What every test gets: a seed, one thread, shape checks, and on request a dtype and small real structures.

Shapes and types of the whole package are checked at run time (jaxtyping with beartype), so a call with a wrong shape or
type raises jaxtyping's error before our own. A test that needs the package as users run it, to see our error or to
compile, takes the fixture ``unchecked``. ``pytest --unchecked`` switches the checks off for all tests.
"""

from __future__ import annotations

import functools
import inspect
import os
import random
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jaxtyping
import numpy as np
import pytest
import torch
from beartype import BeartypeConf, beartype
from torch_geometric.data import Data

_beartype = beartype(conf=BeartypeConf(is_pep484_tower=True))  # takes an int where a float is expected, as Python does


def _check(function: Callable[..., Any]) -> Callable[..., Any]:
    """Checks of a function's types, written when it is first called: most are not called by a test."""
    checked: list[Callable[..., Any]] = []

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if not checked:
            checked.append(_beartype(function))
        return checked[0](*args, **kwargs)

    return call


# The import hook wants the name of a checker.
_checker = types.ModuleType("shape_checker")
_checker.check = _check
sys.modules[_checker.__name__] = _checker
# Here and not in pytest_configure: before that the conftest.py of a folder may import the package.
_hook = jaxtyping.install_import_hook("pyg_mpnn", "shape_checker.check")

collect_ignore = ["models/golden/make.py", "data/assets/make_dipoles.py"]  # scripts that made files

BOTH_DTYPES = ("basis", "layers", "readout", "test_mlp.py")  # places whose every test runs in float32 and float64


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--unchecked", action="store_true", help="do not check shapes and types at run time")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--unchecked"):
        _hook.uninstall()
        jaxtyping.config.update("jaxtyping_disable", True)  # of what was imported before


def pytest_itemcollected(item: pytest.Item) -> None:
    """What is long or exhaustive is slow, so that ``-m "not slow"`` leaves it out."""
    if item.get_closest_marker("exhaustive") or item.get_closest_marker("long"):
        item.add_marker(pytest.mark.slow)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    place = metafunc.definition.path.relative_to(Path(__file__).parent).parts[0]
    wanted = place in BOTH_DTYPES or "dtype" in inspect.signature(metafunc.function).parameters
    own = any("dtype" in mark.args[0] for mark in metafunc.definition.iter_markers("parametrize"))
    if wanted and not own:
        both = [pytest.param(torch.float32, marks=pytest.mark.slow), torch.float64]  # the quick run has the sharper one
        metafunc.parametrize("dtype", both, indirect=True, ids=["float32", "float64"])


@pytest.fixture(autouse=True)
def dtype(request: pytest.FixtureRequest) -> Iterator[torch.dtype]:
    """Default dtype: float32 and float64 in the places above and for tests that take this fixture, else float32."""
    previous = torch.get_default_dtype()
    torch.set_default_dtype(getattr(request, "param", torch.float32))
    yield torch.get_default_dtype()
    torch.set_default_dtype(previous)


@pytest.fixture(autouse=True)
def seed() -> None:
    """Same random numbers in every run of a test, whatever ran before it."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 (ASE draws from it)
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Sums in a fixed order, and no fight over cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of code that tests of this session compile, away from the user's: one for all workers of pytest-xdist."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "compiled"
    monkeypatch.setenv("PYG_MPNN_CACHE", str(folder))
    return folder


@pytest.fixture
def unchecked() -> Iterator[None]:
    """The package as users run it, without shape checks."""
    previous = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", previous)


@pytest.fixture
def drawn() -> None:
    """Pictures are drawn, also where other tests leave them out."""


@pytest.fixture
def undrawn(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures are composed and files written, but not drawn: that is half of the time of a small training."""
    if "drawn" not in request.fixturenames:
        monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda self, file, **options: file.write(b"not drawn"))


@pytest.fixture
def water(dtype: torch.dtype) -> Data:
    """H2O, MP2 geometry: planar, so it is its own mirror image."""
    pos = [[0.0, 0.0, 0.1193], [0.0, 0.7632, -0.477], [0.0, -0.7632, -0.477]]
    return Data(z=torch.tensor([8, 1, 1]), pos=torch.tensor(pos))


@pytest.fixture
def ethanol(dtype: torch.dtype) -> Data:
    """C2H5OH, MP2 geometry: nine atoms."""
    pos = [
        [1.1682, -0.4004, 0.0],
        [0.0, 0.5595, 0.0],
        [-1.1901, -0.2277, 0.0],
        [-1.9466, 0.3815, 0.0],
        [0.0426, 1.2075, 0.8869],
        [0.0426, 1.2075, -0.8869],
        [2.1159, 0.1448, 0.0],
        [1.1286, -1.0372, 0.8859],
        [1.1286, -1.0372, -0.8859],
    ]
    return Data(z=torch.tensor([6, 6, 8, 1, 1, 1, 1, 1, 1]), pos=torch.tensor(pos))


@pytest.fixture
def chiral(dtype: torch.dtype) -> Data:
    """CHFClBr with four different bond lengths: differs from its mirror image."""
    corners = torch.tensor([[1.0, 1.0, 1.0], [1.0, -1.0, -1.0], [-1.0, 1.0, -1.0], [-1.0, -1.0, 1.0]]) / 3**0.5
    bonds = torch.tensor([1.09, 1.36, 1.76, 1.94]).unsqueeze(-1) * corners
    return Data(z=torch.tensor([6, 1, 9, 17, 35]), pos=torch.cat([torch.zeros(1, 3), bonds]))


@pytest.fixture
def silicon(dtype: torch.dtype) -> Data:
    """Primitive cell of diamond Si, slightly distorted: the cell is smaller than any usual cutoff."""
    cell = 5.431 / 2 * torch.tensor([[[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0]]])
    pos = torch.tensor([[0.0, 0.0, 0.0], [1.40, 1.33, 1.35]])
    return Data(z=torch.tensor([14, 14]), pos=pos, cell=cell, pbc=torch.ones(1, 3, dtype=torch.bool))
