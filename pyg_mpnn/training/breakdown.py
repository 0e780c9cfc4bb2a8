"""Where the errors are: by element, kind of structure, composition and force, and the worst structures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_mpnn.training.metrics import Predictions

_SHARES = (0.0, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)  # of the atoms, by the size of their force
MOST_GROUPS = 30


class Group(NamedTuple):
    """Errors of some atoms or structures.

    Args:
        name: what they have in common.
        number: how many they are.
        energy: MAE of the energy in meV/atom; None where it is unknown.
        forces: MAE of the force components in meV/A.
        relative: the same over the mean absolute force component.
    """

    name: str
    number: int
    energy: float | None
    forces: float | None
    relative: float | None


class Worst(NamedTuple):
    """A structure with large errors.

    Args:
        place: in the set.
        forces: largest error of a force in meV/A; None where forces are unknown.
        atom: whose it is.
        energy: error of the energy in meV/atom, predicted minus reference.
    """

    place: int
    forces: float | None
    atom: int | None
    energy: float | None


class Breakdown:
    """Errors of a set of structures, to be split.

    Args:
        predictions: of the structures.
        frames: the same structures, in this order.
    """

    def __init__(self, predictions: Predictions, frames: Sequence[Data]) -> None:
        self.frames = frames
        sizes = predictions.num_atoms
        self.structure = torch.arange(len(sizes)).repeat_interleave(sizes)
        self.z = torch.cat([frame.z for frame in frames])
        self.energy: Tensor | None = None  # meV/atom, NaN where unknown
        if predictions.energy is not None and predictions.energy_ref is not None:
            self.energy = 1e3 * (predictions.energy - predictions.energy_ref) / sizes.clamp(min=1)
        self.forces = self.size = None  # meV/A, of each atom
        if predictions.forces is not None and predictions.forces_ref is not None:
            self.forces = 1e3 * (predictions.forces - predictions.forces_ref)
            self.size = 1e3 * predictions.forces_ref

    def _group(self, name: str, atoms: Tensor, structures: Tensor | None = None) -> Group:
        energy = forces = relative = None
        if self.energy is not None and structures is not None:
            energy = _mean(self.energy[structures].abs())
        if self.forces is not None and self.size is not None:
            forces, typical = _mean(self.forces[atoms].abs()), _mean(self.size[atoms].abs())
            relative = forces / typical if forces is not None and typical else None
        return Group(name, int((atoms if structures is None else structures).sum()), energy, forces, relative)

    def by_element(self) -> list[Group]:
        """Errors of the forces on the atoms of each element; counts are of atoms."""
        from ase.data import chemical_symbols

        return [self._group(chemical_symbols[z], self.z == z) for z in sorted(set(self.z.tolist()))]

    def by_kind(self) -> list[Group]:
        """Errors by ``config_type``; counts are of structures. Empty where no structure says its kind."""
        groups = self._by(lambda frame: frame.get("config_type") or "not said")
        return [] if [group.name for group in groups] == ["not said"] else groups

    def by_composition(self) -> list[Group]:
        """Errors by chemical formula, the most frequent ones first; counts are of structures."""
        from ase.formula import Formula
        from ase.symbols import Symbols

        return self._by(lambda frame: str(Formula(str(Symbols(frame.z.numpy()))).convert("hill")))

    def _by(self, name_of: Callable[[Data], str]) -> list[Group]:
        names = [name_of(frame) for frame in self.frames]
        groups = []
        for name, _ in sorted(Counter(names).items(), key=lambda item: (-item[1], item[0]))[:MOST_GROUPS]:
            structures = torch.tensor([other == name for other in names])
            groups.append(self._group(name, structures[self.structure], structures))
        return groups

    def by_force(self) -> list[Group]:
        """Errors of the forces on the atoms with small and large forces; counts are of atoms."""
        if self.size is None:
            return []
        size = self.size.norm(dim=1)
        known = size[~size.isnan()]
        if not len(known):
            return []
        ends = torch.quantile(known[:: -(-len(known) // 1_000_000)], torch.tensor(_SHARES, dtype=known.dtype)).tolist()
        ends[-1] = float(known.max())
        groups: list[Group] = []
        for low, high in pairwise(ends):
            if high > low or not groups:
                inside = (size >= low) & ((size < high) | (high == ends[-1]))
                groups.append(self._group(f"{low / 1e3:.3g} to {high / 1e3:.3g} eV/A", inside))
        return groups

    def worst(self, count: int = 10) -> list[Worst]:
        """The structures with the largest error of one force, and of the energy among those without forces.

        Where there are both, each has half of the places, as far as it fills them.

        Args:
            count: how many.

        Returns:
            those with forces, then those without, the worst ones first.
        """
        largest = torch.full((len(self.frames),), torch.nan, dtype=torch.float64)
        atoms: list[int | None] = [None] * len(self.frames)
        if self.forces is not None:
            first = 0
            for place, frame in enumerate(self.frames):
                errors = self.forces[first : first + len(frame.z)].norm(dim=1).nan_to_num(-1.0)
                if len(errors) and float(errors.max()) >= 0:
                    largest[place], atoms[place] = errors.max(), int(errors.argmax())
                first += len(frame.z)
        energy = self.energy if self.energy is not None else torch.full_like(largest, torch.nan)
        without = energy.abs().where(largest.isnan(), torch.nan)
        some, others = (int((~by.isnan()).sum()) for by in (largest, without))
        first = min(some, max(-(-count // 2), count - others))
        return [
            Worst(place, _known(largest[place]), atoms[place], _known(energy[place]))
            for by, most in ((largest, first), (without, min(others, count - first)))
            for place in by.nan_to_num(-1.0).argsort(descending=True)[:most].tolist()
        ]


def _mean(values: Tensor) -> float | None:
    known = values[~values.isnan()]
    return float(known.mean()) if known.numel() else None


def _known(value: Tensor) -> float | None:
    return None if bool(value.isnan()) else float(value)
