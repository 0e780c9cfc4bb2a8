"""The commands of ``pyg-mpnn``: ``inspect``, ``train``, ``evaluate``, ``predict``, ``md`` and the others."""

from __future__ import annotations

try:
    import jsonargparse  # noqa: F401
except ImportError as error:
    raise ImportError(
        'The command pyg-mpnn needs jsonargparse, which is not installed: pip install "pyg_mpnn[train]".'
    ) from error

from pyg_mpnn.cli.main import COMMANDS, Command, main, make_parser, run_command
from pyg_mpnn.cli.parser import join_files

__all__ = ["COMMANDS", "Command", "make_parser", "join_files", "run_command", "main"]
