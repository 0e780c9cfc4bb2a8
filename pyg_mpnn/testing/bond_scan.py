"""Energy and force along a bond, and a picture of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch_geometric.data import Data

from pyg_mpnn.files import write_picture
from pyg_mpnn.testing.law import as_structures
from pyg_mpnn.testing.laws.smoothness import leaving
from pyg_mpnn.testing.probes import atoms, elements
from pyg_mpnn.testing.subject import as_subject


def bond_scan(model: Any, structures: Data | Sequence[Data], *, points: int = 400, **adapter: Any) -> dict[str, Any]:
    """Energy and force of two atoms by their distance, from 0.5 A through every cutoff.

    Args:
        model: the potential, see :func:`as_subject`.
        structures: structures whose two most frequent elements are taken.
        points: number of distances.
        **adapter: arguments of :func:`as_subject`.

    Returns:
        ``distance`` (A), ``energy`` (eV, zero out of reach) ``force`` along the bond (eV/A), the ``cutoff`` radii (A),
        and ``elements``, the atomic numbers of the two.
    """
    subject = as_subject(model, **adapter)
    if not subject.cutoffs:
        raise ValueError("'cutoff' must be given for a scan through it, got a model that declares to have none")
    z = elements(as_structures(structures))
    pair = [int(z[0]), int(z[min(1, len(z) - 1)])]
    path = leaving(atoms(pair, torch.zeros(2, 3)), 1, torch.tensor([0.6, 0.48, 0.64]))
    places = torch.linspace(0.5, 1.15 * subject.cutoffs[-1], points).tolist()
    energy, force = path.energy_and_force(subject, places)
    scan = {"distance": places, "energy": (energy - energy[-1]).tolist(), "force": force.tolist()}
    return scan | {"cutoff": list(subject.cutoffs), "elements": pair}


def draw_scan(scan: Mapping[str, Any], path: str | Path, title: str = "") -> None:
    """Draw energy and force along a bond scan, as a whole and near the largest cutoff.

    Args:
        scan: ``distance``, ``energy``, ``force``, ``cutoff`` and ``elements`` of :func:`bond_scan`.
        path: file to write.
        title: title of the picture.

    Raises:
        ImportError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError('The picture needs matplotlib, which is missing: pip install "pyg_mpnn[md]".') from error

    figure = Figure(figsize=(8.5, 5.0), layout="constrained")
    axes = figure.subplots(2, 2, sharex="col")
    figure.suptitle(title)
    names = "-".join(map(_symbol, scan["elements"]))
    cutoffs, largest = scan["cutoff"], scan["cutoff"][-1]
    near = [k for k, distance in enumerate(scan["distance"]) if 0.85 * largest < distance < 1.08 * largest]
    for row, (name, unit) in enumerate((("energy", "meV"), ("force", "meV/Å"))):
        values = [1000.0 * value for value in scan[name]]
        for column, points in enumerate((range(len(values)), near)):
            axis = axes[row][column]
            axis.plot([scan["distance"][k] for k in points], [values[k] for k in points], color="C0")
            axis.axhline(0.0, color="0.8", linewidth=0.8, zorder=0)
            for cutoff in cutoffs if column == 0 else cutoffs[-1:]:
                axis.axvline(cutoff, color="C3", linewidth=0.8, linestyle="--")
        axes[row][0].set_ylabel(f"{name} ({unit})")
    axes[0][0].set_title("the whole scan (dashed: cutoff)", fontsize=10)
    axes[0][1].set_title("near the cutoff: smooth and flat at the end", fontsize=10)
    for column in range(2):
        axes[1][column].set_xlabel(f"distance {names} (Å)")
    write_picture(path, figure.savefig, dpi=150)


def _symbol(number: int) -> str:
    """The chemical symbol where ASE, which has the table, is installed, else the atomic number."""
    try:
        from ase.data import chemical_symbols
    except ImportError:
        return f"Z={number}"
    return str(chemical_symbols[number])
