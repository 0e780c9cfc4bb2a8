"""ASE's integrators by their own names: which ensemble each samples, how it is set up, what it conserves."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.constraints import FixAtoms, FixCartesian
from ase.md.bussi import Bussi
from ase.md.langevin import Langevin
from ase.md.md import MolecularDynamics
from ase.md.nose_hoover_chain import MTKNPT, IsotropicMTKNPT, MaskedMTKNPT, NoseHooverChainNVT
from ase.md.verlet import VelocityVerlet

from pyg_mpnn.units import GPA

__all__ = ["Conditions", "Integrator", "INTEGRATORS", "choose", "parse_pressure"]

_MTK = (IsotropicMTKNPT, MTKNPT, MaskedMTKNPT)
_CHAIN = ("_q", "_p", "_thermostat._eta", "_thermostat._p_eta")
_BAROSTAT = ("_barostat._xi", "_barostat._p_xi")


@dataclass(frozen=True)
class Integrator:
    """One of ASE's integrators.

    Args:
        ensemble: nve, nvt or npt.
        kind: ASE's class.
        state: names of what it keeps between two steps, beside positions, momenta and random numbers.
        conserved: what the dynamics conserves, in eV; None where it conserves nothing.
        words: what it is.
    """

    ensemble: str
    kind: type[MolecularDynamics]
    state: tuple[str, ...]
    conserved: Callable[[Any], float] | None
    words: str


INTEGRATORS: dict[str, Integrator] = {
    of.kind.__name__: of
    for of in (
        Integrator("nve", VelocityVerlet, (), lambda dyn: dyn.atoms.get_total_energy(), "velocity Verlet"),
        Integrator("nvt", Langevin, (), None, "Langevin thermostat"),
        Integrator(
            "nvt",
            Bussi,
            ("transferred_energy",),
            lambda dyn: dyn.atoms.get_total_energy() - dyn.transferred_energy,
            "stochastic velocity rescaling",
        ),
        Integrator(
            "nvt",
            NoseHooverChainNVT,
            _CHAIN,
            lambda dyn: dyn.get_conserved_energy(),
            "chain of Nose-Hoover thermostats",
        ),
        Integrator(
            "npt",
            IsotropicMTKNPT,
            (*_CHAIN, *_BAROSTAT, "_eps", "_p_eps", "_cell0", "_volume0"),
            lambda dyn: dyn.get_conserved_energy(),
            "volume, the shape of the cell kept",
        ),
        Integrator(
            "npt",
            MTKNPT,
            (*_CHAIN, *_BAROSTAT, "_h", "_p_g"),
            lambda dyn: dyn.get_conserved_energy(),
            "all strains of the cell",
        ),
        Integrator(
            "npt",
            MaskedMTKNPT,
            (*_CHAIN, *_BAROSTAT, "_h", "_h0_basis", "_p_c"),
            lambda dyn: dyn.get_conserved_energy(),
            "strains along cell vectors",
        ),
    )
}
"""By the name of ASE's class; the first of an ensemble is its default."""


@dataclass(frozen=True)
class Conditions:
    """What a dynamics is run at.

    Args:
        name: of ASE's class, a key of :data:`INTEGRATORS`.
        timestep: in fs.
        temperature: in K.
        friction: of Langevin's thermostat, in 1/fs.
        tdamp: time constant of the other thermostats, in fs.
        pdamp: time constant of the barostat, in fs.
        pressure: in eV/A^3.
        axes: which cell vectors change.
    """

    name: str
    timestep: float
    temperature: float
    friction: float
    tdamp: float
    pdamp: float
    pressure: float
    axes: tuple[bool, bool, bool]

    @property
    def integrator(self) -> Integrator:
        """Its entry in the table."""
        return INTEGRATORS[self.name]

    @property
    def needs_stress(self) -> bool:
        """Whether the cell moves."""
        return self.integrator.ensemble == "npt"

    @property
    def thermalises_the_whole(self) -> bool:
        """Whether the motion of the whole has the temperature too; the other integrators leave it at rest."""
        return self.name == "Langevin"

    def build(self, atoms: Atoms, dof: int, rng: np.random.Generator) -> MolecularDynamics:
        """Set up ASE's integrator.

        ASE's Nose-Hoover chains take 3 N degrees of freedom for granted. They get the number that really moves, without
        which nine atoms whose centre rests would be 29 % too hot.

        Args:
            atoms: with velocities, and with a calculator where the cell moves.
            dof: degrees of freedom that move.
            rng: source of the random numbers.

        Returns:
            The integrator.
        """
        step, kind = self.timestep * units.fs, self.integrator.kind
        if kind is VelocityVerlet:
            return VelocityVerlet(atoms, step)
        bath: dict[str, Any] = {"temperature_K": self.temperature}
        if kind is Langevin:  # fixcm would keep the total momentum at zero, and the temperature slightly off
            return Langevin(atoms, step, friction=self.friction / units.fs, rng=rng, fixcm=False, **bath)
        if kind is Bussi:
            bussi = Bussi(atoms, step, taut=self.tdamp * units.fs, rng=rng, **bath)
            bussi.ndof, bussi.target_kinetic_energy = dof, 0.5 * dof * bussi.temp
            return bussi
        bath["tdamp"] = self.tdamp * units.fs
        if kind in _MTK:
            bath |= {"pressure_au": self.pressure, "pdamp": self.pdamp * units.fs}
        if kind is MaskedMTKNPT:  # an array: a tuple would be an index of three axes
            bath["mask"] = np.array(self.axes)
        chains: Any = kind(atoms, step, **bath)
        _count(chains, dof)
        if kind is NoseHooverChainNVT and atoms.constraints:
            chains._get_forces = functools.partial(_constrained_forces, chains)
        return chains  # type: ignore[no-any-return]

    def describe(self, *, drawn: bool = True) -> str:
        """Ensemble and conditions in words, for the first line of a run.

        Args:
            drawn: whether velocities are drawn at the temperature, and not those of a file.

        Returns:
            The words.
        """
        of = self.integrator
        texts = [f"{of.ensemble.upper()} by ASE's {self.name} ({of.words})", f"{self.temperature:g} K"]
        if of.ensemble == "nve":
            texts[-1] = f"{texts[-1]} at the start" if drawn else "velocities of the file"
        elif self.name == "Langevin":
            texts.append(f"friction {self.friction:g} 1/fs")
        else:
            texts.append(f"{'taut' if self.name == 'Bussi' else 'tdamp'} {self.tdamp:g} fs")
        if of.ensemble == "npt":
            texts.append(f"pressure {self.pressure / GPA:g} GPa ({self.pressure / GPA * 1e4:g} bar)")
            texts.append(f"pdamp {self.pdamp:g} fs")
        if self.name == "MaskedMTKNPT":
            texts.append(f"cell vectors {', '.join(_letters(self.axes))} change")
        return ", ".join([*texts, f"time step {self.timestep:g} fs"])


def choose(atoms: Atoms, settings: dict[str, Any]) -> Conditions:
    """The conditions that settings ask for, checked against the structure before the first step.

    Args:
        atoms: the structure.
        settings: ensemble, integrator, timestep, temperature, friction, tdamp, pdamp, pressure, axes.

    Returns:
        The conditions, with defaults filled in.

    Raises:
        ValueError: they contradict each other, or the structure cannot have them.
    """
    ensemble, name, axes = settings["ensemble"], settings["integrator"], settings["axes"]
    crystal = bool(atoms.pbc.all())
    if name is None:
        name = next(key for key, of in INTEGRATORS.items() if of.ensemble == ensemble)
        if ensemble == "npt" and (axes or not crystal):
            name = "MaskedMTKNPT"
    names = [key for key, of in INTEGRATORS.items() if of.ensemble == ensemble]
    if name not in names:
        raise ValueError(f"'integrator' must be one of {', '.join(names)} for the ensemble {ensemble}, got {name!r}")
    if axes and name != "MaskedMTKNPT":
        raise ValueError(f"'axes' belong to the integrator MaskedMTKNPT of the ensemble npt, got {axes} with {name}")
    free = _axes(axes, atoms) if name == "MaskedMTKNPT" else (ensemble == "npt",) * 3
    if ensemble == "npt":
        _check_cell(atoms, name, free)
    elif settings["pressure"] is not None:
        raise ValueError(f"'pressure' belongs to the ensemble npt, got {settings['pressure']!r} with {ensemble}")
    uses = {
        "friction": name == "Langevin",
        "tdamp": ensemble != "nve" and name != "Langevin",
        "pdamp": ensemble == "npt",
    }
    for key, used in uses.items():
        if settings[key] is not None and not used:
            raise ValueError(
                f"{key!r} is not used by {name} of the ensemble {ensemble}, got {settings[key]}: leave it out"
            )
    _check_constraints(atoms, name)
    step = settings["timestep"]
    return Conditions(
        name=name,
        timestep=step,
        temperature=settings["temperature"],
        friction=settings["friction"] or 0.01,
        tdamp=settings["tdamp"] or 100 * step,
        pdamp=settings["pdamp"] or 1000 * step,
        pressure=parse_pressure(settings["pressure"] or "0 GPa"),
        axes=free,
    )


def parse_pressure(text: str) -> float:
    """A pressure with its unit.

    Args:
        text: a number and GPa or bar.

    Returns:
        The pressure.

    Units:
        eV/A^3.

    Raises:
        ValueError: no number, or another unit or none.

    Example:
        >>> round(parse_pressure("1 GPa") / parse_pressure("1bar"))
        10000
    """
    match = re.fullmatch(r"\s*([-+]?[\d.]+(?:[eE][-+]?\d+)?)\s*(GPa|bar)\s*", str(text))
    try:
        number = float(match[1]) if match else None
    except ValueError:
        number = None
    if match is None or number is None:
        raise ValueError(f"'pressure' must be a number with its unit, such as '1bar' or '0.5GPa', got {text!r}")
    return number * GPA * {"GPa": 1.0, "bar": 1e-4}[match[2]]


def _letters(axes: Sequence[bool]) -> list[str]:
    return [letter for letter, free in zip("abc", axes, strict=True) if free]


def _axes(words: Sequence[str] | None, atoms: Atoms) -> tuple[bool, bool, bool]:
    if words is None:
        a, b, c = atoms.pbc.tolist()
        return a, b, c
    if not words or set(words) - set("abc") or len(set(words)) < len(words):
        raise ValueError(f"'axes' must be some of a, b, c (the cell vectors), each once, got {' '.join(words)!r}")
    return "a" in words, "b" in words, "c" in words


def _check_cell(atoms: Atoms, name: str, free: tuple[bool, bool, bool]) -> None:
    cell, axes = atoms.cell.array, np.array(free)
    if atoms.pbc.sum() < 2 or atoms.cell.rank < 3:
        raise ValueError(
            f"'ensemble' npt needs a crystal, or a slab with a third cell vector across it, got pbc {atoms.pbc} with "
            f"cell {atoms.cell.tolist()}: choose nve or nvt"
        )
    if not atoms.pbc[axes].all():
        raise ValueError(
            f"'integrator' {name} must change periodic directions only, got pbc {atoms.pbc}: for a slab leave "
            f"'integrator' and 'axes' out, or give axes {' '.join(_letters(atoms.pbc.tolist()))}"
        )
    directions = cell / np.linalg.norm(cell, axis=1)[:, None]
    if np.abs(directions[axes] @ directions[~axes].T).max(initial=0.0) > 1e-6:
        raise ValueError(
            f"'axes' must be perpendicular to the cell vectors that stay, or these would change too, got "
            f"{' '.join(_letters(free))} with cell {atoms.cell.tolist()}"
        )


def _check_constraints(atoms: Atoms, name: str) -> None:
    if not atoms.constraints:
        return
    if INTEGRATORS[name].ensemble == "npt":
        raise ValueError(
            f"'ensemble' must be nve or nvt for a structure with constraints (atoms fixed in a cell that moves: ASE's "
            f"{name} has no such thing), got {atoms.constraints}"
        )
    simple = all(isinstance(constraint, FixAtoms | FixCartesian) for constraint in atoms.constraints)
    if name == "NoseHooverChainNVT" and not simple:
        raise ValueError(
            f"'integrator' NoseHooverChainNVT knows the constraints FixAtoms and FixCartesian only, got "
            f"{atoms.constraints}: choose Langevin or Bussi"
        )


def _constrained_forces(chains: Any) -> np.ndarray:
    """Forces without those on fixed atoms: with ASE's own these gather momenta, which the thermostat takes for heat."""
    chains._update_atoms()
    forces: np.ndarray = chains.atoms.get_forces()
    return forces


def _count(chains: Any, dof: int) -> None:
    """Give Nose-Hoover chains the number of degrees of freedom, which they know as 3 times a number of atoms."""
    chains._thermostat._Q[0] *= dof / (3 * chains._thermostat._num_atoms_global)
    chains._thermostat._num_atoms_global = dof / 3
    if hasattr(chains, "_num_atoms_global"):
        chains._num_atoms_global = dof / 3
