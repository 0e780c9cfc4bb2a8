"""Compiled energies and forces."""

from __future__ import annotations

from pyg_mpnn.deploy.allocator import keep_freed_memory
from pyg_mpnn.deploy.compiler import CompileMode, Compiler
from pyg_mpnn.deploy.export import export_package
from pyg_mpnn.deploy.support import CompilationError, refuse_outer_compilation, threads_for, why_not
from pyg_mpnn.deploy.tracing import Inputs

__all__ = [
    "CompilationError",
    "CompileMode",
    "Compiler",
    "Inputs",
    "export_package",
    "keep_freed_memory",
    "refuse_outer_compilation",
    "threads_for",
    "why_not",
]
