"""From a traced graph to compiled code, kept on disk."""

from __future__ import annotations

import errno
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from pyg_mpnn.deploy.announce import announce
from pyg_mpnn.deploy.cache import CacheError, cache_error, keep, make_private
from pyg_mpnn.deploy.own_process import Packed, in_own_process
from pyg_mpnn.deploy.proof import (
    NotProven,
    Verdict,
    judge,
    may_end_the_process,
    read_verdict,
    require_proven,
    write_verdict,
)
from pyg_mpnn.deploy.support import CompilationError, cache_folder, digest, generating, machine, tracing
from pyg_mpnn.deploy.tracing import Traced
from pyg_mpnn.deploy.trials import Trial, results_of
from pyg_mpnn.files import replace_whole

Compiled = Callable[[list[Tensor]], list[Tensor]]
Purpose = Literal["inference", "training"]

_SECONDS_PER_NODE = {"inference": 0.04, "training": 0.1}  # of the graph, on a core of 2024, nothing cached


def generate(purpose: Purpose, traced: Traced, example: list[Tensor], trials: Callable[[], list[Trial]]) -> Compiled:
    """Compile a graph or load its code from the cache, and show once that it computes what eager evaluation does.

    For training a graph is compiled with its derivative; for inference ahead of time, to a package with a C++
    interface. What the proof found is kept with the code.

    Args:
        purpose: ``"inference"``, or ``"training"`` where the results are differentiated again.
        traced: the graph.
        example: tensors of the kind that it takes, the weights among them parameters.
        trials: makes batches with their eager results, if they are needed.

    Returns:
        a function of the list of tensors.

    Raises:
        NotProven: compiled results are others than eager ones, or the code ends its process.
        CompilationError: the code could not be made in a process of its own.
    """
    make, name, run = MAKERS[purpose], _name(purpose, traced, example), None
    with keep(name) as (folder, whole):
        verdict = read_verdict(folder) if whole else None
        if verdict is None and may_end_the_process(example[0].device):
            what = f"Compiling and comparing with eager results in a process of its own (kept in {cache_folder()})"
            seconds, start = expected_seconds(traced, purpose), time.monotonic()
            with announce(what, seconds + 20):
                batches = trials()
                tensors = [batch.tensors for batch in batches]
                task = (purpose, Packed.of(traced.graph), traced.dynamic, example, tensors, folder)
                results, reason = in_own_process(_make_and_evaluate, task, folder.parent, seconds)
            others: dict[str, Any] = {"own_process": True, "seconds": round(time.monotonic() - start, 2)}
            if results is None:
                verdict = Verdict.of(folder, reason, {}, tolerance={}, **others)
            else:
                verdict = judge(folder, results, batches, **others)
        elif verdict is None:
            run = make(traced, example, folder)
            start, batches = time.monotonic(), trials()
            found = [results_of(run, batch.tensors, purpose == "training") for batch in batches]
            others = {"own_process": False, "seconds": round(time.monotonic() - start, 2)}
            verdict = judge(folder, found, batches, **others)
        write_verdict(folder, verdict)
        if verdict.proven and run is None:
            run = make(traced, example, folder)
    require_proven(verdict, folder)
    assert run is not None
    return run


def _make_and_evaluate(
    purpose: Purpose,
    graph: Packed,
    dynamic: tuple[int | None, ...],
    example: list[Tensor],
    batches: list[list[Tensor]],
    folder: Path,
) -> list[dict[str, Tensor]]:
    """Make code in its folder and evaluate batches with it: what a process of its own does."""
    run = MAKERS[purpose](Traced(graph.unpack(), (), dynamic), example, folder)
    return [results_of(run, tensors, purpose == "training") for tensors in batches]


def _package(traced: Traced, example: list[Tensor], folder: Path) -> Compiled:
    """Load a package from its folder, where it is built if it is not there."""
    path = folder / "package.pt2"
    if not path.exists():
        what = f"Compiling energies and forces (kept in {cache_folder()})"
        with announce(what, expected_seconds(traced, "inference")):
            _find_instructions()
            build_package(traced, example, path)
    return load_package(path)


def build_package(traced: Traced, example: list[Tensor], path: Path) -> None:
    """Compile a graph to a package that takes the list of its tensors.

    Args:
        traced: graph to compile.
        example: tensors of the kind that it takes.
        path: file to write; an existing one is replaced only by a complete one.
    """
    free = torch.export.Dim.DYNAMIC
    shapes = [None if axis is None else {axis: free} for axis in traced.dynamic]
    build(_Arguments(traced.graph), ([tensor.detach().contiguous() for tensor in example],), (shapes,), path)


def build(module: nn.Module, arguments: tuple[Any, ...], shapes: tuple[Any, ...], path: Path) -> None:
    """Compile a module ahead of time to an AOTInductor package.

    Args:
        module: what to compile, without derivatives.
        arguments: an example of its arguments.
        shapes: the axes of free length of each, as ``torch.export`` takes them.
        path: file to write; an existing one is replaced only by a complete one.
    """
    make_private(cache_folder())  # torch's headers are kept there
    with replace_whole(path) as package, _quiet():
        with torch.no_grad(), tracing():
            program = torch.export.export(module, arguments, dynamic_shapes=shapes)
        with generating(package.parent):
            made = torch._inductor.aoti_compile_and_package(program, package_path=str(package.with_suffix(".pt2")))
        Path(made).rename(package)


def load_package(path: Path) -> Compiled:
    """Load an AOTInductor package."""
    run: Compiled = torch._inductor.aoti_load_package(str(path)).loader.run
    return run


def _training_step(traced: Traced, example: list[Tensor], folder: Path) -> Compiled:
    """Compile a graph and its derivative with respect to the weights; torch keeps the code in the folder."""
    whole = any(folder.glob("*/*"))
    compiled: Any = torch.compile(traced.graph)

    def run(tensors: list[Tensor]) -> list[Tensor]:
        results: list[Tensor] = compiled(*tensors)
        return results

    example = [tensor if isinstance(tensor, nn.Parameter) else tensor.clone() for tensor in example]
    for tensor, axis in zip(example, traced.dynamic, strict=True):
        if axis is not None:
            torch._dynamo.mark_dynamic(tensor, axis)
    weights = [tensor for tensor in example if tensor.requires_grad]
    what = "Loading the training step" if whole else f"Compiling the training step (kept in {cache_folder()})"
    announced = announce(what, expected_seconds(traced, "training") / (10 if whole else 1))
    _find_instructions()
    with announced, _quiet(), generating(folder), tracing(), torch.enable_grad():
        results = run(example)
        torch.autograd.grad(sum(result.sum() for result in results[:-1]), weights, allow_unused=True)  # type: ignore[arg-type]
    return run


MAKERS: dict[Purpose, Callable[[Traced, list[Tensor], Path], Compiled]] = {
    "inference": _package,
    "training": _training_step,
}


def _find_instructions() -> None:
    """Let torch find the vector instructions of this processor, by the small programs that an earlier process compiled.

    Torch compiles them in each process anew where its cache folder is another one each time. Where a torch has no such
    function, it does as it would.
    """
    try:
        from torch._inductor.cpu_vec_isa import pick_vec_isa
    except ImportError:
        return
    with keep(digest(f"instructions {machine()}")) as (folder, _), generating(folder):
        pick_vec_isa()


_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG)


def why_not_made(error: Exception) -> str:
    """Why a traced graph was not compiled or loaded: the proof, the cache folder, or else something in torch.

    Args:
        error: what was raised.

    Returns:
        a reason with what to do about it.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, (CacheError, NotProven, CompilationError)):
            return str(cause)
        if isinstance(cause, OSError) and cause.errno in _DISK:
            return str(cache_error(cause))
        cause = cause.__cause__ or cause.__context__
    if "specialized it to be a constant" in str(error):
        return (
            "a part of it fixes a number of atoms or edges: take tensor.shape[0] in blocks of your own, not len(tensor)"
        )
    return f"torch could not make or load the code: {first_line(error)}"


def first_line(error: Exception) -> str:
    """The name of an error and the first line of its message."""
    return f"{type(error).__name__}: {next(iter(str(error).strip().splitlines()), '')}"


class _Arguments(nn.Module):
    """A graph as a module of one list, as a package takes it."""

    def __init__(self, graph: nn.Module) -> None:
        super().__init__()
        self.held = (graph,)  # not a part: export would lose its constants

    def forward(self, tensors: list[Tensor]) -> list[Tensor]:
        results: list[Tensor] = self.held[0](*tensors)
        return results


def _name(purpose: str, traced: Traced, example: list[Tensor]) -> str:
    """Digest of all that a piece of code depends on."""
    if purpose == "training":
        return digest(f"training {_fingerprint(traced, example)} {torch.get_num_threads()}")
    return digest(f"package {_fingerprint(traced, example)}")


def _fingerprint(traced: Traced, example: list[Tensor]) -> str:
    """Everything that generated code depends on."""
    constants = [f"{name} {tensor.dtype} {tensor.tolist()}" for name, tensor in traced.graph.named_buffers()]
    shapes = [
        f"{tensor.dtype} {tuple(tensor.shape) if axis is None else tensor.ndim}"
        for tensor, axis in zip(example, traced.dynamic, strict=True)
    ]
    return "\n".join([machine(), traced.graph.code, *constants, *shapes])


def expected_seconds(traced: Traced, purpose: str) -> float:
    """How long compiling will take, from the size of the graph.

    Args:
        traced: graph to compile.
        purpose: ``"inference"`` or ``"training"``.

    Returns:
        seconds, where nothing is cached.
    """
    return _SECONDS_PER_NODE[purpose] * len(traced.graph.graph.nodes)


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide what torch says to its own developers while it compiles."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
