"""Code of a release of torch that is not known, or of a GPU, is made and first run in a process of its own.

Most graphs here are run by torch in the place of compiled code, which would take minutes to make.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
import torch

from pyg_mpnn.deploy import own_process
from pyg_mpnn.deploy.support import CompilationError, code_folder
from tests.deploy.stand_ins import pair, tiny, verdicts

pytestmark = [
    pytest.mark.usefixtures("unchecked", "compiler", "fresh_cache"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
]

# What a process of its own does in the place of compiling: the graph is run by torch.
BY_TORCH = """
import os, signal
from pyg_mpnn.deploy import generate, own_process
generate.MAKERS["inference"] = lambda traced, example, folder: lambda tensors: {results}
own_process.work()
"""


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
    monkeypatch.setattr(own_process, "LIMIT", 1.0)
    monkeypatch.setattr(own_process, "PROGRAM", program)
    potential = tiny().eval()
    expected = potential(water).forces
    with pytest.raises(CompilationError, match=message):
        potential.compile("on")(water)
    assert [verdict["reason"] for verdict in verdicts()] == ([message] if kept else [])
    if kept:
        monkeypatch.setattr(own_process, "PROGRAM", "the verdict is reused")
    potential.compile("auto")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            assert torch.equal(potential(water).forces, expected)
    assert [message in str(warning.message) for warning in caught if warning.category is UserWarning] == [True]
    assert made == [], "nothing ran in this process"


@pytest.mark.long
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
        monkeypatch.setattr(own_process, "PROGRAM", BY_TORCH.format(results=results))
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
    status, _ = own_process._wait(["sh", "-c", f"sleep 99 & echo $! > {tmp_path}/pid; wait"], 3.0)
    assert status is None
    state = Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}/stat")
    for _ in range(200):  # a killed process ends when it next gets a processor
        if not state.exists() or state.read_text().split()[2] == "Z":
            return
        time.sleep(0.05)
    raise AssertionError(state.read_text())


OTHER = """
import torch, sys
from pyg_mpnn import Potential
from pyg_mpnn.deploy import own_process, proof
torch.set_num_threads(1)
proof.TESTED_TORCH = ()
own_process.PROGRAM = "the verdict is reused"
sys.path.insert(0, {folder!r})
from tests.deploy.stand_ins import pair, tiny
potential = tiny().train(sys.argv[1] == "training").compile("on")
potential(pair())
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
        [sys.executable, "-c", OTHER.format(folder=str(Path(__file__).parents[2])), purpose],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert sorted(code_folder().rglob("*.cpp")) == codes, "nothing was compiled twice"
