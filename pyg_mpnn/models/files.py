"""Files of models: written so that nothing is lost, read without executing code."""

from __future__ import annotations

import os
import pickle
import tempfile
from pathlib import Path
from typing import Any

import torch


def write_file(path: str | Path, content: dict[str, Any]) -> None:
    """Write a file; an existing one is replaced only by a complete one.

    Args:
        path: file to write.
        content: tensors and plain values.
    """
    path = Path(path)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".tmp")
    os.close(handle)
    try:
        torch.save(content, temporary)
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def read_file(path: str | Path, map_location: str | torch.device, expected: str) -> Any:
    """Read a file, without executing code.

    Args:
        path: file to read.
        map_location: device to load to.
        expected: what the file must be, for the message.

    Returns:
        what was written.

    Raises:
        ValueError: the file cannot be read.
    """
    try:
        return torch.load(path, map_location=map_location, weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        first = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(
            f"'path' must be {expected}, got {path}, which cannot be read as one (damaged, or of another program): "
            f"{first}"
        ) from error
