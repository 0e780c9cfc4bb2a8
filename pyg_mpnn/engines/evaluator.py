"""What every engine calls: a potential on plain arrays of one structure, and the line that says what runs."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pyg_mpnn.deploy import CompileMode
from pyg_mpnn.geometry import SkinList
from pyg_mpnn.models import EnergyModel, SumPotential, load_potential
from pyg_mpnn.models.build import Trust
from pyg_mpnn.models.checks import choose_device
from pyg_mpnn.models.structure import fixed_inputs

__all__ = ["Evaluation", "Evaluator", "atomic_numbers", "missing"]


class Evaluation(NamedTuple):
    """Energy in eV, forces in eV/A ``(nodes, 3)``, virial in eV ``(3, 3)``: minus the derivative by the strain."""

    energy: float
    forces: np.ndarray
    virial: np.ndarray | None


class Evaluator:
    r"""A potential on plain arrays, for engines that give positions and a cell.

    .. math:: E = \sum_i E_i, \quad F_i = -\frac{\partial E}{\partial r_i}, \quad
              W = -\frac{\partial E}{\partial \varepsilon}

    Works on its own copy of the potential, in evaluation mode. The neighbour list is kept and searched anew where an
    atom has moved half the skin, the cell or the number of atoms has changed.

    Args:
        potential: a potential or a sum of potentials, or the path of a saved one or of a training checkpoint.
        device: where to run; the potential's own device if None.
        dtype: torch.float32 or torch.float64; float64 conserves the energy of a dynamics.
        skin: what the neighbour list holds beyond the cutoff, in A.
        compile: as of :meth:`pyg_mpnn.Potential.compile`.
        inputs: a number for each of what the potential reads of a structure besides, such as ``{"charge": 1}``.
        trust: code of the user's that may run, as for :func:`pyg_mpnn.load_potential`, where ``potential`` is a path.

    Units:
        eV, A, eV/A.

    Raises:
        TypeError: ``potential`` is neither a potential nor a path.
        ValueError: a file without a potential, a device or dtype that cannot be used, a number in ``inputs`` that is
            missing or that the potential does not read; when called: an element that the
            potential does not know, positions that are not finite, two atoms at one place.

    Source:
        own design.

    Example:
        >>> from pyg_mpnn import Potential
        >>> evaluator = Evaluator(Potential.from_size("small"))
        >>> evaluator([1, 1], np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 0.74]])).forces.shape
        (2, 3)
    """

    def __init__(
        self,
        potential: EnergyModel | SumPotential | str | Path,
        *,
        device: str | torch.device | None = None,
        dtype: torch.dtype = torch.float64,
        skin: float = 0.5,
        compile: CompileMode = "off",
        inputs: Mapping[str, float] | None = None,
        trust: Trust = (),
    ) -> None:
        if dtype not in (torch.float32, torch.float64):
            raise ValueError(f"'dtype' must be torch.float32 or torch.float64, got {dtype}")
        device = choose_device(device)
        self.source, self.compile = potential, compile
        self.potential = _own_copy(potential, trust).to(device=device, dtype=dtype).eval().requires_grad_(False)
        if not self.potential.has_energy:
            raise ValueError("'potential' must have an energy, got a model of other properties alone")
        self.inputs = fixed_inputs(self.potential.graph_inputs, inputs)
        self.potential.compile(compile)
        self.dtype, self.device = self.potential.dtype, self.potential.device
        self.skin_list = SkinList(self.potential.cutoff, skin=skin)

    def check_elements(self, numbers: Sequence[int] | np.ndarray) -> None:
        """Refuse elements that the potential was not trained on, before an engine starts.

        Args:
            numbers: atomic numbers.
        """
        z = torch.as_tensor(np.asarray(numbers), dtype=torch.long, device=self.device)
        for part in parts(self.potential):
            part.check_elements(z)

    def __call__(
        self,
        numbers: Sequence[int] | np.ndarray,
        positions: np.ndarray,
        cell: np.ndarray | None = None,
        pbc: Sequence[bool] | np.ndarray | None = None,
        *,
        virial: bool = False,
    ) -> Evaluation:
        """Evaluate one structure.

        Args:
            numbers: atomic numbers, ``(nodes,)``.
            positions: in A, ``(nodes, 3)``; need not lie in the cell.
            cell: vectors in rows, in A; any length where a direction is not periodic, but not zero for a virial.
            pbc: periodic directions; none where there is no cell, else all where not given.
            virial: whether to return the virial, which needs a cell, periodic or not.

        Returns:
            the results.
        """
        z, pos = self._tensor(numbers, torch.long), self._tensor(positions)
        box = None if cell is None else self._tensor(cell)
        periodic = None if box is None else torch.as_tensor([True] * 3 if pbc is None else np.asarray(pbc) > 0)
        bounded = periodic is not None and bool(periodic.any())
        edge_index, shifts = self.skin_list(pos, box if bounded else None, periodic if bounded else None)
        with_cell = virial or bounded
        assert box is not None or not with_cell
        # With edges given, pbc decides only whether there is a stress: a slab in a box of finite height has a virial.
        output = self.potential(
            z,
            pos,
            cell=box[None] if with_cell and box is not None else None,
            pbc=torch.ones(1, 3, dtype=torch.bool) if with_cell else None,
            edge_index=edge_index,
            shifts=shifts,
            forces=True,
            stress=virial,
            outputs=False,
            inputs=self.inputs,
        )
        stress = None
        if output.stress is not None and box is not None:
            stress = _array(-output.stress[0] * torch.linalg.det(box).abs())
        return Evaluation(output.energy.item(), _array(output.forces), stress)

    def batch(
        self,
        numbers: Sequence[int] | np.ndarray,
        positions: Sequence[np.ndarray],
        cells: Sequence[np.ndarray],
        pbc: Sequence[bool],
    ) -> list[Evaluation]:
        """Evaluate copies of one structure, such as the beads of a ring polymer, in one graph.

        Args:
            numbers: atomic numbers of one copy, ``(nodes,)``.
            positions: of each copy, in A.
            cells: of each copy, vectors in rows, in A.
            pbc: periodic directions of all copies.

        Returns:
            the results of each copy, with the virial where all directions are periodic.
        """
        count, size = len(positions), len(numbers)
        z = self._tensor(np.tile(np.asarray(numbers), count), torch.long)
        index = torch.arange(count, device=self.device).repeat_interleave(size)
        crystal, bounded = all(pbc), any(pbc)
        box = self._tensor(np.stack(cells))
        output = self.potential(
            z,
            self._tensor(np.concatenate(positions)),
            index,
            box if bounded else None,
            torch.as_tensor(list(pbc)).expand(count, 3) if bounded else None,
            forces=True,
            stress=crystal,
            outputs=False,
            inputs=self.inputs,
        )
        forces = _array(output.forces).reshape(count, size, 3)
        virials: list[np.ndarray | None] = [None] * count
        if output.stress is not None:
            virials = list(_array(-output.stress * torch.linalg.det(box).abs()[:, None, None]))
        return [Evaluation(*values) for values in zip(output.energy.tolist(), forces, virials, strict=True)]

    def announce(self, engine: str, units: str, ensemble: str) -> str:
        """The line that every run starts with.

        Args:
            engine: name and version.
            units: of the engine.
            ensemble: in the engine's words.

        Returns:
            engine, units, potential, names of the labels that it was trained on where they are known, numbers such as
            a charge that it reads, precision, ensemble.
        """
        compiled = "" if self.compile == "off" else f", compile {self.compile}"
        precision = "".join(f"{name} {value:g}, " for name, value in self.inputs.items())
        precision += str(self.dtype).removeprefix("torch.")
        return (
            f"pyg_mpnn in {engine}: units {units}; potential {describe(self.source, self.potential.record)}, "
            f"{precision}{compiled}; ensemble {ensemble}"
        )

    def _tensor(self, values: Sequence[int] | np.ndarray, dtype: torch.dtype = torch.float64) -> Tensor:
        return torch.as_tensor(np.ascontiguousarray(values)).to(device=self.device, dtype=dtype)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.potential}, dtype={self.dtype}, skin={self.skin_list.skin})"


def parts(potential: EnergyModel | SumPotential) -> Iterator[EnergyModel]:
    """The potentials that add up to this one: itself where it is no sum."""
    if isinstance(potential, SumPotential):
        for part in potential.potentials:
            yield from parts(part)
    else:
        yield potential


def atomic_numbers(elements: Sequence[str | int]) -> list[int]:
    """Atomic numbers of chemical symbols.

    Args:
        elements: symbols or atomic numbers.

    Returns:
        atomic numbers.

    Raises:
        ValueError: no symbol of an element.

    Example:
        >>> atomic_numbers(["Si", 8])
        [14, 8]
    """
    from ase.data import atomic_numbers as table

    unknown = [element for element in elements if isinstance(element, str) and table.get(element, 0) < 1]
    if unknown:
        raise ValueError(f"'elements' must be chemical symbols such as Si, got {', '.join(map(repr, unknown))}")
    return [table[element] if isinstance(element, str) else int(element) for element in elements]


def missing(package: str, extra: str) -> str:
    """What to say where an engine is not installed."""
    return f'pyg_mpnn.engines.{extra} needs {package}; install it with: pip install "pyg_mpnn[{extra}]"'


def _own_copy(potential: EnergyModel | SumPotential | str | Path, trust: Trust) -> EnergyModel | SumPotential:
    if isinstance(potential, str | Path):
        return load_potential(potential, trust=trust)
    if not isinstance(potential, EnergyModel | SumPotential):
        raise TypeError(
            "'potential' must be a potential of this package or the path of a saved one, got "
            f"{type(potential).__name__}"
        )
    return copy.deepcopy(potential)


def numbers_of_atoms(part: EnergyModel, inputs: Mapping[str, float], z: Tensor) -> dict[str, Any]:
    """Keyword arguments for ``interaction_energies`` of a potential that reads numbers of the structure."""
    numbers = {name: torch.full_like(z, inputs[name], dtype=torch.float64) for name in part.graph_inputs}
    return {"inputs": numbers} if numbers else {}


def describe(source: EnergyModel | SumPotential | str | Path, record: Mapping[str, Any]) -> str:
    """File and names of labels, from what its training says of its data or from the settings beside a checkpoint.

    Args:
        source: a potential, or the path that it came from.
        record: of its training.

    Returns:
        the words.
    """
    if not isinstance(source, str | Path):
        return f"{type(source).__name__} (no file)"
    if record.get("labels"):
        return f"{source} (labels: {', '.join(record['labels'].values())} structures)"
    settings = Path(source).parent / "settings.json"
    try:
        values = json.loads(settings.read_text())
    except (OSError, ValueError):
        return f"{source} (names of its labels not known)"
    names = [values[key] for key in ("energy_key", "forces_key", "stress_key", "virial_key") if values.get(key)]
    return f"{source} (labels {', '.join(names) if names else 'of the usual names'})"


def _array(tensor: Tensor | None) -> np.ndarray:
    assert tensor is not None
    return tensor.detach().cpu().double().numpy()
