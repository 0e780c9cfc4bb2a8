"""From a traced graph to compiled code, kept on disk."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pyg_mpnn.deploy.announce import announce
from pyg_mpnn.deploy.cache import keep
from pyg_mpnn.deploy.support import cache_folder, digest, generating, machine, tracing
from pyg_mpnn.deploy.tracing import Traced

Compiled = Callable[[list[Tensor]], list[Tensor]]

_SECONDS_PER_NODE = {"inference": 0.04, "training": 0.1}  # of the graph, on a core of 2024, nothing cached


def generate_inference(traced: Traced, example: list[Tensor]) -> Compiled:
    """Compile a graph ahead of time to a package with a C++ interface, or load it from the cache.

    Args:
        traced: graph without derivatives with respect to the weights.
        example: tensors of the kind that it takes.

    Returns:
        a function of the list of tensors.
    """
    with keep(digest(f"package {_fingerprint(traced, example)}")) as (folder, whole):
        path = folder / "package.pt2"
        if not whole:
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
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch, _quiet():
        with torch.no_grad(), tracing():
            program = torch.export.export(module, arguments, dynamic_shapes=shapes)
        with generating(Path(scratch)):
            package = torch._inductor.aoti_compile_and_package(program, package_path=str(Path(scratch) / "package.pt2"))
        os.replace(package, path)


def load_package(path: Path) -> Compiled:
    """Load an AOTInductor package."""
    run: Compiled = torch._inductor.aoti_load_package(str(path)).loader.run
    return run


def generate_training(traced: Traced, example: list[Tensor]) -> Compiled:
    """Compile a graph and its derivative with respect to the weights; torch keeps the code in the cache folder.

    Args:
        traced: graph whose results are differentiated again.
        example: tensors of the kind that it takes, the weights among them parameters.

    Returns:
        a function of the list of tensors.
    """
    compiled: Any = torch.compile(traced.graph)

    def run(tensors: list[Tensor]) -> list[Tensor]:
        results: list[Tensor] = compiled(*tensors)
        return results

    example = [tensor if isinstance(tensor, nn.Parameter) else tensor.clone() for tensor in example]
    for tensor, axis in zip(example, traced.dynamic, strict=True):
        if axis is not None:
            torch._dynamo.mark_dynamic(tensor, axis)
    weights = [tensor for tensor in example if tensor.requires_grad]
    with keep(digest(f"training {_fingerprint(traced, example)} {torch.get_num_threads()}")) as (folder, whole):
        what = "Loading the training step" if whole else f"Compiling the training step (kept in {cache_folder()})"
        announced = announce(what, expected_seconds(traced, "training") / (10 if whole else 1))
        _find_instructions()
        with announced, _quiet(), generating(folder), tracing(), torch.enable_grad():
            results = run(example)
            torch.autograd.grad(sum(result.sum() for result in results[:-1]), weights, allow_unused=True)  # type: ignore[arg-type]
    return run


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


class _Arguments(nn.Module):
    """A graph as a module of one list, as a package takes it."""

    def __init__(self, graph: nn.Module) -> None:
        super().__init__()
        self.held = (graph,)  # not a part: export would lose its constants

    def forward(self, tensors: list[Tensor]) -> list[Tensor]:
        results: list[Tensor] = self.held[0](*tensors)
        return results


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
