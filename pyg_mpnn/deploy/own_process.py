"""Code that may end its process is made and first run in a process of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from pyg_mpnn.deploy.support import CompilationError
from pyg_mpnn.deploy.tracing import Traced
from pyg_mpnn.deploy.trials import Trial, results_of

LIMIT = 600.0
"""Seconds that a process of its own is waited for, or 20 times the expected ones where that is more."""

PROGRAM = "from pyg_mpnn.deploy.own_process import work; work()"
"""What a process of its own runs."""


def in_own_process(
    purpose: str, traced: Traced, example: list[Tensor], trials: list[Trial], folder: Path, seconds: float
) -> tuple[list[dict[str, Tensor]], str]:
    """Make code and evaluate the batches with it in a process of its own.

    Args:
        purpose: what to make, a name in ``pyg_mpnn.deploy.generate.MAKERS``.
        traced: graph to compile.
        example: tensors of the kind that it takes.
        trials: batches to evaluate.
        folder: folder of the code.
        seconds: how long making it is expected to take.

    Returns:
        the results of each batch, and why there are none: the process ended itself or did not end.

    Raises:
        CompilationError: the code could not be made, which may be another time.
    """
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        task = {
            "purpose": purpose,
            "graph": _pack(traced.graph),
            "dynamic": traced.dynamic,
            "example": example,
            "batches": [trial.tensors for trial in trials],
            "threads": torch.get_num_threads(),
            "libraries": sorted(torch.ops.loaded_libraries),
        }
        torch.save(task, Path(scratch) / "task.pt")
        limit = max(LIMIT, 20 * seconds)
        status, said = _wait([sys.executable, "-c", PROGRAM, str(folder), scratch], limit)
        if (Path(scratch) / "failure.txt").exists():
            raise CompilationError((Path(scratch) / "failure.txt").read_text())
        if status is None:
            return [], f"it had no results after {limit:.0f} s in a process of its own"
        if status < 0:
            return [], f"it ended a process of its own by {signal.Signals(-status).name}"
        if status > 0:
            raise CompilationError(f"the process that makes and tries it failed: {said}")
        return torch.load(Path(scratch) / "results.pt", weights_only=True, map_location=example[0].device), ""


def _wait(command: list[str], limit: float) -> tuple[int | None, str]:
    """Run a process, with all that it starts; its exit status, ``None`` after the limit, and the last it said."""
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    process = subprocess.Popen(
        command,
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        _, said = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        return None, ""
    finally:
        _end(process)
    return process.returncode, next(iter(said.strip().splitlines()[::-1]), "")


def _end(process: subprocess.Popen[str]) -> None:
    """End a process and what it started."""
    with contextlib.suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()
    assert process.stderr is not None
    process.stderr.close()


def work() -> None:
    """Make code and evaluate batches: what a process of its own does, with a folder and one for its files."""
    from pyg_mpnn.deploy.generate import MAKERS, why_not_made

    folder, scratch = map(Path, sys.argv[1:])
    task = torch.load(scratch / "task.pt", weights_only=False)
    for library in task["libraries"]:
        torch.ops.load_library(library)  # type: ignore[no-untyped-call]
    torch.set_num_threads(task["threads"])
    traced = Traced(_unpack(*task["graph"]), (), task["dynamic"])
    try:
        run = MAKERS[task["purpose"]](traced, task["example"], folder)
        results = [results_of(run, tensors, task["purpose"] == "training") for tensors in task["batches"]]
    except Exception as error:
        (scratch / "failure.txt").write_text(why_not_made(error))
        return
    torch.save(results, scratch / "results.pt")


def _pack(graph: GraphModule) -> tuple[str, dict[str, Any], dict[str, Tensor]]:
    """Code, globals and constants of a graph; pickle would trace it anew, to other code than what is compiled here."""
    source = graph.graph.python_code("self")
    plain = {name: value for name, value in source.globals.items() if not isinstance(value, ModuleType)}
    return source.src, plain, dict(graph.named_buffers())


def _unpack(code: str, plain: dict[str, Any], constants: dict[str, Tensor]) -> GraphModule:
    """A module with the code of a graph."""
    graph = GraphModule(nn.Module(), torch.fx.Graph())
    for name, tensor in constants.items():
        graph.register_buffer(name, tensor)
    scope = {"torch": torch, **plain}
    exec(code, scope)
    type(graph).forward = scope["forward"]  # each has a class of its own
    return graph
