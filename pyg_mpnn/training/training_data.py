"""The structures of a training, split, with what is fitted to them and where they come from."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch_geometric.data import Data

from pyg_mpnn.data import QM9, Reference, StreamedDataset, StructureDataset, data_hash, fit_reference, split_frames
from pyg_mpnn.data.contents import describe
from pyg_mpnn.data.dataset import PreparedStructures
from pyg_mpnn.data.frames import CheckedFrames, LabelShape, is_isolated_atom, prepare_frames
from pyg_mpnn.data.labels import LABELS
from pyg_mpnn.data.read import load_frames
from pyg_mpnn.data.reference import count_neighbors, fit_energies
from pyg_mpnn.data.suspects import find_outliers, survey
from pyg_mpnn.training.sampler import fill_batches
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
    *,
    valid: Sequence[Data] | None = None,
    energy: bool = True,
    labels: Mapping[str, LabelShape] = MappingProxyType({}),
) -> TrainingData:
    """Read, check, search neighbours, split and fit: each once.

    Structures of an isolated atom set the reference energies and are not trained on.

    Args:
        settings: ``data``, ``test``, ``target``, the names of labels, units, ``valid_size``, ``seed`` and ``isolated``
            count.
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
        ValueError: A structure is unusable, a reference is missing in all of them, ``valid_size`` leaves none to train
            on, or there is nothing to learn from.
    """
    provenance: dict[str, Any] = {"file": settings.data}
    if settings.target is not None:
        frames, valid, test, split_hash = _molecules(settings, frames, valid, test)
        provenance["split_sha256"] = split_hash
    elif frames is None and settings.stream and labels:
        raise ValueError(f"'stream' is for energies and forces alone, got {', '.join(labels)} too: leave it out.")
    others = [name for name, label in labels.items() if not label.input]
    dtype = getattr(torch, settings.dtype)

    def prepare(given: Sequence[Data], where: str) -> StructureDataset:
        checked = _checked(given, settings, labels, energy and not others, where)
        return StructureDataset(checked, cutoffs, dtype=dtype)

    every, sources = _open(settings, cutoffs, frames, prepare, energy, labels)
    tested: PreparedStructures | None = None
    if test is None and settings.test is not None:
        wanted = LABELS if energy else ()
        found = load_frames(settings.test, "test", settings.labels, wanted=wanted, others=labels)
        tested = StructureDataset(found, cutoffs, dtype=dtype)
    elif test:
        tested = prepare(test, f"test frame {{}} of {settings.test}")
    alone = isolated_atoms(every) if energy else set()
    numbers = [place for place in range(len(every)) if place not in alone]
    seen = every.subset(numbers) if alone else every
    of_atoms = energies_of(every.structures, alone)
    isolated = {**of_atoms, **isolated_energies(settings)}
    notes = _look_at(seen, numbers, settings) if energy else []
    if valid is None:
        split_seed = settings.seed if settings.split_seed is None else settings.split_seed
        train_indices, valid_indices = split_frames(len(seen), settings.count_valid(len(seen)), split_seed)
        train, held_out = seen.subset(train_indices), seen.subset(valid_indices)
        hashes = {"training_indices_sha256": _index_hash(train_indices)}
        hashes["validation_indices_sha256"] = _index_hash(valid_indices)
    else:
        if not len(valid) or not len(seen):
            raise ValueError("'frames' and 'valid' must hold at least one structure, got none in one of them.")
        train, held_out, valid_indices = seen, prepare(valid, "validation frame {}"), None
        hashes = {"training_indices_sha256": data_hash(train.structures, others)}
        hashes["validation_indices_sha256"] = data_hash(held_out.structures, others)
    if energy:
        reference = fit_reference(train, cutoffs, isolated)
    else:
        reference = Reference({}, 1.0, count_neighbors(train, cutoffs), 0, 0)
    if not max(reference.neighbors):
        raise ValueError(
            f"'cutoff' must reach from atom to atom, got {list(cutoffs)} A, within which no atom of the "
            "training structures has a neighbour: raise it; or are the positions not in A?"
        )
    trivial = reference
    if isolated and energy:
        known = set(reference.energies)
        if absent := sorted(set(isolated) - known):
            notes.append(f"Energies of isolated atoms are not used of elements in no training structure: {absent}")
        if fitted := sorted(known - set(isolated)):
            notes.append(f"Without an energy of an isolated atom elements get a fitted one: {fitted}")
        energies, rank = fit_energies(train.structures, {})
        trivial = dataclasses.replace(reference, energies=energies, rank=rank)
    for name in others:
        for part, group in (("training", train), ("validation", held_out)):
            if not any(name in frame and bool((~frame[name].isnan()).any()) for frame in group.structures):
                raise ValueError(
                    f"{name!r} must be in at least one {part} structure, got it in none: an output learns the values "
                    "that the structures hold under its own name"
                )
    provenance |= {
        "sha256": data_hash(every.structures, others),
        "structures": len(every),
        "training_structures": len(train),
        "validation_structures": len(held_out),
        **hashes,
        **({} if valid_indices is None else {"validation_indices": valid_indices}),
        "labels": list(sources),
    }
    if alone:
        provenance["isolated_atoms_eV"] = of_atoms
        notes.append(
            f"{len(alone)} structures of an isolated atom set its reference energy and are not trained on: {of_atoms} "
            "(atomic number: eV)"
        )
    if tested is not None:
        provenance |= {
            "test_file": settings.test,
            "test_sha256": data_hash(tested.structures, others),
            "test_structures": len(tested),
            "test_structures_also_in_data": _shared(seen.structures, tested.structures),
        }
        if provenance["test_structures_also_in_data"]:
            notes.append(f"{provenance['test_structures_also_in_data']} of the test structures are in the data too")
    return TrainingData(train, held_out, tested, reference, trivial, provenance, notes)


def _open(
    settings: TrainingSettings,
    cutoffs: tuple[float, ...],
    frames: Sequence[Data] | None,
    prepare: Callable[[Sequence[Data], str], StructureDataset],
    energy: bool,
    labels: Mapping[str, LabelShape],
) -> tuple[PreparedStructures, Sequence[dict[str, Any]]]:
    """All structures with their edges, and what was read from which file."""
    dtype = getattr(torch, settings.dtype)
    if frames is not None:
        if not len(frames):
            raise ValueError("'frames' must hold at least one structure, got none: the data set is empty.")
        return prepare(frames, f"frame {{}} of {settings.data}"), []
    if settings.stream:
        streamed = StreamedDataset(str(settings.data), cutoffs, dtype=dtype, labels=settings.labels)
        print(describe(streamed.summary), flush=True)
        return streamed, [streamed.summary]
    wanted = LABELS if energy else ()
    required = ["energy"] if energy else []
    found = load_frames(settings.data, labels=settings.labels, wanted=wanted, required=required, others=labels)
    return StructureDataset(found, cutoffs, dtype=dtype), found.sources


def _checked(
    frames: Sequence[Data], settings: TrainingSettings, labels: Mapping[str, LabelShape], required: bool, where: str
) -> CheckedFrames:
    """Structures in memory, checked; each must have an energy, forces or a stress if one is required."""
    try:
        checked = prepare_frames(frames, settings.energy_unit or "pyg", labels=labels)
    except ValueError as error:
        named = re.sub(r"\bframe (\d+)", lambda found: where.format(found[1]), str(error), count=1)
        raise ValueError(named) from error
    if settings.energy_unit is None and any("force" in frame for frame in frames):
        print(
            f"{settings.data}: the field 'force' is PyG's of MD17: converted from kcal/mol (--energy-unit)", flush=True
        )
    for index, frame in enumerate(checked):
        if required and not any(name in frame for name in LABELS):
            raise ValueError(f"'energy' is missing in {where.format(index)}, and so are forces and stress: add one.")
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


def isolated_energies(settings: TrainingSettings) -> dict[int, float]:
    """Energies of isolated atoms that the settings give, by number or by a file.

    Args:
        settings: ``isolated``, and the names and units of labels, count.

    Returns:
        energies in eV by atomic number.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a structure of the file has several atoms or no energy, or one element has two energies.
    """
    if not isinstance(settings.isolated, str):
        return settings.isolated or {}
    if not Path(settings.isolated).is_file():
        raise FileNotFoundError(
            f"'isolated' must be energies in eV by atomic number, such as '{{1: -13.6}}', or a file of isolated atoms, "
            f"got {settings.isolated!r}, which is neither"
        )
    frames = load_frames(settings.isolated, labels=settings.labels, wanted=["energy"], required=["energy"])
    for place, frame in enumerate(frames):
        if len(frame.z) != 1 or "energy" not in frame:
            raise ValueError(
                f"'isolated' must hold single atoms with an energy, got {len(frame.z)} atoms in structure {place} of "
                f"{settings.isolated}: structures to learn from belong to 'data'."
            )
    return energies_of(frames, range(len(frames)))


def energies_of(structures: Sequence[Data], places: Collection[int]) -> dict[int, float]:
    """Energies of isolated atoms.

    Args:
        structures: structures.
        places: those of isolated atoms.

    Returns:
        energies in eV by atomic number.

    Raises:
        ValueError: one element has two.
    """
    energies: dict[int, float] = {}
    for place in sorted(places):
        frame = structures[place]
        z, energy = int(frame.z), float(frame.energy)
        if abs(energies.setdefault(z, energy) - energy) > 1e-6:
            raise ValueError(
                f"isolated atoms of one element must have one energy, got {energies[z]} and {energy} eV for atomic "
                f"number {z} (structure {place}): leave one out."
            )
    return energies


def _look_at(seen: PreparedStructures, numbers: Sequence[int], settings: TrainingSettings) -> list[str]:
    """What is likely wrong with the structures, one sentence each; an error unless the user goes on with it.

    Weights that are all zero, and energies that are all equal (nobody computed those), are an error in any case.
    """
    found = survey(seen, numbers)
    energies = {float(frame.energy) for frame in found.energies.values()}
    if not any(found.weights):
        raise ValueError(
            f"'config_weight' must not be 0 for all structures of {settings.data}, got {len(seen)} zeros: there is "
            "nothing to learn."
        )
    if len(found.energies) > 2 and len(energies) == 1:
        raise ValueError(
            f"energies must differ between structures, got {energies.pop()} eV for all {len(found.energies)} of "
            f"{settings.data}: perhaps the file has none and its reader made them up; name the right ones "
            "(--energy-key)."
        )
    wrong = find_outliers(found)
    if found.copies:
        copy, first = found.copies[0]
        number = len(found.copies)
        wrong.append(
            f"{'1 structure is a copy' if number == 1 else f'{number} structures are copies'} of another one, which "
            "training and validation would share: "
            f"structure {copy} of structure {first}, for example"
        )
    if not wrong or settings.force_data:
        return wrong
    listed = "; ".join(wrong[:5]) + (f"; and {len(wrong) - 5} more" if len(wrong) > 5 else "")
    raise ValueError(
        f"'data' must hold structures without outliers and copies, got in {settings.data}: {listed}. Leave them out "
        "(pyg-mpnn inspect says more), or go on with them by --force-data."
    )


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
