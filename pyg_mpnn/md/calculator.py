"""A potential as an ASE calculator."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyg_mpnn.geometry import SkinList
from pyg_mpnn.md.graph_inputs import evaluate, names_of_inputs, stored_inputs
from pyg_mpnn.models import SPREADS, EnergyModel, Spread, load_potential
from pyg_mpnn.models.checks import choose_device

try:
    from ase import Atoms
    from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes
    from ase.stress import full_3x3_to_voigt_6_stress
except ImportError as error:
    raise ImportError('pyg_mpnn.md needs ASE; install it with: pip install "pyg_mpnn[md]"') from error

__all__ = ["PotentialCalculator"]


class PotentialCalculator(Calculator):
    r"""A potential as an ASE calculator, for dynamics, relaxations and everything else that ASE does.

    .. math:: E = \sum_i E_i, \qquad F_i = -\frac{\partial E}{\partial r_i}, \qquad
              \sigma = \frac{1}{|\det C|} \frac{\partial E}{\partial \varepsilon}

    with atom energies :math:`E_i`, positions :math:`r_i`, the cell :math:`C` and a symmetric strain
    :math:`\varepsilon` of positions and cell.

    The calculator works on its own copy of the potential, in evaluation mode: what happens to the potential afterwards
    does not reach the calculator, and the potential given is left as it was. Energies come with every evaluation,
    forces and stress where they were asked for at the last structure; the first evaluation has all that there is (of a
    compiled potential what is asked, as the rest would be compiled for it). So to ask for energy, forces and stress, in
    any order, is one evaluation. After a failed one there are no results. The neighbour list is kept, and searched anew
    when an atom has moved half the skin, which changes no bit of the results. Stress exists for cells that are periodic
    in all three directions. Numbers of the structure that the potential reads, such as ``charge`` and ``spin``, are
    those of ``atoms.info``. Outputs of the names ``dipole`` in e A and ``charges`` in e are ASE's dipole and charges,
    where asked.

    Args:
        potential: a potential or a sum of potentials, or the path of a saved one or of a training checkpoint.
        device: where to run: "auto", "cpu", "cuda" or "cuda:0"; the potential's own device if None.
        dtype: torch.float32 or torch.float64 (the choice for dynamics that must conserve energy); the potential's own
            if None.
        skin: what the neighbour list holds beyond the cutoff, at least 0, in A. 0 builds a new list every time.

    Units:
        energies in eV, forces in eV/A, stress in eV/A^3 in ASE's Voigt order (xx, yy, zz, yz, xz, xy) and sign; results
        are float64 whatever the dtype of the potential.

    Raises:
        TypeError: if 'potential' is neither a Potential nor a path, or 'dtype' is no torch dtype.
        ValueError: if 'dtype' is not torch.float32 or torch.float64, 'device' cannot be used, 'skin' is negative, or
            the potential has no energy.

    Source:
        own design. Interface: A. H. Larsen et al., J. Phys.: Condens. Matter 29, 273002 (2017), the Atomic Simulation
        Environment.

    Example:
        >>> from ase.build import molecule
        >>> from pyg_mpnn import Potential, PotentialCalculator
        >>> potential = Potential.from_size("small")
        >>> potential.set_reference({1: -13.6, 6: -1027.0, 8: -2040.0}, scale=1.0, neighbors=[8.0])
        >>> atoms = molecule("CH3CH2OH", calculator=PotentialCalculator(potential))
        >>> atoms.get_forces().shape
        (9, 3)
    """

    implemented_properties = ["energy", "free_energy", "energies", "forces", "stress"]  # noqa: RUF012 (ASE's types)

    def __init__(
        self,
        potential: EnergyModel | str | Path,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
        skin: float = 0.5,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        device = _check_place(device, dtype)
        self.potential = _own_copy(potential).to(device=device, dtype=dtype).eval().requires_grad_(False)
        if not self.potential.has_energy:
            raise ValueError("'potential' must have an energy, got a model with other outputs alone")
        outputs = self.potential.all_outputs()
        units = {name: output.unit for name, output in outputs.items()}
        own = [name for name, unit in (("dipole", "e*A"), ("charges", "e")) if units.get(name) == unit]
        own += [name for name, output in outputs.items() if isinstance(output, Spread)]
        self.implemented_properties = [*type(self).implemented_properties, *own]
        self._read = names_of_inputs(self.potential)
        self._numbers = ""  # what was read in the last call: copies of a structure may share their info
        self.device = self.potential.device
        self.skin_list = SkinList(self.potential.cutoff, skin=skin)
        self._asked: set[str] = set() if self.potential.compiler is not None else {"forces", "stress"}
        self._asked_before: set[str] = set()

    def expect(self, *properties: str) -> None:
        """Say what will be asked of each structure, so that also the first evaluation computes this and no more.

        Where a dynamics is gone on with, its forces are then the same to the last bit: those that come with a stress
        may differ by rounding.

        Args:
            *properties: names out of ``implemented_properties``.
        """
        self._asked = set(properties)

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Evaluate the potential once; ASE calls this when a result is not at hand.

        Args:
            atoms: the structure; the one of the last call if None.
            properties: names out of ``implemented_properties``.
            system_changes: what ASE found to be different from the last call; not used.

        Raises:
            PropertyNotImplementedError: if a stress is asked of a molecule, a wire, or a slab without a height.
            ValueError: if a position or cell vector is not finite, a periodic direction has no cell vector, an element
                was not trained on, two atoms coincide, a number that the potential reads is not in ``atoms.info``, or
                there is no structure at all.
        """
        if atoms is not None and self.check_state(atoms):  # ASE's own callers have put a copy here before
            self.atoms = atoms.copy()
        self.results = {}  # those of the structure before, which an error must not leave
        if self.atoms is None:
            raise ValueError("'atoms' must be given in the first call, got None")
        self._numbers = self._numbers_of(self.atoms)
        check_atoms(self.atoms, "stress" in properties)
        wanted = {*properties, *self._asked_before}
        stress = bool({"stress", "stress_std"} & wanted) and _has_stress(self.atoms)
        z, pos, cell, pbc = self._tensors(self.atoms)
        edge_index, shifts = self.skin_list(pos, cell, pbc)
        with torch.no_grad():
            output = evaluate(
                self.potential,
                self.atoms,
                z,
                pos,
                fields={**_periodic(cell, pbc), "edge_index": edge_index, "shifts": shifts},
                forces=stress or bool({"forces", "forces_std"} & wanted),
                stress=stress,
                outputs=bool({"dipole", "charges", *SPREADS} & set(wanted)),
            )
        energy = output.energy.item()
        self.results = {"energy": energy, "free_energy": energy, "energies": _array(output.atom_energies)}
        if output.forces is not None:
            self.results["forces"] = _array(output.forces)
        if output.stress is not None:
            self.results["stress"] = full_3x3_to_voigt_6_stress(_array(output.stress[0]))
        if "dipole" in output.others:
            self.results["dipole"] = _array(output.dipole[0])
        if "charges" in output.others:
            self.results["charges"] = _array(output.charges)
        for name in SPREADS:
            if name in output.others:
                self.results[name] = _array(output[name]) if SPREADS[name].level == "atom" else output[name].item()

    def error_bars(self, atoms: Atoms) -> dict[str, np.ndarray]:
        """Error bars of energy and forces of a structure, apart from the results that ASE asks for.

        Args:
            atoms: the structure.

        Returns:
            what the potential states, by the names of ``pyg_mpnn.models.SPREADS``.

        Units:
            eV, eV/A.

        Raises:
            ValueError: the potential has no error bars.
        """
        if not any(isinstance(output, Spread) for output in self.potential.all_outputs().values()):
            raise ValueError("'potential' must have error bars, got one without: see pyg-mpnn calibrate")
        z, pos, cell, pbc = self._tensors(atoms)
        with torch.no_grad():
            output = evaluate(self.potential, atoms, z, pos, fields=_periodic(cell, pbc), forces=True)
        return {name: _array(output[name]) for name in SPREADS if name in output.others}

    def get_property(self, name: str, atoms: Atoms | None = None, allow_calculation: bool = True) -> Any:
        """One result; a structure that is new is evaluated for all that was asked of the one before.

        Args:
            name: out of ``implemented_properties``.
            atoms: the structure; the one of the last call if None.
            allow_calculation: whether to evaluate where the result is not at hand.

        Returns:
            the result, None where it is not at hand and must not be computed.
        """
        if atoms is not None and self.check_state(atoms):
            self._asked_before, self._asked = self._asked, set()
        self._asked.add(name)
        return super().get_property(name, atoms, allow_calculation)  # type: ignore[no-untyped-call]

    def _numbers_of(self, atoms: Atoms) -> str:
        known = stored_inputs(atoms)
        return repr([known.get(name) for name in self._read])

    def check_state(self, atoms: Atoms, tol: float = 0.0) -> list[str]:
        """Name what is different from the last call, to the last bit.

        ASE compares with a tolerance, several times per step, which takes longer than the whole rest of this class.
        Bytes compare faster than numbers.

        Args:
            atoms: the structure.
            tol: not used.

        Returns:
            names out of positions, numbers, cell and pbc, and info where the potential reads a number of it that is
            another; all of ASE's where there was no call before.
        """
        if self.atoms is None:
            return list(all_changes)
        old = self.atoms
        pairs = {
            "positions": (old.positions, atoms.positions),
            "numbers": (old.numbers, atoms.numbers),
            "cell": (old.cell.array, atoms.cell.array),
            "pbc": (old.pbc, atoms.pbc),
        }
        changed = [name for name, (a, b) in pairs.items() if a.shape != b.shape or a.tobytes() != b.tobytes()]
        if self._read and self._numbers_of(atoms) != self._numbers:
            changed.append("info")
        return changed

    def _tensors(self, atoms: Atoms) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        device = self.device
        z = torch.tensor(atoms.numbers, dtype=torch.long, device=device)
        pos = torch.tensor(atoms.positions, dtype=torch.float64, device=device)
        if not atoms.pbc.any():
            return z, pos, None, None
        cell = torch.tensor(atoms.cell.array, dtype=torch.float64, device=device)
        return z, pos, cell, torch.tensor(atoms.pbc, device=device)


def _periodic(cell: Tensor | None, pbc: Tensor | None) -> dict[str, Tensor]:
    return {} if cell is None or pbc is None else {"cell": cell[None], "pbc": pbc[None]}


def _own_copy(potential: EnergyModel | str | Path) -> EnergyModel:
    if isinstance(potential, str | Path):
        return load_potential(potential)
    if not isinstance(potential, EnergyModel):
        raise TypeError(
            f"'potential' must be a Potential or the path of a saved one, got {type(potential).__name__}; "
            f"load a checkpoint with load_potential(path)"
        )
    return copy.deepcopy(potential)


def _check_place(device: str | torch.device | None, dtype: torch.dtype | None) -> torch.device | None:
    if dtype is not None and not isinstance(dtype, torch.dtype):
        raise TypeError(f"'dtype' must be torch.float32 or torch.float64, got {dtype!r} ({type(dtype).__name__})")
    if dtype not in (None, torch.float32, torch.float64):
        raise ValueError(f"'dtype' must be torch.float32 or torch.float64, got {dtype}")
    return choose_device(device)


def check_atoms(atoms: Atoms, stress: bool) -> None:
    """Refuse what no potential can evaluate.

    Args:
        atoms: the structure.
        stress: whether it must have a stress.

    Raises:
        PropertyNotImplementedError: a stress where there is no volume.
        ValueError: a position or cell vector that is not finite, or a periodic direction without one.
    """
    if not np.isfinite(atoms.positions).all():
        first = int(np.argmin(np.isfinite(atoms.positions).all(axis=1)))
        raise ValueError(
            f"'atoms' must have finite positions, got {atoms.positions[first]} for atom {first} "
            f"({atoms.symbols[first]}); in dynamics, take a smaller timestep"
        )
    cell = atoms.cell.array
    if not np.isfinite(cell).all() or (atoms.pbc & ~cell.any(axis=1)).any():
        raise ValueError(
            f"'atoms' must have a finite, non-zero cell vector in each periodic direction, got pbc {atoms.pbc} "
            f"with cell {atoms.cell.tolist()}; set atoms.cell, or atoms.pbc = False for a molecule"
        )
    if stress and not _has_stress(atoms):
        raise PropertyNotImplementedError(
            f"'stress' needs a cell that is periodic in two or three directions, with three vectors, got pbc "
            f"{atoms.pbc} with cell {atoms.cell.tolist()}; a molecule or wire has no volume to divide by, and a slab "
            f"needs a vector across it"
        )


def _has_stress(atoms: Atoms) -> bool:
    return bool(atoms.pbc.sum() >= 2 and atoms.cell.rank == 3)


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().double().numpy()
