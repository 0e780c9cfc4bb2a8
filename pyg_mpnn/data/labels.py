"""Where a file keeps its energies, forces and stresses: decided once, for all its structures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pyg_mpnn.units import BOHR, HARTREE, KCAL_PER_MOL, KJ_PER_MOL

if TYPE_CHECKING:
    import ase

EnergyUnit = Literal["eV", "hartree", "kcal/mol", "kJ/mol"]
LengthUnit = Literal["angstrom", "bohr"]
EV: dict[str, float] = {"eV": 1.0, "hartree": HARTREE, "kcal/mol": KCAL_PER_MOL, "kJ/mol": KJ_PER_MOL}
ANGSTROM: dict[str, float] = {"angstrom": 1.0, "bohr": BOHR}

LABELS = ("energy", "forces", "stress")
_VIRIALS = ("virials", "virial")
_PLACES = ("REF_", "results", "")  # names with this prefix; the results of a calculator; names without
_MADE_OF_ATOMS = {"numbers", "positions", "config_weight", "config_type"}  # used, or names of structures


@dataclass(frozen=True)
class LabelNames:
    """What files do not say: names of labels that are not the usual ones, units, elements.

    Where one name is given, only what is named is read: energies of one method and forces of another are not mixed. The
    names are looked up in ``info`` and ``arrays``, then, in a row of an ASE database, its keys and its ``data``, then
    the results of the calculator, into which ASE's readers put ``energy``, ``forces``, ``stress`` and ``free_energy``.
    Each must be in one structure at least.

    Args:
        energy: Name of the total energy.
        forces: Name of the forces.
        stress: Name of the stress, with ASE's sign.
        virial: Name of the virial, from which the stress is ``-virial / volume``; not beside ``stress``.
        energy_unit: Unit of the energies, and of forces and stresses with ``length_unit``; eV without it, or what the
            file says.
        length_unit: Unit of positions and cells; angstrom without it.
        types: Chemical symbols by number, for files that number their elements from 1 (LAMMPS).
        others: Names of further values to read, as they are: references of other outputs of a model, or what it reads.
        leave_out_wrong: Whether steps of an output that are not converged or cut short are left out and counted; they
            are an error without it.

    Raises:
        ValueError: both ``stress`` and ``virial`` are named, a name is empty, a unit is unknown, or a type is no
            element.

    Example:
        >>> LabelNames(energy="dft_energy", forces="dft_forces").given
        {'energy': 'dft_energy', 'forces': 'dft_forces'}
    """

    energy: str | None = None
    forces: str | None = None
    stress: str | None = None
    virial: str | None = None
    energy_unit: EnergyUnit | None = None
    length_unit: LengthUnit | None = None
    types: Mapping[int, str] = field(default_factory=dict)
    others: tuple[str, ...] = ()
    leave_out_wrong: bool = False

    def __post_init__(self) -> None:
        if self.stress is not None and self.virial is not None:
            raise ValueError(
                f"'stress' and 'virial' exclude each other, got {self.stress!r} and {self.virial!r}: name one."
            )
        for label, name in self.given.items():
            if not name:
                raise ValueError(f"the name of the {label} must not be empty, got {name!r}: leave it out.")
        for argument, known in (("energy_unit", EV), ("length_unit", ANGSTROM)):
            unit = getattr(self, argument)
            if unit is not None and unit not in known:
                raise ValueError(f"'{argument}' must be one of {', '.join(known)}, got {unit!r}.")

    @property
    def given(self) -> dict[str, str]:
        """The names by label, those that are given."""
        names = {label: getattr(self, label) for label in (*LABELS, "virial")}
        return {label: name for label, name in names.items() if name is not None}

    @property
    def key(self) -> dict[str, Any]:
        """All that is given, as plain values: structures that were read differ with it."""
        units: dict[str, Any] = {
            "energy_unit": self.energy_unit,
            "length_unit": self.length_unit,
            "types": dict(self.types),
        }
        units |= {"others": list(self.others), "leave_out_wrong": self.leave_out_wrong}
        return {**self.given, **{name: value for name, value in units.items() if value}}


def parse_types(text: str | None) -> dict[int, str]:
    """Elements by their number in a file.

    Args:
        text: for instance ``1=Cu,2=Ag``; None for none.

    Returns:
        chemical symbols by number.

    Raises:
        ValueError: the text has another form, or a symbol is unknown.

    Example:
        >>> parse_types("1=Cu,2=Ag")
        {1: 'Cu', 2: 'Ag'}
    """
    from ase.data import atomic_numbers

    types = {}
    for item in (text or "").split(",") if text else ():
        number, _, symbol = (part.strip() for part in item.partition("="))
        if not number.isdigit() or symbol not in atomic_numbers or symbol == "X":
            raise ValueError(f"'types' must be numbers and elements as in 1=Cu,2=Ag, got {text!r}.")
        types[int(number)] = symbol
    return types


@dataclass(frozen=True)
class LabelSource:
    """Which values of each structure of a file are its labels.

    Args:
        keys: place and name by label; the place is ``""`` for all places, ``"results"`` for the calculator alone,
            ``"REF_"`` for all but it.
        virial: whether what ``stress`` names is a virial.
        scale: what energies, and lengths, are multiplied by to be in eV and A.
        others: names of further values, from any place and in their own units.
    """

    keys: Mapping[str, tuple[str, str]]
    virial: bool = False
    scale: tuple[float, float] = (1.0, 1.0)
    others: tuple[str, ...] = ()

    def find(self, atoms: ase.Atoms) -> dict[str, Any]:
        """The labels of one structure, in eV and A.

        Args:
            atoms: the structure.

        Returns:
            ``energy``, ``forces``, ``stress`` and the others, those that there are; a stress only of crystals and slabs
            whose cell has a volume.

        Raises:
            ValueError: a label that is no real number, a virial or stress without 6 or 9 components.
        """
        energy, length = self.scale
        units = {"energy": energy, "forces": energy / length, "stress": energy / length**3}
        values, found = held(atoms), {}
        for label, (place, name) in [*self.keys.items(), *((name, ("", name)) for name in self.others)]:
            value = values[place].get(name)
            if value is None or (label == "stress" and not has_volume(atoms)):
                continue
            number = _real(value, name)
            if label == "stress" and self.virial:
                number = -_components(number, name) / atoms.get_volume()
            found[label] = number * units.get(label, 1.0)
        return found


class LabelCensus:
    """Counts what the structures of a file hold, then decides once which of it are the labels.

    Args:
        names: what the user says of them.
    """

    def __init__(self, names: LabelNames | None = None) -> None:
        self.names = names or LabelNames()
        self.frames = 0
        self.held: Counter[str] = Counter()  # frames with a value of this name
        self.held_without_volume: Counter[str] = Counter()  # those of them that can have no stress
        self.found: dict[str, Counter[str]] = {place: Counter() for place in _PLACES}
        self.frames_of: dict[str, set[int]] = {place: set() for place in _PLACES}

    def add(self, atoms: ase.Atoms) -> None:
        """Count one structure."""
        values = held(atoms)
        self.held.update(values[""].keys())
        if not has_volume(atoms):
            self.held_without_volume.update(values[""].keys())
        for place in _PLACES:
            prefix = "REF_" if place == "REF_" else ""
            there = [name for name in (*LABELS, *_VIRIALS) if prefix + name in values[place]]
            self.found[place].update(there)
            if there:
                self.frames_of[place].add(self.frames)
        self.frames += 1

    def choose(self, where: str) -> LabelSource:
        """Decide where the labels are.

        Args:
            where: the file, in words.

        Returns:
            the decision.

        Raises:
            ValueError: labels have other names in some structures than in others.
        """
        scale = EV[self.names.energy_unit or "eV"], ANGSTROM[self.names.length_unit or "angstrom"]
        given = self.names.given
        if given:
            virial = "virial" in given
            keys = {{"virial": "stress"}.get(label, label): ("", name) for label, name in given.items()}
            return LabelSource(keys, virial, scale, self.names.others)
        place = next((place for place in _PLACES if self.frames_of[place]), "")
        self._refuse_mixture(place, where)
        prefix = "REF_" if place == "REF_" else ""
        keys = {label: (place, prefix + label) for label in LABELS if self.found[place][label]}
        virials = [name for name in _VIRIALS if self.found[place][name]] or [
            name for name in _VIRIALS if not prefix and self.found[""][name]
        ]
        if "stress" not in keys and virials:
            keys["stress"] = ("" if not prefix else place, prefix + virials[0])
            return LabelSource(keys, True, scale, self.names.others)
        return LabelSource(keys, False, scale, self.names.others)

    def _refuse_mixture(self, place: str, where: str) -> None:
        for other in _PLACES:
            apart = self.frames_of[other] - self.frames_of[place]
            lacking = [name for name in ("energy", "forces") if self.found[other][name] and not self.found[place][name]]
            if not (apart or lacking):
                continue
            raise ValueError(
                f"{where} must have its labels under one set of names, got {self._counts(place)} and "
                f"{self._counts(other)} of {self.frames} frames, perhaps of two methods: name those to read "
                f"({self._flags(place)}, or {self._flags(other)}), or leave the others out."
            )

    def _counts(self, place: str) -> str:
        prefix = "REF_" if place == "REF_" else ""
        of = " (stored by a calculator)" if place == "results" else ""
        return ", ".join(f"{prefix}{name} in {n}" for name, n in sorted(self.found[place].items())) + of

    def _flags(self, place: str) -> str:
        prefix = "REF_" if place == "REF_" else ""
        return " ".join(f"--{name}-key {prefix}{name}" for name in LABELS if self.found[place][name])

    def unused(self, source: LabelSource) -> list[str]:
        """Names of values that are not read."""
        return sorted(set(self.held) - {name for _, name in source.keys.values()} - {*source.others} - _MADE_OF_ATOMS)


def missing_label(label: str, where: str, holds: str, names: LabelNames) -> str:
    """Say that a structure lacks a label and what there is instead: it may be there under another name."""
    given = names.given
    flag = f"--{label}-key, in Python LabelNames({label}=...)"
    if label in given:
        looked = f"it was looked for as {given[label]!r}, so correct the name ({flag})"
    elif given:
        looked = f"where one label is named, only those named are read, so name it too ({flag})"
    else:
        looked = f"it is taken from {label} or REF_{label}, so say what it is called ({flag})"
    return f"{label!r} is missing in {where}, which holds {holds}: {looked}, add it, or leave the structure out."


def held(atoms: ase.Atoms) -> dict[str, dict[str, Any]]:
    """Values of a structure by name, by place.

    Args:
        atoms: the structure.

    Returns:
        ``"results"``: what a calculator has stored for these positions (nothing is computed, constraints are not
        applied); ``"REF_"``: all else; ``""``: both.
    """
    results = {}
    if atoms.calc is not None and not atoms.calc.check_state(atoms):
        results = {name: value for name, value in atoms.calc.results.items() if value is not None}
    stored: dict[str, Any] = {}
    for key in ("data", "key_value_pairs"):  # of a row of an ASE database
        stored |= atoms.info.get(key) or {}
    stored |= {name: value for name, value in atoms.info.items() if name not in ("data", "key_value_pairs")}
    stored |= atoms.arrays
    stored = {name: value for name, value in stored.items() if value is not None}
    return {"results": results, "REF_": stored, "": {**results, **stored}}


def has_volume(atoms: ase.Atoms) -> bool:
    """Whether a structure can have a stress.

    Args:
        atoms: the structure.

    Returns:
        Whether it is a crystal or a slab with three cell vectors.
    """
    return bool(atoms.pbc.sum() >= 2 and atoms.cell.rank == 3)


def _real(value: Any, name: str) -> np.ndarray:
    """A value in float64; NumPy would take true for 1, drop imaginary parts, and use what a mask hides."""
    try:
        if np.asarray(value).dtype.kind in "bc" or np.ma.is_masked(value):
            raise ValueError
        return np.array(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name!r} must hold real numbers, got {str(value)[:60]!r}: correct the file.") from error


def _components(virial: np.ndarray, name: str) -> np.ndarray:
    if virial.size not in (6, 9):
        raise ValueError(f"{name!r} must have 6 (Voigt) or 3 x 3 components, got shape {virial.shape}.")
    return virial
