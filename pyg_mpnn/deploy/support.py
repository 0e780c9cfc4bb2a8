"""Where compilation is proven to work, the private settings of torch that it needs, and where results are kept."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from pyg_mpnn.arguments import check_whole

TESTED_TORCH = ("2.13",)
"""Versions of torch that the tests of this package compile with; the settings below are theirs."""


class CompilationError(RuntimeError):
    """Energies and forces cannot be compiled, and it was asked that they must."""


def why_not(device: torch.device) -> str | None:
    """Why energies and forces cannot be compiled here, or ``None`` where they can.

    Args:
        device: where the potential is.

    Returns:
        a reason with what to do about it.
    """
    release = ".".join(torch.__version__.split(".")[:2])
    if release not in TESTED_TORCH:
        return f"it is tested with torch {' and '.join(TESTED_TORCH)}, not with {torch.__version__}"
    if device.type != "cpu":
        return f"it is tested on CPUs only, and the potential is on {device}"
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None:
        return f"there is no C++ compiler {compiler!r}: install one, or name yours in the environment variable CXX"
    return None


@torch.compiler.disable(reason="a potential is compiled by potential.compile(), not by torch.compile(potential)")  # type: ignore[no-untyped-call, untyped-decorator]
def refuse_outer_compilation() -> None:
    """Say what compiles a potential: ``torch.compile`` does not differentiate twice through its own backward.

    Raises:
        CompilationError: always.
    """
    raise CompilationError(
        "a potential must be compiled by its own method, got torch.compile(potential), which takes no forces: call "
        "potential.compile() instead, or compile a program around it with torch.compiler.disable"
    )


def threads_for(mode: str, threads: int | None) -> int | None:
    """CPU threads of a run: those asked for, else one where it compiles, whose loops are for one thread.

    Args:
        mode: whether it compiles: ``auto``, ``on`` or ``off``.
        threads: what was asked for, or ``None``.

    Returns:
        their number; ``None`` leaves it to torch.

    Raises:
        ValueError: a number below 1.
    """
    if threads is not None:
        check_whole(threads=threads)
    return 1 if threads is None and mode != "off" else threads


def cache_folder() -> Path:
    """Folder that keeps compiled code across runs: ``PYG_MPNN_CACHE``, or ``pyg_mpnn`` in the user's cache folder."""
    own = os.environ.get("PYG_MPNN_CACHE")
    shared = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return Path(own) if own else shared / "pyg_mpnn"


def code_folder() -> Path:
    """Where in the cache folder the code is that the settings of this file made: code of others is not found again."""
    return cache_folder() / digest(Path(__file__).read_text())


def machine() -> str:
    """What generated code depends on beside its source: torch and the instructions of this processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())
    return f"{torch.__version__} {platform.machine()} {digest(flags)}"


def digest(text: str) -> str:
    """Short fingerprint of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@contextmanager
def tracing() -> Iterator[None]:
    """Keep apart sizes that happen to be equal in the example (a private setting of torch)."""
    import torch.fx.experimental._config as symbolic

    old = symbolic.use_duck_shape
    symbolic.use_duck_shape = False
    try:
        yield
    finally:
        symbolic.use_duck_shape = old


@contextmanager
def generating(folder: Path) -> Iterator[None]:
    """Settings of code generation.

    No buffer is given away that a second backward reads, and biases are left to fusion. Loops are for one thread, and
    the matrix products between them take as many as torch has: loops of several threads add to the atoms with atomic
    instructions, in another order every time. Nothing is decided by the length of the example, for torch would compile
    again for batches on the other side of its limit: sums whose length is free are made in cascades whatever it is
    (torch's limit is 4096), and products with a free length are not taken apart (torch's limit is 32 for both factors
    together). What a package says of its machine is forgotten afterwards: torch would keep it among its settings, so
    that a training compiled after a package would not be found again by a process that loads it.

    Args:
        folder: where torch keeps its files meanwhile, whatever ``TORCHINDUCTOR_CACHE_DIR`` says.

    Yields:
        nothing.
    """
    import torch._functorch.config as functorch
    import torch._inductor.config as inductor
    import torch._inductor.decomposition
    from torch._inductor.codegen.cpp import CppKernel

    old = functorch.donated_buffer, inductor.pattern_matcher, CppKernel.need_use_acc_helper, inductor.cpp.threads
    decomposition: Any = torch._inductor.decomposition
    decide = decomposition.guard_or_false
    metadata, inductor.aot_inductor.metadata = inductor.aot_inductor.metadata, {}
    before = os.environ.get("TORCHINDUCTOR_CACHE_DIR")
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder)

    def cascade(kernel: CppKernel, reduction_type: str, dtype: torch.dtype, use_scalar: bool) -> bool:
        assert kernel.call_ranges is not None
        free = any(getattr(size, "free_symbols", None) for size in kernel.call_ranges[kernel.reduction_depth :])
        if free and reduction_type == "sum" and dtype == torch.float:
            return True
        return bool(old[2](kernel, reduction_type, dtype, use_scalar))  # type: ignore[no-untyped-call]

    functorch.donated_buffer, inductor.pattern_matcher, inductor.cpp.threads = False, False, 1
    CppKernel.need_use_acc_helper = cascade  # type: ignore[method-assign]
    decomposition.guard_or_false = decomposition.statically_known_true
    try:
        yield
    finally:
        functorch.donated_buffer, inductor.pattern_matcher, CppKernel.need_use_acc_helper, inductor.cpp.threads = old  # type: ignore[method-assign]
        decomposition.guard_or_false = decide
        inductor.aot_inductor.metadata = metadata
        if before is None:
            del os.environ["TORCHINDUCTOR_CACHE_DIR"]
        else:
            os.environ["TORCHINDUCTOR_CACHE_DIR"] = before
