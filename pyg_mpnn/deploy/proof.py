r"""Compiled code shows that it computes what eager evaluation does, before a result of it is used.

Three batches of different sizes are generated, and compiled energies, forces and virial are compared with eager ones;
for training, so are the gradients of the weights. What was found is written beside the code, whose folder is the user's
own and checked (``pyg_mpnn.deploy.cache``), so that each piece of code is compared once. With a release of torch that
the tests of this package do not run, or on a GPU, the code is made and first run in a process of its own, which it may
end.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from pyg_mpnn.deploy.support import CompilationError, digest, machine
from pyg_mpnn.deploy.tracing import Inputs, Kind, Traced, eager_function, example_tensors

TESTED_TORCH = ("2.13",)
"""Releases of torch whose code the tests of this package run on CPUs: it is compared in the user's process."""

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-4}
"""Largest deviation of energies, forces and virial, that of the laws (``pyg_mpnn.testing``)."""

GRADIENTS = 10.0
"""How many times as much the gradients of the weights may deviate, which are sums over all edges of a batch."""

SIZES = ((9, 1, 4), (5, 6, 5, 6, 5), (200, 2))
"""Atoms of the structures of each batch."""

LIMIT = 600.0
"""Seconds that a process of its own is waited for, or 20 times the expected ones where that is more."""

PROGRAM = "from pyg_mpnn.deploy.proof import work; work()"
"""What a process of its own runs."""

_VERDICT = "verdict.json"

Run = Callable[[list[Tensor]], list[Tensor]]


class NotProven(RuntimeError):
    """Compiled code does not compute what eager evaluation does, or ends the process."""


class Trial(NamedTuple):
    """A generated batch, and what eager evaluation makes of it."""

    tensors: list[Tensor]  # as a traced graph takes them
    wanted: dict[str, Tensor]


def make_trials(module: nn.Module, traced: Traced, kind: Kind, dtype: torch.dtype) -> list[Trial]:
    """Generate the batches and evaluate them eagerly, with weights near those of the module but none of them zero.

    Args:
        module: as for ``pyg_mpnn.deploy.tracing.trace``.
        traced: its graph.
        kind: what the graph computes.
        dtype: dtype of the network.

    Returns:
        a trial for each of ``SIZES``.
    """
    random = torch.Generator().manual_seed(0)
    weights = [_moved(tensor, random, kind.trained) for tensor in example_tensors(module, traced, kind)]
    weights = weights[: len(traced.names)]
    evaluate, trials = eager_function(module, traced.names, kind, dtype), []
    for sizes in SIZES:
        tensors = [*weights, *(tensor.to(weights[0].device) for tensor in _batch(module, kind, sizes, random).flat())]
        trials.append(Trial(tensors, results_of(evaluate, tensors, kind.trained)))
    return trials


def results_of(run: Run, tensors: list[Tensor], trained: bool) -> dict[str, Tensor]:
    """Evaluate a batch; for training, differentiate the sum of the squares of all results too.

    Args:
        run: eager or compiled function of a list of tensors.
        tensors: the batch, weights first.
        trained: whether to differentiate.

    Returns:
        results by name, gradients by number.
    """
    with torch.set_grad_enabled(trained):
        *results, _ = run(tensors)
    found = dict(zip(("energies", "forces", "virial"), results, strict=False))
    if trained:
        weights = [tensor for tensor in tensors if tensor.requires_grad]
        loss = torch.stack([result.square().sum().double() for result in results]).sum()
        gradients = torch.autograd.grad(loss, weights, allow_unused=True)
        for number, (weight, gradient) in enumerate(zip(weights, gradients, strict=True)):
            found[f"gradient {number}"] = torch.zeros_like(weight) if gradient is None else gradient
    return {name: tensor.detach() for name, tensor in found.items()}


def deviations(found: list[dict[str, Tensor]], trials: list[Trial]) -> dict[str, float]:
    r"""Largest difference of compiled and eager results, relative to the largest eager value of the batch.

    .. math:: \max |a - e| \; / \; \max |e|

    A gradient is related to the largest of its own weight, or to a thousandth of the largest of all where that is more.

    Args:
        found: compiled results of each trial.
        trials: the trials.

    Returns:
        a number for each kind of result; infinite where it is not finite or of another shape.

    Raises:
        NotProven: eager results are not finite.
    """
    largest: dict[str, float] = {}
    for results, (_, wanted) in zip(found, trials, strict=True):
        scales = {name: float(value.abs().max()) for name, value in wanted.items() if value.numel()}
        if not all(torch.isfinite(value).all() for value in wanted.values()):
            raise NotProven("eager results of generated structures are not finite, so that nothing can be compared")
        floor = 1e-3 * max((scale for name, scale in scales.items() if name.startswith("gradient")), default=0.0)
        for name, scale in scales.items():
            kind = "gradients of the weights" if name.startswith("gradient") else name
            value = float("inf")
            if results[name].shape == wanted[name].shape and bool(torch.isfinite(results[name]).all()):
                scale = max(scale, floor) if kind != name else scale
                value = float((results[name].double() - wanted[name].to(results[name].device).double()).abs().max())
                value /= scale if scale > 0 else 1.0
            largest[kind] = max(largest.get(kind, 0.0), value)
    return largest


class Verdict(NamedTuple):
    """What was found of one piece of code, as it is written beside it."""

    proven: bool
    reason: str  # why not
    deviation: dict[str, float]
    tolerance: dict[str, float]
    own_process: bool
    seconds: float  # that it took, in a process of its own with the making of the code
    torch: str
    machine: str
    code: str  # name of the folder
    proof: str  # digest of this file

    @classmethod
    def of(cls, folder: Path, reason: str, deviation: dict[str, float], **others: Any) -> Verdict:
        """The verdict on the code in a folder; it is proven where there is no reason why not."""
        known: dict[str, Any] = others | _what_it_is_on(folder)
        return cls(proven=not reason, reason=reason, deviation=deviation, **known)


def judge(folder: Path, found: list[dict[str, Tensor]], trials: list[Trial], **others: Any) -> Verdict:
    """Compare results of compiled code with eager ones.

    Args:
        folder: folder of the code.
        found: compiled results of each trial.
        trials: the trials.
        **others: what else the verdict says.

    Returns:
        the verdict.
    """
    deviation = deviations(found, trials)
    allowed = TOLERANCE[trials[0].wanted["forces"].dtype]
    tolerance = {name: allowed * (GRADIENTS if name.startswith("grad") else 1.0) for name in deviation}
    wrong = [
        f"{name} by {value:.1e} (allowed {tolerance[name]:.0e})"
        for name, value in deviation.items()
        if not value <= tolerance[name]
    ]
    reason = f"its results are not the eager ones: relative to the largest, {', '.join(wrong)}" if wrong else ""
    return Verdict.of(folder, reason, deviation, tolerance=tolerance, **others)


def read_verdict(folder: Path) -> Verdict | None:
    """The verdict on the code in a folder, none of another torch, machine, code or way to prove.

    Args:
        folder: folder that ``keep`` lends, which has checked its files.

    Returns:
        the verdict, ``None`` where it must be found.
    """
    try:
        verdict = Verdict(**json.loads((folder / _VERDICT).read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return verdict if _what_it_is_on(folder).items() <= verdict._asdict().items() else None


def write_verdict(folder: Path, verdict: Verdict) -> None:
    """Write a verdict beside its code."""
    (folder / _VERDICT).write_text(json.dumps(verdict._asdict(), indent=1))


def require_proven(verdict: Verdict, folder: Path) -> None:
    """Raise unless code is proven.

    Args:
        verdict: the verdict on it.
        folder: its folder.

    Raises:
        NotProven: it is not, with what to do.
    """
    if not verdict.proven:
        raise NotProven(f"{verdict.reason}; torch {verdict.torch}; remove {folder} to try again")


def may_end_the_process(device: torch.device) -> bool:
    """Whether code must show in a process of its own that it does not end the user's."""
    return device.type != "cpu" or ".".join(torch.__version__.split(".")[:2]) not in TESTED_TORCH


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


def _batch(module: nn.Module, kind: Kind, sizes: tuple[int, ...], random: torch.Generator) -> Inputs:
    """Atoms near the points of a cubic grid, up to 40 within the cutoff of each, in cells without right angles."""
    elements = torch.tensor(getattr(module, "elements", None) or (1,))
    cutoff = float(getattr(module, "cutoff", 4.0))
    spacing = 0.47 * cutoff
    places, cells, sources, receivers, shifts, lengths, first = [], [], [], [], [], [], 0
    around = torch.cartesian_prod(*[torch.arange(-1, 2)] * 3) if kind.periodic else torch.zeros(1, 3, dtype=torch.long)
    for size in sizes:
        side = round(size ** (1 / 3) + 0.5)
        grid = torch.cartesian_prod(*[torch.arange(side)] * 3)[:size].double()
        pos = spacing * (grid + 0.3 * torch.rand(size, 3, generator=random, dtype=torch.float64))
        cell = spacing * side * (torch.eye(3) + 0.1 * torch.rand(3, 3, generator=random, dtype=torch.float64))
        vectors = pos[None, :, None] + (around.double() @ cell)[None, None] - pos[:, None, None]  # from, to, image
        distances = vectors.norm(dim=-1)
        i, j, image = ((distances < cutoff) & (distances > 0)).nonzero().T
        places.append(pos)
        cells.append(cell)
        sources.append(first + j)
        receivers.append(first + i)
        shifts.append(around[image])
        lengths.append(distances[i, j, image])
        first += size
    nearest = torch.cat(lengths).argsort()
    count = len(nearest)
    return Inputs(
        elements[torch.randint(len(elements), (first,), generator=random)],
        torch.cat(places),
        torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes)),
        torch.stack([torch.cat(sources), torch.cat(receivers)]),
        torch.cat(shifts) if kind.periodic else None,
        torch.stack(cells) if kind.periodic else None,
        tuple(nearest[: count // (2 + scale)].sort().values for scale in range(kind.scales - 1)),
    )


def _moved(tensor: Tensor, random: torch.Generator, trained: bool) -> Tensor:
    """A weight near one of the module but not zero, to be differentiated where it is trained; a buffer as it is."""
    moved = tensor.detach().clone()
    if isinstance(tensor, nn.Parameter) and tensor.is_floating_point():
        noise = torch.randn(tensor.shape, generator=random, dtype=torch.float64).to(tensor)
        moved = moved + 0.05 * noise
    if isinstance(tensor, nn.Parameter) and trained:
        return nn.Parameter(moved, requires_grad=tensor.requires_grad)
    return moved if trained else moved.contiguous()


_OWN = digest(Path(__file__).read_text())


def _what_it_is_on(folder: Path) -> dict[str, Any]:
    """What a verdict is on: torch, processor, code, and the way to prove, by the text of this file."""
    return {"torch": torch.__version__, "machine": machine(), "code": folder.name, "proof": _OWN}
