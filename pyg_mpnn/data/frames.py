"""What one structure must hold, and what the structures of one set have in common."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_mpnn.data.fields import normalize_fields
from pyg_mpnn.data.labels import EnergyUnit

FILL: dict[str, tuple[tuple[int, ...], float | bool]] = {
    "stress": ((1, 3, 3), torch.nan),
    "cell": ((1, 3, 3), 0.0),
    "pbc": ((1, 3), False),
    "weight": ((1,), 1.0),
}
FLOATS = ("forces", "stress", "weight")
"""What is cast to the precision of a model; positions, cells and energies stay in float64."""
NOTES = ("isolated", "config_type")
"""What is said of a structure and is no part of a batch."""


class CheckedFrames(list[Data]):
    """Structures that are normalized and checked: who holds them checks nothing again, and changes none.

    Made by :func:`prepare_frames` and by the reader.
    """

    sources: Sequence[dict[str, Any]] = ()
    """What was read from which file, plain values."""
    origins: Sequence[tuple[str, int]] = ()
    """File of each structure and its number there, where files were read."""

    def take(self, places: Iterable[int]) -> CheckedFrames:
        """Some of the structures."""
        places = list(places)
        taken = CheckedFrames(self[place] for place in places)
        taken.sources = self.sources
        taken.origins = [self.origins[place] for place in places] if self.origins else ()
        return taken


class LabelShape(NamedTuple):
    """What one more field of a structure looks like."""

    level: Literal["structure", "atom"]
    shape: tuple[int, ...] = ()
    input: bool = False
    """Whether it is read and not predicted: then no structure of a set may lack it if another has it."""
    required: bool = False
    """Whether it is an input without which nothing can be computed: then no structure may lack it."""


def prepare_frames(
    frames: Iterable[Data],
    units: Literal["pyg"] | EnergyUnit = "pyg",
    required: Sequence[str] = (),
    first: int = 0,
    labels: Mapping[str, LabelShape] = MappingProxyType({}),
) -> CheckedFrames:
    """Structures of any origin as a set: normalized, checked, with the same fields. The input is left alone.

    Args:
        frames: structures, as the user has them.
        units: as in :func:`normalize_fields`.
        required: labels that each must have.
        first: number of the first in messages.
        labels: further fields to keep, NaN for an unknown label.

    Returns:
        New structures in the same order; those that are checked, as they are.

    Raises:
        ValueError: there are none, or one is refused; the message names it.
    """
    if isinstance(frames, CheckedFrames):
        for index, frame in enumerate(frames, start=first):
            _check_present(frame, required, f"frame {index}")
        return frames
    frames = list(frames)
    prepared = CheckedFrames()
    for index, frame in enumerate(frames, start=first):
        try:
            prepared.append(normalize_fields(frame, units))
        except ValueError as error:
            raise ValueError(f"frame {index}: {error}") from error
        check_frame(prepared[-1], f"frame {index}", required)
    if not prepared:
        raise ValueError("'frames' must hold at least one structure, got none: the data set is empty.")
    align_frames(prepared)
    keep_labels(labels, frames, prepared)
    return prepared


def keep_labels(labels: Mapping[str, LabelShape], given: Sequence[Data], kept: Sequence[Data]) -> None:
    """Add further fields to normalized structures, the same to all: float64, NaN for labels that some lack.

    Args:
        labels: level and shape of each field by name.
        given: structures with the fields.
        kept: the same ones, normalized; changed in place.

    Raises:
        ValueError: another shape, an infinite value, an input that only some have, or a required one that some lack;
            the message names the frame.
    """
    for index, (frame, new) in enumerate(zip(given, kept, strict=True)):
        for name, label in labels.items():
            if frame.get(name) is not None:
                new[name] = _read_label(frame[name], name, label, len(new.z), index)
    for name, label in labels.items():
        lacking = [k for k, frame in enumerate(kept) if name not in frame]
        if label.required and lacking:
            raise ValueError(
                f"{name!r} must be a number of every structure, because the model reads it, got {len(lacking)} without "
                f"it, the first is frame {lacking[0]}."
            )
        if len(lacking) in (0, len(kept)):
            continue
        if label.input:
            raise ValueError(
                f"{name!r} must be in all frames or in none, got {len(lacking)} without it, the first is frame "
                f"{lacking[0]}: add it (0 for a neutral one)."
            )
        for k in lacking:
            count = len(kept[k].z) if label.level == "atom" else 1
            kept[k][name] = torch.full((count, *label.shape), torch.nan, dtype=torch.float64)


def _read_label(value: Any, name: str, label: LabelShape, num_nodes: int, index: int) -> Tensor:
    found = torch.as_tensor(value, dtype=torch.float64)
    count = num_nodes if label.level == "atom" else 1
    if found.numel() != count * math.prod(label.shape):
        raise ValueError(
            f"{name!r} of frame {index} must have the shape {(count, *label.shape)}, a value for each {label.level}, "
            f"got {tuple(found.shape)}."
        )
    if bool(found.isinf().any()) or (label.input and bool(found.isnan().any())):
        raise ValueError(f"{name!r} of frame {index} must be finite{'' if label.input else ', or NaN where unknown'}.")
    return found.reshape(count, *label.shape)


def check_frame(data: Data, where: str, required: Sequence[str] = ()) -> None:
    """Refuse a structure that cannot be trained on or computed: the entrance of every function of this floor.

    Args:
        data: one structure with the field names of this package.
        where: names the structure in the message, for example ``frame 3 of water.xyz``.
        required: labels that must be there, besides ``z`` and ``pos``.

    Raises:
        ValueError: a field is missing, has the wrong shape or is not finite; an element is not in 1..118; a weight is
            negative; a stress is not symmetric; all atoms of a structure are at one point.
        TypeError: ``z`` does not hold integers.
    """
    _check_present(data, ("z", "pos"), where)
    _check_elements(data.z, where)
    nodes = data.z.numel()
    shapes = {
        "pos": (nodes, 3),
        "energy": (1,),
        "forces": (nodes, 3),
        "stress": (1, 3, 3),
        "cell": (1, 3, 3),
        "pbc": (1, 3),
        "weight": (1,),
        "target": (1,),
    }
    for name, shape in shapes.items():
        value = getattr(data, name, None)
        if value is not None:
            _check_values(name, value, shape, where)
    if "stress" in data:
        apart = (data.stress - data.stress.mT).abs().max()
        if bool(apart > 0.01 * data.stress.abs().max() + 1e-5):  # rounding is less
            raise ValueError(
                f"'stress' of {where} must be symmetric, got {data.stress.reshape(-1).tolist()}: are its components in "
                "this order?"
            )
    if "weight" in data and float(data.weight) < 0:
        raise ValueError(
            f"'weight' of {where} must not be negative, got {float(data.weight)}: correct its 'config_weight'."
        )
    if nodes > 1 and bool((data.pos == data.pos[0]).all()):
        raise ValueError(
            f"'pos' of {where} must place the atoms, got all {nodes} at one point: does the file hold positions?"
        )
    _check_present(data, required, where)


def is_isolated_atom(frame: Data) -> bool:
    """Whether a structure is one atom alone, whose energy is the reference energy of its element.

    Args:
        frame: the structure.

    Returns:
        whether it has one atom, an energy, and is not periodic or says so (``config_type=IsolatedAtom``).
    """
    periodic = "pbc" in frame and bool(frame.pbc.any())
    return len(frame.z) == 1 and "energy" in frame and ("isolated" in frame or not periodic)


def fill_labels(frame: Data, names: Iterable[str]) -> None:
    """Give a structure the labels that it lacks, NaN for unknown, so that it goes into one batch with others.

    Args:
        frame: the structure, which is changed.
        names: ``energy``, ``forces`` or both.
    """
    for name in names:
        if name not in frame:
            shape, dtype = ((1,), torch.float64) if name == "energy" else (frame.pos.shape, frame.pos.dtype)
            frame[name] = torch.full(shape, torch.nan, dtype=dtype)


def _check_present(data: Data, names: Sequence[str], where: str) -> None:
    for name in names:
        if getattr(data, name, None) is None:
            raise ValueError(f"{name!r} is missing in {where}: add it, or leave the frame out.")


def _check_elements(z: Tensor, where: str) -> None:
    if z.is_floating_point():
        raise TypeError(f"'z' of {where} must hold integers, got {z.dtype}: pass atomic numbers.")
    if z.dim() != 1:
        raise ValueError(f"'z' of {where} must have shape (nodes,), got {tuple(z.shape)}.")
    unknown = ((z < 1) | (z > 118)).nonzero()
    if len(unknown):
        atom = int(unknown[0])
        raise ValueError(
            f"'z' of {where} must hold atomic numbers from 1 to 118, got {int(z[atom])} at atom {atom}: "
            "an unknown element or a dummy atom; remove it."
        )


def _check_values(name: str, value: Tensor, shape: tuple[int, ...], where: str) -> None:
    if tuple(value.shape) != shape:
        raise ValueError(
            f"{name!r} of {where} must have the shape {shape} that goes with its 'z', got {tuple(value.shape)}."
        )
    unknown_stress = name == "stress" and bool(value.isnan().all())
    if not unknown_stress and not bool(torch.isfinite(value).all()):
        place = (~torch.isfinite(value)).nonzero()[0]
        at_atom = f" at atom {int(place[0])}" if shape[0] not in (0, 1) else ""
        raise ValueError(
            f"{name!r} of {where} must be finite, got {float(value[tuple(place)])}{at_atom}: "
            "remove or recompute the frame."
        )


def align_frames(frames: Sequence[Data]) -> None:
    """Give structures of one set the same fields, in place, so that PyG can batch molecules with crystals.

    Where any structure has them, the others get ``stress`` NaN (unknown), ``cell`` zero, ``pbc`` False (open),
    ``weight`` 1 and an empty ``config_type``.

    Args:
        frames: structures that passed :func:`check_frame`.

    Raises:
        ValueError: some structures have a target and others have none, or one has a cell without ``pbc``.
    """
    missing = [k for k, frame in enumerate(frames) if "target" not in frame]
    if missing and len(missing) < len(frames):
        raise ValueError(
            f"'target' must be in all frames or in none, got {len(missing)} frames without it, the first is "
            f"frame {missing[0]}: leave these out, or all targets."
        )
    for k, frame in enumerate(frames):
        if "pbc" not in frame and "cell" in frame and bool((frame.cell != 0).any()):
            raise ValueError(f"'pbc' must be given with a cell, got a cell without it in frame {k}: add it.")
    if any("config_type" in frame for frame in frames):
        for frame in frames:
            if "config_type" not in frame:
                frame.config_type = ""
    for name, (shape, fill) in FILL.items():
        if any(name in frame for frame in frames):
            for frame in frames:
                if name not in frame:
                    dtype = torch.bool if name == "pbc" else frame.pos.dtype
                    frame[name] = torch.full(shape, fill, dtype=dtype)
