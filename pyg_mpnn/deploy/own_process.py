"""Code that may end its process is made and first run in a process of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from pyg_mpnn.deploy.support import CompilationError

Result = TypeVar("Result")

LIMIT = 600.0
"""Seconds that a process of its own is waited for, or 20 times the expected ones where that is more."""

PROGRAM = "from pyg_mpnn.deploy.own_process import work; work()"
"""What a process of its own runs."""


def in_own_process(
    function: Callable[..., Result], arguments: tuple[Any, ...], scratch: Path, seconds: float
) -> tuple[Result | None, str]:
    """Call a function in a process of its own.

    Args:
        function: one of a module, which the other process imports.
        arguments: tensors, plain values, and graphs as :class:`Packed`.
        scratch: folder for files that pass between the two.
        seconds: how long it is expected to take.

    Returns:
        the tensors that the function gave, and why there are none: the process ended itself or did not end.

    Raises:
        CompilationError: the function has raised an error, which it may not do another time.
    """
    task = {
        "function": function,
        "arguments": arguments,
        "threads": torch.get_num_threads(),
        "libraries": sorted(torch.ops.loaded_libraries),
    }
    with tempfile.TemporaryDirectory(dir=scratch) as files:
        torch.save(task, Path(files) / "task.pt")
        limit = max(LIMIT, 20 * seconds)
        status, said = _wait([sys.executable, "-c", PROGRAM, files], limit)
        if (Path(files) / "failure.txt").exists():
            raise CompilationError((Path(files) / "failure.txt").read_text())
        if status is None:
            return None, f"it had no results after {limit:.0f} s in a process of its own"
        if status < 0:
            return None, f"it ended a process of its own by {signal.Signals(-status).name}"
        if status > 0:
            raise CompilationError(f"the process that makes and tries it failed: {said}")
        return torch.load(Path(files) / "results.pt", weights_only=True), ""


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
    """Call the function with its arguments: what a process of its own does, with the folder of its files."""
    from pyg_mpnn.deploy.generate import why_not_made

    files = Path(sys.argv[1])
    task = torch.load(files / "task.pt", weights_only=False)
    for library in task["libraries"]:
        torch.ops.load_library(library)  # type: ignore[no-untyped-call]
    torch.set_num_threads(task["threads"])
    try:
        results = task["function"](*task["arguments"])
    except Exception as error:
        (files / "failure.txt").write_text(why_not_made(error))
        return
    torch.save(results, files / "results.pt")


class Packed(NamedTuple):
    """A graph on its way to another process: pickle would trace it anew, to other code than what is compiled here."""

    code: str
    plain: dict[str, Any]  # the globals that are not modules
    constants: dict[str, Tensor]

    @classmethod
    def of(cls, graph: GraphModule) -> Packed:
        """Code, globals and constants of a graph."""
        source = graph.graph.python_code("self")
        plain = {name: value for name, value in source.globals.items() if not isinstance(value, ModuleType)}
        return cls(source.src, plain, dict(graph.named_buffers()))

    def unpack(self) -> GraphModule:
        """A module with the code of the graph."""
        graph = GraphModule(nn.Module(), torch.fx.Graph())
        for name, tensor in self.constants.items():
            graph.register_buffer(name, tensor)
        scope = {"torch": torch, **self.plain}
        exec(self.code, scope)
        type(graph).forward = scope["forward"]  # each has a class of its own
        return graph
