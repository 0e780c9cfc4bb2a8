"""The commands of ``pyg-mpnn``: ``inspect``, ``train``, ``evaluate``, ``predict``, ``md`` and the others."""

from __future__ import annotations

try:
    import jsonargparse  # noqa: F401
except ImportError as error:
    raise ImportError(
        'The command pyg-mpnn needs jsonargparse, which is not installed: pip install "pyg_mpnn[train]".'
    ) from error

from pyg_mpnn.cli.check import check_command
from pyg_mpnn.cli.evaluate import evaluate_command
from pyg_mpnn.cli.export import export_command
from pyg_mpnn.cli.inspect import inspect_command
from pyg_mpnn.cli.main import main, make_parser, run_command
from pyg_mpnn.cli.parser import join_files

__all__ = [
    "evaluate_command",
    "check_command",
    "export_command",
    "inspect_command",
    "make_parser",
    "join_files",
    "run_command",
    "main",
]
