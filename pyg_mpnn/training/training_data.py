"""The structures of a training, split, with what is fitted to them and where they come from."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch_geometric.data import Data

from pyg_mpnn.data import (
    QM9,
    Reference,
    StreamedDataset,
    StructureDataset,
    data_hash,
    fit_reference,
    normalize_fields,
    split_frames,
)
from pyg_mpnn.data.frames import LabelShape, check_frame, keep_labels
from pyg_mpnn.data.reference import count_neighbors
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
    *,
    valid: Sequence[Data] | None = None,
    energy: bool = True,
    labels: Mapping[str, LabelShape] = MappingProxyType({}),
) -> TrainingData:
    """Read, split and fit.

    Args:
        settings: ``data``, ``test``, ``target``, the names of labels, ``valid_size``, ``seed`` and
            ``isolated`` count.
        cutoffs: Cutoffs of the model in A, increasing.
        frames: Structures in memory, in place of the file ``settings.data``, which then only names them; PyG's own MD17
            and QM9 are understood.
        test: The same for ``settings.test``.
        valid: Structures to validate, in place of a part of the others.
        energy: Whether energies and forces are learned.
        labels: What else is learned, or read: fields of the structures.

    Returns:
        The structures and what was fitted to them.

    Units:
        A, eV.

    Raises:
        FileNotFoundError: A file is absent.
        ValueError: A structure is unusable, a reference is missing in all of them, or ``valid_size`` leaves none to
            train on.
    """
    provenance: dict[str, Any] = {"file": settings.data}
    if settings.target is not None:
        frames, valid, test, split_hash = _molecules(settings, frames, valid, test)
        provenance["split_sha256"] = split_hash
    elif frames is None and settings.stream:
        if labels:
            raise ValueError(f"'stream' is for energies and forces alone, got {', '.join(labels)} too: leave it out.")
        frames = StreamedFrames(
            StreamedDataset(str(settings.data), cutoffs, dtype=getattr(torch, settings.dtype), labels=settings.labels)
        )
    elif frames is None:
        frames = load_frames(settings.data, labels=settings.labels)
    if test is None:
        test = load_frames(settings.test, "test", settings.labels) if settings.test is not None else []
    others = [name for name, label in labels.items() if not label.input]
    required = ("energy", "forces") if energy and not others else ()
    test = _prepare(test, labels, required, f"test frame {{}} of {settings.test}")
    if not isinstance(frames, StreamedFrames):  # which are checked
        frames = _prepare(frames, labels, required, f"frame {{}} of {settings.data}")
    seen: Sequence[Data] = frames
    if valid is None:
        train_indices, valid_indices = split_frames(len(frames), settings.count_valid(len(frames)), settings.seed)
        held_out = [frames[index] for index in valid_indices]
        hashes = {"training_indices_sha256": _index_hash(train_indices)}
        hashes["validation_indices_sha256"] = _index_hash(valid_indices)
        if isinstance(frames, StreamedFrames):
            seen = StreamedFrames(frames.dataset, train_indices)
        else:
            seen = [frames[index] for index in train_indices]
    else:
        held_out, valid_indices = _prepare(valid, labels, required, "validation frame {}"), None
        if not held_out or not len(seen):
            raise ValueError("'frames' and 'valid' must hold at least one structure, got none in one of them.")
        hashes = {"training_indices_sha256": data_hash(seen, others)}
        hashes["validation_indices_sha256"] = data_hash(held_out, others)
    if energy:
        reference = fit_reference(seen, cutoffs, settings.isolated)
    else:
        reference = Reference({}, 1.0, count_neighbors(seen, cutoffs), 0, 0)
    if not max(reference.neighbors):
        raise ValueError(
            f"'cutoff' must reach from atom to atom, got {list(cutoffs)} A, within which no atom of the "
            "training structures has a neighbour: raise it; or are the positions not in A?"
        )
    trivial = reference if settings.isolated is None else fit_reference(seen, cutoffs)
    for name in others:
        for part, group in (("training", seen), ("validation", held_out)):
            if not any(name in frame and bool((~frame[name].isnan()).any()) for frame in group):
                raise ValueError(f"{name!r} must be in at least one {part} structure, got it in none.")
    provenance |= {
        "sha256": data_hash(frames, others),
        "structures": len(frames),
        "training_structures": len(seen),
        "validation_structures": len(held_out),
        **hashes,
        **({} if valid_indices is None else {"validation_indices": valid_indices}),
    }
    if test:
        provenance |= {
            "test_file": settings.test,
            "test_sha256": data_hash(test, others),
            "test_structures": len(test),
            "test_structures_also_in_data": _shared(frames, test),
        }
    return TrainingData(seen, held_out, test, reference, trivial, provenance)


def _prepare(
    frames: Sequence[Data], labels: Mapping[str, LabelShape], required: Sequence[str], where: str
) -> list[Data]:
    """Structures with all their labels under the names of this package, checked."""
    prepared = [normalize_fields(frame) for frame in frames]
    for index, frame in enumerate(prepared):
        check_frame(frame, where.format(index), required)
    keep_labels(labels, frames, prepared)
    return prepared


def _molecules(
    settings: TrainingSettings,
    train: Sequence[Data] | None,
    valid: Sequence[Data] | None,
    test: Sequence[Data] | None,
) -> tuple[Sequence[Data], Sequence[Data], Sequence[Data] | None, str | None]:
    """Molecules with the target of QM9 under its name, and the hash of QM9's split where they are from there."""
    target, split_hash = str(settings.target), None
    if train is None:
        if Path(str(settings.data)).is_file():
            raise ValueError(
                f"'data' must be a folder with QM9, or an empty one for it, where 'target' is given, got the file "
                f"{str(settings.data)!r}: leave 'target' out to learn energies and forces from a file."
            )
        molecules = QM9(str(settings.data), target)
        split = molecules.split(0)
        split_hash = split.sha256
        train, valid, test = (
            [molecules[place] for place in places] for places in (split.train, split.valid, split.test)
        )
    elif valid is None:
        raise ValueError("'valid' must be given where 'target' and 'frames' are, got None.")
    named = []
    for part, frames in (("train", train), ("valid", valid), ("test", test or ())):
        for index, frame in enumerate(frames):
            if "target" not in frame and target not in frame:
                raise ValueError(
                    f"'target' is missing in molecule {index} of {part}: add it, or leave the molecule out."
                )
        named.append([frame if target in frame else _renamed(frame, target) for frame in frames])
    return named[0], named[1], None if test is None else named[2], split_hash


def _renamed(frame: Data, target: str) -> Data:
    fields = {name: value for name, value in frame.to_dict().items() if name != "target"}
    return Data(**fields, **{target: frame.target})


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
