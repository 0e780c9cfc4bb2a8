"""Fine-tuning that does not forget: a part of the old structures is trained on beside the new ones."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_mpnn.data import StructureDataset
from pyg_mpnn.data.frames import CheckedFrames
from pyg_mpnn.data.labels import LABELS
from pyg_mpnn.data.read import load_frames
from pyg_mpnn.files import write_json
from pyg_mpnn.models import Potential
from pyg_mpnn.training.evaluate import predict
from pyg_mpnn.training.metrics import Errors, compute_errors
from pyg_mpnn.training.settings import TrainingSettings
from pyg_mpnn.training.training_data import TrainingData

HELD_OUT = 200
"""Old structures, at most, that are not trained on and show what is forgotten."""
MOVED = 0.02
"""Reference energies that move by more, in eV, are told."""


class Replay(NamedTuple):
    """Old structures that show what a training forgets, and the errors on them before it."""

    held_out: StructureDataset
    before: Errors
    trained_on: int


def freeze(potential: Potential, names: Sequence[str]) -> int:
    """Exclude parts of a model from training, and train all others.

    Args:
        potential: The model.
        names: Names of parts or weights, for instance ``representation.layers.0``.

    Returns:
        Number of parameters that are not trained.

    Raises:
        ValueError: A name of no part, or nothing is left to train.
    """
    weights = dict(potential.named_parameters())
    for name in names:
        if not any(key == name or key.startswith(f"{name}.") for key in weights):
            parts = sorted({".".join(key.split(".")[:depth]) for key in weights for depth in (1, 2, 3)})
            raise ValueError(f"'freeze' must name parts of the model, got {name!r}, not one of {', '.join(parts)}.")
    for key, weight in weights.items():
        weight.requires_grad_(not any(key == name or key.startswith(f"{name}.") for name in names))
    frozen = sum(weight.numel() for weight in weights.values() if not weight.requires_grad)
    if frozen == sum(weight.numel() for weight in weights.values()):
        raise ValueError(f"'freeze' must leave something to train, got {', '.join(names)}, which is all of the model.")
    return frozen


def check_replay(potential: Potential) -> None:
    """Refuse what old structures cannot teach, before any is read.

    Args:
        potential: What is to be trained.

    Raises:
        ValueError: A potential with other outputs than energies and forces.
    """
    if not potential.has_energy or potential.all_outputs():
        given = ", ".join([*(["energy"] if potential.has_energy else []), *potential.all_outputs()])
        raise ValueError(
            f"'replay' is for energies and forces alone, got a potential with {given}: join the old structures to "
            "'data', where all labels of theirs are read."
        )


def add_replay(
    data: TrainingData, settings: TrainingSettings, potential: Potential, old: Mapping[int, float]
) -> tuple[TrainingData, Replay]:
    r"""Join old structures to the training structures.

    Of each epoch they are the share s, drawn once: :math:`n_\mathrm{old} = s / (1 - s) \, n_\mathrm{new}`. Up to
    ``HELD_OUT`` of the others show what is forgotten. With labels of their own, their energies are brought to the
    reference energies of the new level of theory, so that the energy of the bonds stays,

    .. math:: E' = E + \sum_Z n_Z (E_Z^\mathrm{new} - E_Z^\mathrm{old})

    (at the same level of theory both are those of the start, and nothing moves); with labels of the start they are
    what the potential predicts before the training. An element of the old structures
    alone keeps its old reference energy.

    Args:
        data: The new structures.
        settings: ``replay``, ``replay_share``, ``replay_labels``, ``seed`` and the names and units of labels count.
        potential: The potential before the training, with its new reference energies.
        old: The old ones in eV by atomic number.

    Returns:
        The structures to train on, and those that are held out.

    Units:
        eV, A.

    Raises:
        FileNotFoundError: A file is absent.
        ValueError: A structure without labels, or with an element that the potential did not know; too few structures
            to hold one out.
    """
    assert settings.replay is not None
    of_start = settings.replay_labels == "start"
    found = load_frames(settings.replay, labels=settings.labels, wanted=() if of_start else LABELS)
    frames = found.take(place for place, frame in enumerate(found) if len(frame.z) > 1)
    elements = {int(z) for frame in frames for z in frame.z}
    if unknown := sorted(elements - set(old)):
        raise ValueError(
            f"'replay' must hold elements that the potential of 'start_from' knows ({sorted(old)}), got {unknown} too: "
            "name the structures that it was trained on."
        )
    potential.set_reference({**{z: old[z] for z in elements}, **data.reference.energies}, data.reference.scale)
    share = settings.replay_share
    wanted = round(share / (1.0 - share) * len(data.train))
    count = min(wanted, len(frames) - 1)
    if count < 1:
        raise ValueError(f"'replay' must hold at least two structures, one to hold out, got {len(frames)}.")
    order = torch.randperm(len(frames), generator=torch.Generator().manual_seed(settings.seed)).tolist()
    chosen, others = frames.take(order[:count]), frames.take(order[count : count + HELD_OUT])
    assert potential.atomwise is not None
    new = {z: float(potential.atomwise.reference[z]) for z in potential.elements}
    if of_start:
        chosen, others = (_as_predicted(potential, part) for part in (chosen, others))
    else:
        chosen, others = (_shifted(part, old, new) for part in (chosen, others))
    joined = CheckedFrames([*data.train.structures, *chosen])
    train = StructureDataset(joined, data.train.cutoffs, dtype=data.train.dtype)
    held_out = StructureDataset(others, data.train.cutoffs, dtype=data.train.dtype)
    before = compute_errors(predict(copy.deepcopy(potential).compile("off").eval(), held_out))
    notes = [
        f"{count} of {len(frames)} old structures are trained on too (--replay), with labels "
        + ("of the potential that is started from" if of_start else "of their own")
        + (", at the level of theory of the new ones" if settings.replay_labels == "same" else "")
        + f"; {len(others)} others show what is forgotten"
    ]
    if count < wanted:
        notes.append(f"They are all there are: {count / (count + len(data.train)):.0%} of an epoch, not {share:.0%}")
    moved = max(abs(new[z] - old[z]) for z in data.reference.energies)
    if settings.replay_labels == "own" and moved > MOVED:
        notes.append(
            f"Reference energies moved by up to {moved:.2f} eV an atom, as where the new structures are at another "
            "level of theory. If they are at that of the old ones, this is an error of the start: --replay-labels same"
        )
    if len(frames) < len(found):
        notes.append(f"{len(found) - len(frames)} old structures of an isolated atom are left out")
    if alone := sorted(elements - set(data.reference.energies)):
        notes.append(f"Elements of the old structures alone keep their reference energies: {alone}")
    known = {"file": settings.replay, "labels": settings.replay_labels, "structures": count}
    data = dataclasses.replace(
        data,
        train=train,
        notes=[*data.notes, *notes],
        provenance=data.provenance | {"replay": known},
    )
    return data, Replay(held_out, before, count)


def report_forgotten(replay: Replay, potential: Potential, settings: TrainingSettings) -> None:
    """Say what a training has forgotten, and write it to replay.json.

    Args:
        replay: The structures that were held out.
        potential: The trained potential.
        settings: ``out`` counts.
    """
    after = compute_errors(predict(potential, replay.held_out))
    print(f"What was forgotten, on {len(replay.held_out)} old structures that were not trained on:")
    for name, unit in (
        ("energy_mae_meV_per_atom", "energy MAE, meV/atom"),
        ("forces_mae_meV_per_A", "forces MAE, meV/A"),
    ):
        first, last = getattr(replay.before, name), getattr(after, name)
        if first is not None:
            print(f"  {unit}: {first:.2f} before, {last:.2f} after")
    record: dict[str, Any] = {
        "file": settings.replay,
        "labels": settings.replay_labels,
        "trained_on": replay.trained_on,
        "held_out": len(replay.held_out),
        "before": dataclasses.asdict(replay.before),
        "after": dataclasses.asdict(after),
    }
    write_json(Path(settings.out) / "replay.json", record)


def _as_predicted(potential: Potential, frames: CheckedFrames) -> CheckedFrames:
    """The structures with the energies, forces and stresses that the potential predicts."""
    teacher = copy.deepcopy(potential).compile("off").eval()
    found = CheckedFrames()
    for frame in frames:
        periodic = "cell" in frame and bool(frame.pbc.all())
        output = teacher(frame, stress=periodic)
        labels: dict[str, Tensor] = {"energy": output.energy, "forces": output.forces}
        if periodic:
            labels["stress"] = output.stress
        found.append(Data(**{**frame.to_dict(), **{name: value.detach() for name, value in labels.items()}}))
    return found


def _shifted(frames: CheckedFrames, old: Mapping[int, float], new: Mapping[int, float]) -> CheckedFrames:
    """The structures with energies at the new reference energies."""
    found = CheckedFrames()
    for frame in frames:
        item = Data(**frame.to_dict())
        if "energy" in item:
            item.energy = item.energy + sum(new[z] - old[z] for z in item.z.tolist())
        found.append(item)
    return found
