"""Numbers that a user gives, and the constructors that take them."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from pyg_mpnn.arguments import check_positive, check_whole

WRONG: tuple[Any, ...] = ("x", None, True, float("nan"), float("inf"), -1, 0, 2.5, (), {})


@pytest.mark.parametrize("value", WRONG)
def test_wrong_numbers_are_named(value: Any) -> None:
    with pytest.raises(ValueError, match="'width' must be"):
        check_whole(width=value)
    if value != 2.5:
        with pytest.raises(ValueError, match=r"'radius' must be positive and finite \(in A\), got"):
            check_positive("A", radius=value)


def test_right_numbers_pass() -> None:
    check_whole(width=1, other=np.int64(3))
    check_whole(0, l_max=0)
    check_positive("A", radius=1, other=np.float32(0.5))


# In a process of its own: the tests check annotations, which users do not.
SWEEP = """
import inspect
import torch
import pyg_mpnn

sizes = ("channels", "dim", "num_", "heads", "l_max", "degree", "cutoff")
tried = 0
for name in pyg_mpnn.__all__:
    block = getattr(pyg_mpnn, name)
    if not (inspect.isclass(block) and issubclass(block, torch.nn.Module)) or inspect.isabstract(block):
        continue
    parameters = [p for p in inspect.signature(block).parameters.values() if p.kind is not p.VAR_KEYWORD]
    sized = [p for p in parameters if (p.name.startswith(sizes) or p.name.endswith(sizes)) and p.default is not None]
    right = {p.name: 4 for p in sized if p.default is p.empty}
    if len(right) < sum(p.default is p.empty for p in parameters) or not sized or name in ("MLP", "Potential"):
        continue
    block(**right)
    for parameter in sized:
        for value in ("x", True, float("nan"), float("inf"), -1, {}):
            tried += 1
            try:
                block(**{**right, parameter.name: value})
            except (ValueError, TypeError) as error:
                if f"'{parameter.name}'" not in str(error):
                    print(f"{name}({parameter.name}={value!r}): {error}")
            except Exception as error:
                print(f"{name}({parameter.name}={value!r}): {type(error).__name__} {error}")
            else:
                print(f"{name}({parameter.name}={value!r}) is accepted")
print(tried, "tried")
"""


@pytest.mark.long
def test_constructors_name_a_wrong_size() -> None:
    """Each size of each block, with each wrong value: an error with its name, of a kind that commands show."""
    done = subprocess.run([sys.executable, "-c", SWEEP], capture_output=True, text=True, check=True)
    *wrong, last = done.stdout.splitlines()
    assert not wrong, "\n".join(wrong)
    assert int(last.split()[0]) > 200
