"""Where compilation is proven to work, the private settings of torch that it needs, and where results are kept."""

from __future__ import annotations

import hashlib
import importlib
import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from pyg_mpnn.arguments import check_whole


class CompilationError(RuntimeError):
    """Energies and forces cannot be compiled, and it was asked that they must."""


def why_not(device: torch.device) -> str | None:
    """Why energies and forces cannot be compiled here, or ``None`` where they can.

    Args:
        device: where the potential is.

    Returns:
        a reason with what to do about it.
    """
    compiler = os.environ.get("CXX", "g++")
    if device.type == "cpu" and shutil.which(compiler) is None:
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


def header_folder() -> Path:
    """Where torch keeps the headers that it compiles once: in our cache folder, not in one of all users."""
    return cache_folder() / "headers"


@contextmanager
def tracing() -> Iterator[None]:
    """Keep apart sizes that happen to be equal in the example (a private setting of torch)."""
    with _changed((_module("torch.fx.experimental._config"), "use_duck_shape", False)):
        yield


@contextmanager
def generating(folder: Path) -> Iterator[None]:
    """Settings of code generation, private ones of torch, each where this torch has it.

    No buffer is given away that a second backward reads, and biases are left to fusion. Loops are for one thread, and
    the matrix products between them take as many as torch has: loops of several threads add to the atoms with atomic
    instructions, in another order every time. Nothing is decided by the length of the example, for torch would compile
    again for batches on the other side of its limit: sums whose length is free are made in cascades whatever it is
    (torch's limit is 4096), and products with a free length are not taken apart (torch's limit is 32 for both factors
    together). Headers that torch compiles once stay in the user's own folder, for torch's is under /tmp, by a name that
    somebody else could have taken. What a package says of its machine is forgotten afterwards: torch would keep it
    among its settings, so that a training compiled after a package would not be found again by a process that loads it.

    Args:
        folder: where torch keeps its files meanwhile, whatever ``TORCHINDUCTOR_CACHE_DIR`` says.

    Yields:
        nothing.
    """
    inductor, codecache = _module("torch._inductor.config"), _module("torch._inductor.codecache")
    decomposition = _module("torch._inductor.decomposition")
    kernel = getattr(_module("torch._inductor.codegen.cpp"), "CppKernel", None)
    decide = getattr(kernel, "need_use_acc_helper", None)

    def cascade(kernel: Any, reduction_type: str, dtype: torch.dtype, *others: Any, **options: Any) -> bool:
        assert decide is not None
        ranges = getattr(kernel, "call_ranges", None) or ()
        free = any(getattr(size, "free_symbols", None) for size in ranges[getattr(kernel, "reduction_depth", 0) :])
        if free and reduction_type == "sum" and dtype == torch.float:
            return True
        return bool(decide(kernel, reduction_type, dtype, *others, **options))

    changes = [
        (_module("torch._functorch.config"), "donated_buffer", False),
        (inductor, "pattern_matcher", False),
        (getattr(inductor, "cpp", None), "threads", 1),
        (kernel, "need_use_acc_helper", cascade),
        (decomposition, "guard_or_false", getattr(decomposition, "statically_known_true", None)),
        (getattr(inductor, "aot_inductor", None), "metadata", {}),
        (codecache, "_HEADER_DIR", str(header_folder())),
        (codecache, "_HEADER_LOCK_DIR", str(header_folder() / "locks")),
    ]
    forget = getattr(getattr(codecache, "_precompile_header", None), "cache_clear", lambda: None)  # of other folders
    before = os.environ.get("TORCHINDUCTOR_CACHE_DIR")
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder)
    forget()
    try:
        with _changed(*(change for change in changes if change[2] is not None)):
            yield
    finally:
        forget()
        if before is None:
            os.environ.pop("TORCHINDUCTOR_CACHE_DIR", None)
        else:
            os.environ["TORCHINDUCTOR_CACHE_DIR"] = before


def _module(name: str) -> Any:
    """A private module of torch, ``None`` where this torch has none."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


@contextmanager
def _changed(*changes: tuple[Any, str, Any]) -> Iterator[None]:
    """Give attributes other values for a while, where they exist: owner, name and value of each."""
    there = [(owner, name, value, getattr(owner, name)) for owner, name, value in changes if hasattr(owner, name)]
    try:
        for owner, name, value, _ in there:
            setattr(owner, name, value)
        yield
    finally:
        for owner, name, _, old in there:
            setattr(owner, name, old)
