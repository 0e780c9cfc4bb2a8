"""The three searches behind :func:`neighbor_list`: each finds, unsorted, every pair within a reach."""

from __future__ import annotations

import importlib
from functools import cache
from types import ModuleType
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pyg_mpnn.geometry.grid import search_torch
from pyg_mpnn.geometry.structures import Structures, heights

_MAX_NEIGHBORS = 100_000  # a sphere of 50 A in dense matter
_VESIN_BINS = 100_000  # vesin 0.6

Array = npt.NDArray[np.float64]
Backend = Literal["auto", "torch-cluster", "vesin", "torch"]


def search(structures: Structures, reach: float, backend: Backend) -> tuple[Tensor, Tensor]:
    """Edge index and shifts, unsorted, of every pair closer than ``reach`` (and perhaps a rounding error further)."""
    check_backend(backend)
    _check_size(structures, reach)
    if backend == "auto":
        backend = _choose(structures)
    if backend == "torch-cluster":
        return _search_cluster(structures, reach)
    if backend == "vesin":
        return _search_vesin(structures, reach)
    return search_torch(structures, reach)


def check_backend(backend: str) -> None:
    """Refuse a word that names no search."""
    if backend not in get_args(Backend):
        raise ValueError(f"'backend' must be one of {get_args(Backend)}, got {backend!r}: choose one of these.")


def _check_size(structures: Structures, reach: float) -> None:
    """Refuse cells so small, or cutoffs so long, that an atom would have more neighbours than any computer takes."""
    if structures.cell is None or structures.pbc is None:
        return
    atoms = torch.bincount(structures.batch.cpu(), minlength=structures.num_graphs)
    across = torch.where(structures.pbc, 2.0 * reach / heights(structures.cell), 1.0)  # cells within reach
    number = atoms * across.prod(dim=1)
    if bool((number > _MAX_NEIGHBORS).any()):
        graph = int(number.argmax())
        raise ValueError(
            f"'cutoff' must leave an atom at most {_MAX_NEIGHBORS} neighbours, got about {float(number[graph]):.1e} "
            f"for {reach:.4g} A in graph {graph}, {int(atoms[graph])} atoms in {structures.cell[graph].tolist()}: "
            "check the units of both."
        )


def _choose(structures: Structures) -> Backend:
    """Open systems: torch-cluster where it runs. Else vesin on the CPU, torch on other devices (vesin is CPU only)."""
    # The order is the one of speed. CPU ms of one call of neighbor_list at 5 A, for 21 atoms / 32 such molecules /
    # 10,000 atoms: torch-cluster 0.18 / 1.1 / 74, vesin 0.23 / 1.8 / 89, torch 0.49 / 2.5 / 240; periodic, 21 / 10,000
    # atoms: vesin 0.57 / 180, torch 1.2 / 420.
    on_cpu = structures.pos.device.type == "cpu"
    cluster = _optional("torch_cluster") if structures.cell is None else None
    if cluster is not None and (on_cpu or torch.ops.torch_cluster.cuda_version() != -1):
        return "torch-cluster"
    return "vesin" if on_cpu and _optional("vesin") is not None else "torch"


def _search_cluster(structures: Structures, reach: float) -> tuple[Tensor, Tensor]:
    if structures.cell is not None:
        raise ValueError(
            "'backend' must be 'vesin', 'torch' or 'auto' for periodic structures, got 'torch-cluster': choose one."
        )
    cluster = _required("torch_cluster", 'pip install "pyg_mpnn[cluster]"')
    bound = 128
    while True:
        edge_index: Tensor = cluster.radius_graph(
            structures.pos,
            reach,
            structures.batch,
            loop=False,
            max_num_neighbors=bound,
            batch_size=structures.num_graphs,
        )
        # torch-cluster drops what exceeds the bound and does not say so: no centre may come near the bound.
        if edge_index.shape[1] == 0 or int(torch.bincount(edge_index[1]).max()) < bound:
            return edge_index, edge_index.new_zeros(edge_index.shape[1], 3)
        bound *= 2


def _search_vesin(structures: Structures, reach: float) -> tuple[Tensor, Tensor]:
    # One thread: two gained nothing on 10,000 atoms, and left alone vesin starts one for every core.
    vesin = _required("vesin", "pip install vesin")
    whole = vesin.NeighborList(cutoff=reach, full_list=True, n_threads=1)
    pos = structures.pos.to("cpu", torch.float64).numpy()
    stop = torch.bincount(structures.batch, minlength=structures.num_graphs).cumsum(0).tolist()
    pairs, shifts = [np.zeros((0, 2), np.int64)], [np.zeros((0, 3), np.int64)]
    for graph, (first, last) in enumerate(zip([0, *stop[:-1]], stop, strict=True)):
        if last > first:
            points = pos[first:last]
            cell, periodic = _vesin_cell(structures, graph, points, reach)
            if _divides_by_zero(points, cell, periodic, reach):
                return search_torch(structures, reach)
            farthest = 1.0 + 2.0 * float(np.linalg.norm(np.ptp(points, axis=0)))
            short = not periodic and reach > farthest  # a reach far beyond a molecule costs vesin its third power
            calculator = vesin.NeighborList(cutoff=farthest, full_list=True, n_threads=1) if short else whole
            found, shift = calculator.compute(points, cell, periodic, "PS", copy=False)
            pairs.append(found.view(np.int64) + first)
            shifts.append(shift.astype(np.int64))  # a copy: the next call overwrites vesin's memory
    device = structures.pos.device
    centre_neighbor = torch.from_numpy(np.concatenate(pairs)).to(device)
    return centre_neighbor.t().flip(0).contiguous(), torch.from_numpy(np.concatenate(shifts)).to(device)


def _vesin_cell(structures: Structures, graph: int, points: Array, reach: float) -> tuple[Array, bool]:
    """The cell with its non-periodic vectors so long that images along them are out of reach, as fully periodic.

    With some directions periodic and others not, vesin 0.6 takes seconds for a few atoms spread over many cutoffs.
    """
    if structures.cell is None or structures.pbc is None or not bool(structures.pbc[graph].any()):
        return np.zeros((3, 3)), False
    cell = structures.cell[graph].numpy()
    lengths = np.ptp(points @ cell.T, axis=0) + 2.0 * reach  # non-periodic vectors are unit vectors
    return np.where(structures.pbc[graph, :, None].numpy(), cell, cell * lengths[:, None]), True


def _divides_by_zero(points: Array, cell: Array, periodic: bool, reach: float) -> bool:
    """Whether vesin's grid, which has at most 1e5 bins and the shape of the cell, would have none along an edge."""
    lengths = 1.0 / np.linalg.norm(np.linalg.inv(cell), axis=0) if periodic else np.ptp(points, axis=0)
    bins = np.maximum(lengths / reach, 1.0)
    shrink = (_VESIN_BINS / bins.prod()) ** (1.0 / 3.0)
    return bool(shrink < 1.0 and (bins * shrink).min() < 2.0)


@cache
def _optional(module: str) -> ModuleType | None:
    try:
        return importlib.import_module(module)
    except (ImportError, OSError):  # OSError: compiled for another version of torch
        return None


def _required(module: str, command: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except (ImportError, OSError) as error:
        name = module.replace("_", "-")
        raise ImportError(
            f"'backend' must name an installed package, got {name!r}, which does not import ({error}): "
            f"run {command}, or pass backend='auto'."
        ) from error
