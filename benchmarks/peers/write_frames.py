"""Writes the file that `frames.Frames` reads."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from torch_geometric.data import Data

from pyg_mpnn.data import StructureDataset, fit_reference, split_frames
from pyg_mpnn.training.evaluate import load_frames

VALID_SIZE = 50


def files(molecule: str, folder: str | None) -> tuple[str, str]:
    """The training and the test file of a molecule; the shipped ethanol without a folder."""
    if folder is None:
        return "ethanol", "ethanol"
    return f"{folder}/rmd17_{molecule}_train_01.npz", f"{folder}/rmd17_{molecule}_test_01.npz"


def write_frames(path: Path, data: tuple[str, str], seed: int, cutoff: float, count: int | None) -> str:
    """Write the frames of both files with their edges; the hash of the split is returned.

    Args:
        path: file to write.
        data: training and test file.
        seed: seed of the split, which is that of `pyg_mpnn.training`.
        cutoff: of the edges, in A.
        count: how many frames of the test file; all without it.
    """
    seen, tested = load_frames(data[0]), load_frames(data[1], "test")[:count]
    train, valid = split_frames(len(seen), VALID_SIZE, seed)
    reference = fit_reference([seen[index] for index in train], cutoff)
    dataset = StructureDataset([*seen, *tested], cutoff)
    frames: list[Data] = dataset.frames
    z = frames[0].z
    if any(len(frame.z) != len(z) or bool((frame.z != z).any()) for frame in frames):
        raise ValueError("'data' must hold frames of one molecule, got several compositions or orders of atoms.")
    np.savez(
        path,
        z=z.numpy(),
        pos=np.stack([frame.pos.numpy() for frame in frames]),
        energy=np.array([float(frame.energy) for frame in frames]),
        forces=np.stack([frame.forces.numpy() for frame in [*seen, *tested]]),
        edge_index=np.concatenate([frame.edge_index.numpy() for frame in frames], axis=1),
        num_edges=np.array([frame.edge_index.shape[1] for frame in frames]),
        scale=reference.scale,
        energy_zero=sum(reference.energies[int(number)] for number in z),
        neighbors=reference.neighbors[0],
        train=np.array(train),
        valid=np.array(valid),
        test=np.arange(len(seen), len(frames)),
    )
    return hashlib.sha256(",".join(map(str, train)).encode()).hexdigest()
