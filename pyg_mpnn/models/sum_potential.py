"""Potentials added up: a baseline and what was learned on top of it, a network and a repulsion."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pyg_mpnn.models.build import Trust
from pyg_mpnn.models.chunks import Memory
from pyg_mpnn.models.energy_model import EnergyModel
from pyg_mpnn.models.features import Features
from pyg_mpnn.models.files import load_model, open_model
from pyg_mpnn.models.outputs import Output
from pyg_mpnn.models.structure import Structure


class SumPotential(EnergyModel):
    r"""Sum of potentials, called, compiled, saved and run as one.

    .. math:: E = \sum_p E^{(p)}, \quad F = \sum_p F^{(p)}, \quad \sigma = \sum_p \sigma^{(p)}

    Neighbours are searched once, for the largest cutoff; each part gets the edges within its own. Parts may be sums.
    Other outputs of the parts are those of the sum; of one name they are added up too, as for a learned difference.

    Args:
        *potentials: the parts, at least one: :class:`~pyg_mpnn.Potential`, :class:`~pyg_mpnn.ZBL` or others.

    Shapes:
        as of :class:`~pyg_mpnn.Potential`: ``z`` ``(nodes,)``, ``pos`` ``(nodes, 3)``, ``edge_index`` ``(2, edges)``;
        energies ``(graphs,)``, forces ``(nodes, 3)``, stress ``(graphs, 3, 3)``.

    Units:
        eV, angstrom, eV/angstrom, eV/angstrom^3 with the sign of ASE.

    Raises:
        TypeError: a part that is no potential of this package.
        ValueError: no part, outputs of one name that differ in level, shape or unit; when called: what a part refuses.

    Source:
        textbook; for a learned difference to a baseline see Ramakrishnan et al., J. Chem. Theory Comput. 11, 2087
        (2015), doi:10.1021/acs.jctc.5b00099 (delta learning).

    Example:
        >>> from pyg_mpnn import Potential, ZBL
        >>> potential = SumPotential(Potential.from_size("small"), ZBL({(1, 1): 0.7}))
        >>> potential(torch.tensor([1, 1]), torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 0.2]])).forces[1, 2] > 50
        tensor(True)
    """

    def __init__(self, *potentials: EnergyModel) -> None:
        super().__init__()
        if not potentials:
            raise ValueError("'potentials' must hold at least one potential, got none")
        for potential in potentials:
            if not isinstance(potential, EnergyModel):
                raise TypeError(
                    f"'potentials' must be potentials of this package, got {type(potential).__name__}: add an ASE "
                    "calculator with ase.calculators.mixing.SumCalculator"
                )
            if not potential.has_energy:
                raise ValueError(
                    f"'potentials' must have energies, got one with {', '.join(potential.all_outputs())} alone"
                )
        self.parts = nn.ModuleList(potentials)
        kinds: dict[str, tuple[str, tuple[int, ...], str]] = {}
        for name, output in ((name, output) for part in potentials for name, output in part.all_outputs().items()):
            kind = (output.level, output.shape, output.unit)
            if kinds.setdefault(name, kind) != kind:
                raise ValueError(
                    "outputs of one name are added up and must have one level, shape and unit, got "
                    f"{kinds[name]} and {kind} for {name!r}"
                )

    @property
    def potentials(self) -> tuple[EnergyModel, ...]:
        """The parts."""
        return tuple(self.parts)  # type: ignore[arg-type]

    @property
    def cutoff(self) -> float:
        """Largest cutoff in angstrom."""
        return max(part.cutoff for part in self.potentials)

    @property
    def cutoffs(self) -> tuple[float, ...]:
        """All cutoffs in angstrom, increasing."""
        return tuple(sorted({cutoff for part in self.potentials for cutoff in part.cutoffs}))

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of forces and stress: the widest of the parts. Energies are float64 always."""
        return reduce(torch.promote_types, [part.dtype for part in self.potentials])

    @property
    def elements(self) -> tuple[int, ...]:
        """Atomic numbers that all parts know."""
        known = set.intersection(*(set(part.elements) for part in self.potentials))
        return tuple(sorted(known))

    @property
    def smoothness(self) -> float:
        """Number of continuous derivatives of the energy that all parts declare."""
        return min(float(part.smoothness) for part in self.potentials)

    @property
    def lacks(self) -> dict[str, str]:
        """What :func:`pyg_mpnn.testing.check_potential` shall not ask for, with the reason."""
        return {name: why for part in self.potentials for name, why in part.lacks.items()}

    @property
    def isolated_energies(self) -> dict[int, float] | None:
        """Sum of what the parts state, in eV; ``None`` where one states none."""
        parts = [part.isolated_energies for part in self.potentials]
        known = [part for part in parts if part is not None]
        return {z: sum(part[z] for part in known) for z in self.elements} if len(known) == len(parts) else None

    @property
    def works_in_chunks(self) -> bool:
        """Whether ``memory="low"`` is possible: where it is for all parts."""
        return all(part.works_in_chunks for part in self.potentials)

    @property
    def num_near(self) -> int:
        """Number of index lists that :meth:`near_edges` gives."""
        return sum(self._is_shorter(part) + part.num_near for part in self.potentials)

    def near_edges(self, edge_vec: Tensor) -> Sequence[Tensor]:
        """For each part the edges within its cutoff, where it is not the largest, and then those that it asks for.

        Arguments as of :class:`EnergyModel`.
        """
        lists: list[Tensor] = []
        for part in self.potentials:
            own = edge_vec.detach()
            if self._is_shorter(part):
                lists.append((own.square().sum(-1) < part.cutoff**2).nonzero().squeeze(-1))
                own = own.index_select(0, lists[-1])
            lists += part.near_edges(own)
        return lists

    def check_elements(self, z: Tensor) -> None:
        """Raise if an atom is of an element that a part does not know; arguments as of :class:`EnergyModel`."""
        for part in self.potentials:
            part.check_elements(z)

    def reference_energies(self, z: Tensor, batch: Tensor, num_graphs: int) -> tuple[Tensor, Tensor]:
        """Sums of the reference energies of the parts, of graphs and of atoms; arguments as of :class:`EnergyModel`."""
        found = [part.reference_energies(z, batch, num_graphs) for part in self.potentials]
        return reduce(torch.add, [graphs for graphs, _ in found]), reduce(torch.add, [atoms for _, atoms in found])

    def interaction_energies(
        self,
        z: Tensor,
        edge_index: Tensor,
        edge_vec: Tensor,
        batch: Tensor,
        num_graphs: int,
        near: Sequence[Tensor] | None = None,
        memory: Memory = "normal",
        inputs: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """Energy of each atom without its reference energy, summed over the parts in the widest dtype of these.

        Arguments as of :class:`EnergyModel`.
        """
        lists: Iterator[Tensor] = iter(self.near_edges(edge_vec) if near is None else near)
        energies = []
        for part in self.potentials:
            index, vec = edge_index, edge_vec
            if self._is_shorter(part):
                inside = next(lists)
                index, vec = index.index_select(1, inside), vec.index_select(0, inside)
            own = [next(lists) for _ in range(part.num_near)]
            vec = vec.to(part.dtype)
            options: dict[str, Any] = {}
            if part.graph_inputs:
                options["inputs"] = {
                    name: number for name, number in (inputs or {}).items() if name in part.graph_inputs
                }
            energies.append(part.interaction_energies(z, index, vec, batch, num_graphs, own or None, memory, **options))
        return reduce(torch.add, energies)

    @property
    def graph_inputs(self) -> tuple[str, ...]:
        """Numbers of a structure that a part reads."""
        return tuple(dict.fromkeys(name for part in self.potentials for name in part.graph_inputs))

    def all_outputs(self) -> dict[str, Output]:
        """What the parts give besides energies, by name; outputs of one name are added up."""
        return {name: output for part in self.potentials for name, output in part.all_outputs().items()}

    @property
    def why_eager(self) -> str | None:
        """Why compiled code cannot evaluate this sum; ``None`` where it can."""
        return next((part.why_eager for part in self.potentials if part.why_eager is not None), None)

    def _interaction(
        self, structure: Structure, pos: Tensor, strain: Tensor | None, memory: Memory = "normal"
    ) -> tuple[Tensor, Features | None]:
        if self.why_eager is None:
            return super()._interaction(structure, pos, strain, memory)
        parts = [(part, structure.within(part.cutoff)) for part in self.potentials]  # which may read more than edges
        return reduce(torch.add, [part._interaction(own, pos, strain, memory)[0] for part, own in parts]), None

    def _others(self, structure: Structure, features: Features | None, memory: Memory) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        for part in self.potentials:
            if part.all_outputs():
                own = part._others(structure.within(part.cutoff), None, memory)
                found |= {name: found[name] + value if name in found else value for name, value in own.items()}
        return found

    def _is_shorter(self, part: EnergyModel) -> bool:
        return part.cutoff < self.cutoff

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.potentials))})"


def open_potential(
    model: str | Path, map_location: str | torch.device = "cpu", trust: Trust | None = None
) -> EnergyModel:
    """A potential as commands take it: from a file, or from the user's Python code.

    Args:
        model: checkpoint or saved potential, or ``package.module:name`` or ``file.py:name``.
        map_location: device to load to.
        trust: code of the user's that may run, as for :func:`load_potential`.

    Returns:
        the potential, in evaluation mode.

    Raises:
        TypeError: it is none of this package.
        ValueError: there is no such file or name, or what :func:`load_potential` refuses.
    """
    potential = open_model(model, map_location, trust or ())
    if isinstance(potential, EnergyModel):
        return potential.eval()
    advice = "a representation goes into Potential(...)" if hasattr(potential, "out_channels") else "it has no energy"
    raise TypeError(f"'model' must be a potential, got {model} with a {type(potential).__name__}: {advice}")


def load_potential(path: str | Path, map_location: str | torch.device = "cpu", *, trust: Trust = ()) -> EnergyModel:
    """Read a potential or a sum of potentials; no code runs but that of this package and what ``trust`` names.

    Args:
        path: file of ``save``, or checkpoint of ``pyg-mpnn train``.
        map_location: device to load to.
        trust: code of the user's that may run, for a potential with parts of the user's own: files (``"my_net.py"``),
            modules or packages, or classes that are imported already.

    Returns:
        the potential, in evaluation mode and in the dtype it was saved in.

    Raises:
        ValueError: a file that holds no potential, is damaged, or names code that is not trusted.

    Example:
        >>> import tempfile
        >>> from pyg_mpnn import ZBL
        >>> path = f"{tempfile.mkdtemp()}/sum.pt"
        >>> SumPotential(ZBL(), ZBL(0.8)).save(path)
        >>> load_potential(path)
        SumPotential(ZBL(cutoff=5), ZBL(cutoff=5))
    """
    potential = load_model(path, map_location, trust)
    if not isinstance(potential, EnergyModel):
        raise ValueError(f"'path' must hold a potential, got {path} with a {type(potential).__name__}")
    return potential
