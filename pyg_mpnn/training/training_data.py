"""The structures of a training, split, with what is fitted to them and where they come from."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch_geometric.data import Data

from pyg_mpnn.data import Reference, StreamedDataset, StructureDataset, data_hash, fit_reference, split_frames
from pyg_mpnn.data.contents import describe
from pyg_mpnn.data.dataset import PreparedStructures
from pyg_mpnn.data.frames import CheckedFrames, is_isolated_atom, prepare_frames
from pyg_mpnn.data.labels import LABELS
from pyg_mpnn.data.read import load_frames
from pyg_mpnn.data.reference import fit_energies
from pyg_mpnn.data.suspects import find_copies, find_outliers
from pyg_mpnn.training.batch_sampler import fill_batches
from pyg_mpnn.training.settings import TrainingSettings


@dataclass(frozen=True)
class TrainingData:
    """Structures to train on, to validate and to test, and what was fitted to the first.

    Args:
        train: Structures to train on, checked and with edges.
        valid: Structures to validate.
        test: Structures to test; None where none were given.
        reference: Reference energies and scales, fitted to ``train`` alone.
        trivial: The same without isolated atoms: its energies are the trivial predictor.
        provenance: Hashes, sizes, indices and names of labels, plain values for the checkpoint and the model card.
        notes: What else is to be said of the data, one sentence each.
    """

    train: PreparedStructures
    valid: PreparedStructures
    test: PreparedStructures | None
    reference: Reference
    trivial: Reference
    provenance: dict[str, Any]
    notes: Sequence[str] = ()


def load_training_data(
    settings: TrainingSettings,
    cutoffs: tuple[float, ...],
    frames: Sequence[Data] | None = None,
    test: Sequence[Data] | None = None,
) -> TrainingData:
    """Read, check, search neighbours, split and fit: each once.

    Structures of one atom that is isolated set the reference energies and are not trained on.

    Args:
        settings: ``data``, ``test``, names of labels, units, ``valid_size``, ``seed`` and ``isolated`` count.
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
        ValueError: A structure is unusable, ``valid_size`` leaves none to train on, or there is nothing to learn from.
    """
    dtype = getattr(torch, settings.dtype)
    every, sources = _prepare(settings, cutoffs, frames)
    tested = None
    if test is not None or settings.test is not None:
        held_out = (
            load_frames(settings.test or (), "test", settings.labels) if test is None else _checked(test, settings)
        )
        tested = StructureDataset(held_out, cutoffs, dtype=dtype) if len(held_out) else None
    alone = isolated_atoms(every)
    seen = every.subset([place for place in range(len(every)) if place not in alone]) if alone else every
    isolated = {**energies_of(every, alone), **(settings.isolated or {})}
    _refuse_nothing_to_learn(seen, settings)
    train_indices, valid_indices = split_frames(len(seen), settings.count_valid(len(seen)), settings.seed)
    train, valid = seen.subset(train_indices), seen.subset(valid_indices)
    notes = _suspects(seen, train_indices, valid_indices, settings)
    reference = fit_reference(train, cutoffs, isolated)
    if not max(reference.neighbors):
        raise ValueError(
            f"'cutoff' must reach from atom to atom, got {list(cutoffs)} A, within which no atom of the "
            "training structures has a neighbour: raise it; or are the positions not in A?"
        )
    free = fit_energies(train.structures, {}) if isolated else (reference.energies, reference.rank)
    trivial = dataclasses.replace(reference, energies=free[0], rank=free[1])
    provenance: dict[str, Any] = {
        "file": settings.data,
        "sha256": data_hash(every.structures),
        "structures": len(every),
        "training_structures": len(train),
        "training_indices_sha256": _index_hash(train_indices),
        "validation_structures": len(valid),
        "validation_indices_sha256": _index_hash(valid_indices),
        "validation_indices": valid_indices,
        "labels": list(sources),
    }
    if alone:
        provenance["isolated_atoms_eV"] = energies_of(every, alone)
        notes.append(
            f"{len(alone)} structures of an isolated atom set its reference energy and are not trained on: "
            f"{provenance['isolated_atoms_eV']} (atomic number: eV)"
        )
    if tested is not None:
        provenance |= {
            "test_file": settings.test,
            "test_sha256": data_hash(tested.structures),
            "test_structures": len(tested),
            "test_structures_also_in_data": _shared(seen.structures, tested.structures),
        }
    return TrainingData(train, valid, tested, reference, trivial, provenance, notes)


def _prepare(
    settings: TrainingSettings, cutoffs: tuple[float, ...], frames: Sequence[Data] | None
) -> tuple[PreparedStructures, Sequence[dict[str, Any]]]:
    """All structures with their edges, and what was read from which file."""
    dtype = getattr(torch, settings.dtype)
    if frames is None and settings.stream:
        streamed = StreamedDataset(str(settings.data), cutoffs, dtype=dtype, labels=settings.labels)
        print(describe(streamed.summary), flush=True)
        return streamed, [streamed.summary]
    if frames is None:
        found = load_frames(settings.data, labels=settings.labels, required=["energy"])
    else:
        found = _checked(frames, settings)
    return StructureDataset(found, cutoffs, dtype=dtype), found.sources


def _checked(frames: Sequence[Data], settings: TrainingSettings) -> CheckedFrames:
    """Structures in memory, with a label each."""
    checked = prepare_frames(frames, settings.energy_unit or "pyg") if len(frames) else CheckedFrames()
    for index, frame in enumerate(checked):
        if not any(name in frame for name in LABELS):
            raise ValueError(
                f"'energy' is missing in frame {index} of {settings.data}, and all other labels: add them."
            )
    return checked


def isolated_atoms(every: PreparedStructures) -> set[int]:
    """Which structures are an isolated atom with an energy.

    Args:
        every: structures.

    Returns:
        their places.

    Raises:
        ValueError: all are isolated atoms.
    """
    counts = every.num_atoms
    alone = {place for place, n in enumerate(counts) if n == 1 and is_isolated_atom(every.structures[place])}
    if len(alone) == len(every):
        raise ValueError(f"'data' must hold more than isolated atoms, got {len(alone)} of them alone: add structures.")
    return alone


def energies_of(every: PreparedStructures, places: Collection[int]) -> dict[int, float]:
    """Energies of isolated atoms.

    Args:
        every: structures.
        places: those of isolated atoms.

    Returns:
        energies in eV by atomic number.

    Raises:
        ValueError: one element has two.
    """
    energies: dict[int, float] = {}
    for place in sorted(places):
        frame = every.structures[place]
        z, energy = int(frame.z), float(frame.energy)
        if abs(energies.setdefault(z, energy) - energy) > 1e-6:
            raise ValueError(
                f"isolated atoms of one element must have one energy, got {energies[z]} and {energy} eV for atomic "
                f"number {z} (structure {place}): leave one out."
            )
    return energies


def _suspects(
    seen: PreparedStructures, train: Sequence[int], valid: Sequence[int], settings: TrainingSettings
) -> list[str]:
    """What is likely wrong with the data, one sentence each; an error unless the user goes on with it."""
    found = find_outliers(seen.structures)
    copies, held_out = find_copies(seen), set(valid)
    if copies:
        leaked = sum((a in held_out) != (b in held_out) for a, b in copies)
        leak = f", {leaked} of them between training and validation" if leaked else ""
        found.append(f"{len(copies)} structures are copies of another one{leak}: {copies[0][1]} of {copies[0][0]}")
    if not found or settings.force_data:
        return found
    listed = "; ".join(found[:5]) + (f"; and {len(found) - 5} more" if len(found) > 5 else "")
    raise ValueError(
        f"'data' must hold structures without outliers and copies, got in {settings.data}: {listed}. Leave them out "
        "(pyg-mpnn inspect says more), or go on with them by --force-data."
    )


def _refuse_nothing_to_learn(seen: PreparedStructures, settings: TrainingSettings) -> None:
    """Refuse weights that are all zero, and energies that are all equal: nobody computed those."""
    weights, energies = [], []
    for frame in seen.structures:
        weights.append(float(frame.weight) if "weight" in frame else 1.0)
        if "energy" in frame:
            energies.append(float(frame.energy))
    if not any(weights):
        raise ValueError(
            f"'config_weight' must not be 0 for all structures of {settings.data}, got {len(weights)} zeros: there is "
            "nothing to learn."
        )
    if len(energies) > 2 and len(set(energies)) == 1:
        raise ValueError(
            f"energies must differ between structures, got {energies[0]} eV for all {len(energies)} of "
            f"{settings.data}: perhaps the file has none and its reader made them up; name the right ones "
            "(--energy-key)."
        )


def check_elements(data: TrainingData, elements: Collection[int]) -> None:
    """Refuse before a training validation and test structures that it could not be tested on.

    Args:
        data: The structures.
        elements: Atomic numbers that the model will know.

    Raises:
        ValueError: A structure has another element.
    """
    for part, frames in (("validation", data.valid), ("test", data.test)):
        for index, frame in enumerate(frames.structures if frames is not None else ()):
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
        sizes = () if frames is None else frames.num_atoms if settings.batch_edges is None else frames.num_edges
        try:
            fill_batches(sizes, budget, name)
        except ValueError as error:
            raise ValueError(f"{part} structures: {error}") from error


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
