"""The structures of a training, split, with what is fitted to them and where they come from."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch_geometric.data import Data

from pyg_mpnn.data import (
    Reference,
    StreamedDataset,
    StructureDataset,
    data_hash,
    fit_reference,
    normalize_fields,
    split_frames,
)
from pyg_mpnn.data.frames import check_frame
from pyg_mpnn.data.stream import StreamedFrames
from pyg_mpnn.training.batch_sampler import fill_batches
from pyg_mpnn.training.evaluate import load_frames
from pyg_mpnn.training.settings import TrainingSettings


@dataclass(frozen=True)
class TrainingData:
    """Structures to train on, to validate and to test, and what was fitted to the first.

    Args:
        train: Structures to train on; where they are streamed, read from the disk when they are asked for.
        valid: Structures to validate.
        test: Structures to test; empty where none were given.
        reference: Reference energies and scales, fitted to ``train`` alone.
        trivial: The same without isolated atoms: its energies are the trivial predictor.
        provenance: Hashes, sizes and indices, plain values for the checkpoint and the model card.
    """

    train: Sequence[Data]
    valid: list[Data]
    test: list[Data]
    reference: Reference
    trivial: Reference
    provenance: dict[str, Any]


def load_training_data(
    settings: TrainingSettings,
    cutoffs: tuple[float, ...],
    frames: Sequence[Data] | None = None,
    test: Sequence[Data] | None = None,
) -> TrainingData:
    """Read, split and fit.

    Args:
        settings: ``data``, ``test``, the names of labels, ``valid_size``, ``seed`` and ``isolated`` count.
        cutoffs: Cutoffs of the model in A, increasing.
        frames: Structures in memory, in place of the file ``settings.data``, which then only names them; PyG's own MD17
            and QM9 are understood.
        test: The same for ``settings.test``.

    Returns:
        The structures and what was fitted to them.

    Units:
        A, eV.

    Raises:
        FileNotFoundError: A file is absent.
        ValueError: A structure is unusable, or ``valid_size`` leaves none to train on.
    """
    if frames is None and settings.stream:
        frames = StreamedFrames(
            StreamedDataset(str(settings.data), cutoffs, dtype=getattr(torch, settings.dtype), labels=settings.labels)
        )
    elif frames is None:
        frames = load_frames(settings.data, labels=settings.labels)
    if test is None:
        test = load_frames(settings.test, "test", settings.labels) if settings.test is not None else []
    test = [normalize_fields(frame) for frame in test]
    for index, frame in enumerate(test):
        check_frame(frame, f"test frame {index} of {settings.test}", ("energy", "forces"))
    if not isinstance(frames, StreamedFrames):  # which are checked
        frames = [normalize_fields(frame) for frame in frames]
        for index, frame in enumerate(frames):
            check_frame(frame, f"frame {index} of {settings.data}", ("energy", "forces"))
    train_indices, valid_indices = split_frames(len(frames), settings.count_valid(len(frames)), settings.seed)
    valid = [frames[index] for index in valid_indices]
    train: Sequence[Data]
    if isinstance(frames, StreamedFrames):
        train = StreamedFrames(frames.dataset, train_indices)
    else:
        train = [frames[index] for index in train_indices]
    reference = fit_reference(train, cutoffs, settings.isolated)
    if not max(reference.neighbors):
        raise ValueError(
            f"'cutoff' must reach from atom to atom, got {list(cutoffs)} A, within which no atom of the "
            "training structures has a neighbour: raise it; or are the positions not in A?"
        )
    trivial = reference if settings.isolated is None else fit_reference(train, cutoffs)
    provenance: dict[str, Any] = {
        "file": settings.data,
        "sha256": data_hash(frames),
        "structures": len(frames),
        "training_structures": len(train),
        "training_indices_sha256": _index_hash(train_indices),
        "validation_structures": len(valid),
        "validation_indices_sha256": _index_hash(valid_indices),
        "validation_indices": valid_indices,
    }
    if test:
        provenance |= {
            "test_file": settings.test,
            "test_sha256": data_hash(test),
            "test_structures": len(test),
            "test_structures_also_in_data": _shared(frames, test),
        }
    return TrainingData(train, valid, test, reference, trivial, provenance)


def check_elements(data: TrainingData, elements: Collection[int]) -> None:
    """Refuse before a training validation and test structures that it could not be tested on.

    Args:
        data: The structures.
        elements: Atomic numbers that the model will know.

    Raises:
        ValueError: A structure has another element.
    """
    for part, frames in (("validation", data.valid), ("test", data.test)):
        for index, frame in enumerate(frames):
            unknown = sorted(set(frame.z.tolist()) - set(elements))
            if unknown:
                raise ValueError(
                    f"the {part} structures must have elements of the training structures ({sorted(elements)}), got "
                    f"{unknown} in {part} structure {index}: leave it out, or train on some that have them (another "
                    "'seed' draws other validation structures)."
                )


def check_batches(data: TrainingData, settings: TrainingSettings, cutoffs: tuple[float, ...]) -> None:
    """Refuse before a training, while nothing is written, what its batches would refuse later.

    Args:
        data: The structures.
        settings: ``batch_atoms`` and ``batch_edges`` count.
        cutoffs: Cutoffs of the model in A.

    Raises:
        ValueError: A structure is larger than a batch may be.
    """
    budget, name = settings.batch_atoms, "batch_atoms"
    if settings.batch_edges is not None:
        budget, name = settings.batch_edges, "batch_edges"
    if budget is None:
        return
    for part, frames in (("training", data.train), ("validation", data.valid), ("test", data.test)):
        try:
            fill_batches(_sizes(frames, settings, cutoffs), budget, name)
        except ValueError as error:
            raise ValueError(f"{part} structures: {error}") from error


def _sizes(frames: Sequence[Data], settings: TrainingSettings, cutoffs: tuple[float, ...]) -> Sequence[int]:
    if isinstance(frames, StreamedFrames):
        prepared = frames.prepared()
        return prepared.num_edges if settings.batch_atoms is None else prepared.num_atoms
    if settings.batch_atoms is not None or not frames:
        return [len(frame.z) for frame in frames]
    return StructureDataset(frames, cutoffs, dtype=getattr(torch, settings.dtype)).num_edges


def _index_hash(indices: Sequence[int]) -> str:
    return hashlib.sha256(",".join(map(str, indices)).encode()).hexdigest()


def _shared(frames: Sequence[Data], test: Sequence[Data]) -> int:
    known = {_place_hash(frame) for frame in frames}
    return sum(_place_hash(frame) in known for frame in test)


def _place_hash(frame: Data) -> str:
    """A hash of atoms, positions and periodic cell vectors: labels and weights do not make another structure."""
    place = Data(z=frame.z, pos=frame.pos)
    if "pbc" in frame and bool(frame.pbc.any()):
        place.pbc, place.cell = frame.pbc, frame.cell * frame.pbc.unsqueeze(-1)
    return data_hash([place])
