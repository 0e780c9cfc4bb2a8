"""A fingerprint of the data, for the model card."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from torch_geometric.data import Data

_FIELDS = ("z", "pos", "cell", "pbc", "energy", "forces", "stress", "weight", "target")


def data_hash(source: str | Path | Sequence[Data], labels: Iterable[str] = ()) -> str:
    """SHA-256 of a file, or of structures in memory.

    A file gives the hash of its bytes, the one that ``sha256sum`` prints. Structures give the hash of their values as
    little-endian float64 with names and shapes, in order: equal for the same structures in the same order and
    precision, whatever file they came from. The two kinds of hash never agree.

    Args:
        source: a file, or structures with the field names of this package.
        labels: further fields of structures that count.

    Returns:
        64 hexadecimal digits.

    Raises:
        FileNotFoundError: ``source`` is a path without a file.

    Example:
        >>> from pyg_mpnn.data import ethanol
        >>> data_hash(ethanol("train")) == data_hash(ethanol("test"))
        False
    """
    digest = hashlib.sha256()
    if isinstance(source, (str, Path)):
        if not Path(source).is_file():
            raise FileNotFoundError(f"'source' must be a file, got {str(source)!r}, which is none.")
        digest.update(Path(source).read_bytes())
        return digest.hexdigest()
    frames: Sequence[Data] = source
    for frame in frames:
        for name in (*_FIELDS, *sorted(labels)):
            if name in frame:
                values = frame[name].detach().cpu().double().numpy()
                digest.update(f"{name}{values.shape}".encode())
                digest.update(values.astype("<f8").tobytes())
    return digest.hexdigest()
