"""Potentials that come with the package, by name: weights, and a model card each (``organic.md``)."""

from __future__ import annotations

from pathlib import Path

__all__ = ["PRETRAINED", "model_file"]

PRETRAINED = ("organic", "organic-small")
"""Names that stand for a shipped potential wherever the file of a model is asked for."""


def model_file(path: str | Path) -> Path:
    """The file of a model: of a shipped potential where a name says so, and no file of that name is in its way.

    Args:
        path: a file, or a name of :data:`PRETRAINED`.

    Returns:
        the file, which need not exist.

    Example:
        >>> model_file("organic").is_file(), model_file("run/best.ckpt")
        (True, PosixPath('run/best.ckpt'))
    """
    if str(path) in PRETRAINED and not Path(path).is_file():
        return Path(__file__).with_name(f"{path}.pt")
    return Path(path)
