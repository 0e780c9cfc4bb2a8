"""Structures with their errors for chemiscope, which shows them in a browser."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch_geometric.data import Data

from pyg_mpnn.files import write_whole

MOST_ATOMS = 200_000


def write_chemiscope(
    path: Path, frames: Sequence[Data], properties: Mapping[str, tuple[str, Sequence[float | None]]], name: str
) -> int:
    """Write structures and numbers of each; open it at https://chemiscope.org, or by the package chemiscope.

    Args:
        path: ends in ``.json.gz``.
        frames: structures; evenly spaced ones of them where they have more than 200,000 atoms together.
        properties: unit and values, one for each structure, by name; those with a None (unknown) are left out.
        name: of the data set.

    Returns:
        how many structures were written.

    Source:
        the format of chemiscope's JSON input, https://chemiscope.org/docs; G. Fraux et al., J. Open Source Softw. 5,
        2117 (2020).
    """
    atoms = sum(len(frame.z) for frame in frames)
    places = range(0, len(frames), max(1, -(-atoms // MOST_ATOMS)))
    content = {
        "meta": {"name": name},
        "structures": [_structure(frames[place]) for place in places],
        "properties": {
            title: {"target": "structure", "units": unit, "values": [values[place] for place in places]}
            for title, (unit, values) in {"index": ("", range(len(frames))), **properties}.items()
            if None not in values
        },
    }
    with write_whole(path, "wb") as file:
        file.write(gzip.compress(json.dumps(content).encode(), mtime=0))
    return len(places)


def _structure(frame: Data) -> dict[str, Any]:
    from ase.data import chemical_symbols

    x, y, z = frame.pos.double().round(decimals=6).T.tolist()
    found = {"size": len(x), "names": [chemical_symbols[k] for k in frame.z.tolist()], "x": x, "y": y, "z": z}
    if "pbc" in frame and bool(frame.pbc.any()):
        found["cell"] = frame.cell.double().flatten().tolist()
    return found
