"""Whether a file of (extended) XYZ is read to its end."""

from __future__ import annotations

from pathlib import Path


class Unreadable(ValueError):
    """What is said of a file by this package, not by the reader of its format."""


def format_of(path: Path) -> str:
    """ASE's name of the format of a file.

    Args:
        path: The file; what follows an ``@`` in its name counts for nothing.

    Returns:
        the name.
    """
    from ase.io.formats import filetype

    name, at, _ = path.name.rpartition("@")
    return str(filetype(name, read=False) if at and "." in name else filetype(str(path)))


def check_whole(path: Path) -> None:
    """Refuse an XYZ file whose reader would stop before its end: ASE's ends at the first empty line between frames.

    Args:
        path: A file; one of another format passes.

    Raises:
        Unreadable: There is text behind an empty line.
    """
    import ase.io.formats

    if format_of(path) not in ("xyz", "extxyz"):
        return
    with ase.io.formats.open_with_compression(str(path), "r") as file:
        lines = enumerate(file, start=1)
        frames = 0
        for number, line in lines:
            if not line.strip():
                behind = next((k for k, text in lines if text.strip()), None)
                if behind is not None:
                    raise Unreadable(
                        f"'path' must hold structures without empty lines between them, got line {number} of {path} "
                        f"empty and text in line {behind}: ASE reads only the {frames} structures above it; remove "
                        "the line."
                    )
                return
            if line.lstrip().startswith("VEC"):  # a cell of plain XYZ, behind the atoms
                continue
            try:
                rest = int(line) + 1
            except ValueError:
                return  # not as it should be: its reader says why
            for _ in range(rest):
                next(lines, None)
            frames += 1
