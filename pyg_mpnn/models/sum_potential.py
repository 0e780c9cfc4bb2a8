"""Potentials added up: a baseline and what was learned on top of it, a network and a repulsion."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from pathlib import Path
from typing import Any, TypeAlias, Union

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from pyg_mpnn.deploy import CompileMode
from pyg_mpnn.models.chunks import Memory
from pyg_mpnn.models.energy_model import EnergyModel, PotentialOutput
from pyg_mpnn.models.files import read_potential, write_model
from pyg_mpnn.models.potential import Potential
from pyg_mpnn.models.structure import Structure, read_structure
from pyg_mpnn.models.variables import gradients
from pyg_mpnn.models.zbl import ZBL

AnyPotential: TypeAlias = Union[EnergyModel, "SumPotential"]


class SumPotential(nn.Module):
    r"""Sum of potentials, called, saved and run as one.

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
        ValueError: no part; when called: what a part refuses.

    Source:
        textbook; for a learned difference to a baseline see Ramakrishnan et al., J. Chem. Theory Comput. 11, 2087
        (2015), doi:10.1021/acs.jctc.5b00099 (delta learning).

    Example:
        >>> from pyg_mpnn import Potential, ZBL
        >>> potential = SumPotential(Potential.from_size("small"), ZBL({(1, 1): 0.7}))
        >>> potential(torch.tensor([1, 1]), torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 0.2]])).forces[1, 2] > 50
        tensor(True)
    """

    def __init__(self, *potentials: AnyPotential) -> None:
        super().__init__()
        if not potentials:
            raise ValueError("'potentials' must hold at least one potential, got none")
        for potential in potentials:
            if not isinstance(potential, EnergyModel | SumPotential):
                raise TypeError(
                    f"'potentials' must be potentials of this package, got {type(potential).__name__}: add an ASE "
                    "calculator with ase.calculators.mixing.SumCalculator"
                )
        self.parts = nn.ModuleList(potentials)

    @property
    def potentials(self) -> tuple[AnyPotential, ...]:
        """The parts."""
        return tuple(self.parts)  # type: ignore[arg-type]

    @property
    def cutoff(self) -> float:
        """Largest cutoff in angstrom."""
        return max(part.cutoff for part in self.potentials)

    @property
    def cutoffs(self) -> tuple[float, ...]:
        """All cutoffs in angstrom, increasing."""
        found = (getattr(part, "cutoffs", (part.cutoff,)) for part in self.potentials)
        return tuple(sorted({cutoff for cutoffs in found for cutoff in cutoffs}))

    @property
    def has_energy(self) -> bool:
        """Whether there are energies: whether all parts have one."""
        return all(part.has_energy for part in self.potentials)

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of forces and stress: the widest of the parts. Energies are float64 always."""
        return reduce(torch.promote_types, [part.dtype for part in self.potentials])

    @property
    def device(self) -> torch.device:
        """Where the parts are."""
        return self.potentials[0].device

    @property
    def smoothness(self) -> float:
        """Number of continuous derivatives of the energy that all parts declare."""
        return min(float(getattr(part, "smoothness", 1)) for part in self.potentials)

    @property
    def lacks(self) -> dict[str, str]:
        """What :func:`pyg_mpnn.testing.check_potential` shall not ask for, with the reason."""
        return {name: why for part in self.potentials for name, why in getattr(part, "lacks", {}).items()}

    @property
    def config(self) -> dict[str, Any] | None:
        """Plain values that rebuild this sum; ``None`` where a part has none."""
        parts = [getattr(part, "config", None) for part in self.potentials]
        return None if None in parts else {"class": "SumPotential", "parts": parts}

    def forward(
        self,
        data: Data | Tensor,
        pos: Tensor | None = None,
        batch: Tensor | None = None,
        cell: Tensor | None = None,
        pbc: Tensor | None = None,
        edge_index: Tensor | None = None,
        shifts: Tensor | None = None,
        *,
        forces: bool | None = None,
        stress: bool = False,
        memory: Memory = "normal",
    ) -> PotentialOutput:
        """Energy, and on request forces and stress; arguments as of :class:`~pyg_mpnn.Potential`."""
        trained = self.training and torch.is_grad_enabled()
        forces = self.has_energy if forces is None else forces
        with gradients(enabled=forces or stress):
            structure = read_structure(data, pos, batch, cell, pbc, edge_index, shifts, dtype=self.dtype)
            structure = self.with_inputs(structure, data)
            return self.evaluate(structure, forces=forces, stress=stress, memory=memory, trained=trained)

    def with_inputs(self, structure: Structure, data: Data | Tensor) -> Structure:
        """The structure with the graph inputs of all parts.

        :meta private:

        Args:
            structure: one or more structures.
            data: what they were read from.

        Returns:
            the structure.
        """
        for part in self.potentials:
            found = part.with_inputs(structure, data)
            structure = structure._replace(inputs={**structure.inputs, **found.inputs})
        return structure

    def evaluate(
        self, structure: Structure, *, forces: bool, stress: bool, memory: Memory, trained: bool
    ) -> PotentialOutput:
        """As :meth:`forward`, which reads and checks the structure first.

        :meta private:

        Args:
            structure: one or more structures.
            forces: whether to return forces.
            stress: whether to return stress.
            memory: as of the parts.
            trained: whether the results are differentiated again.

        Returns:
            energy, forces, stress and atom energies.
        """
        structure = structure.with_edges(self.cutoff)
        options: dict[str, Any] = {"forces": forces, "stress": stress, "memory": memory, "trained": trained}
        outputs = [part.evaluate(structure.within(part.cutoff).to(part.dtype), **options) for part in self.potentials]
        energies = (_add(values) for values in zip(*outputs, strict=True))
        names = dict.fromkeys(name for output in outputs for name in output.others)
        others = {name: _add(tuple(output.others.get(name) for output in outputs)) for name in names}
        return PotentialOutput(*energies, others)  # type: ignore[arg-type]

    def virial(self, data: Data | Tensor, *tensors: Tensor | None) -> Tensor:
        """Virial of each graph, periodic or not.

        Args:
            data: as in :meth:`forward`.
            *tensors: as in :meth:`forward`.

        Returns:
            minus the derivative of the energy with respect to strain, in eV, ``(graphs, 3, 3)``.
        """
        return torch.stack([part.virial(data, *tensors).to(self.dtype) for part in self.potentials]).sum(dim=0)

    def compile(self, mode: CompileMode = "auto") -> SumPotential:  # type: ignore[override]
        """Compile each part, see :meth:`Potential.compile`.

        Args:
            mode: ``"auto"``, ``"on"`` or ``"off"``.

        Returns:
            this sum.
        """
        for part in self.potentials:
            part.compile(mode)
        return self

    def save(self, path: str | Path) -> None:
        """Write configuration and weights of all parts to one file, for :func:`load_potential`.

        Args:
            path: file to write; an existing one is replaced only by a complete one.

        Raises:
            TypeError: a part that plain values do not rebuild.
        """
        if self.config is None:
            kinds = [type(part).__name__ for part in self.potentials if getattr(part, "config", None) is None]
            raise TypeError(
                f"'save' needs parts that plain values rebuild (Potential of an MPNN, ZBL), got {', '.join(kinds)}: "
                "save state_dict() and rebuild your own composition in code"
            )
        write_model(path, self.config, self.state_dict())

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> SumPotential:
        """Build a sum from the plain values of :attr:`config`.

        Args:
            config: what :attr:`config` gave.

        Returns:
            a sum with random weights.
        """
        return cls(*map(_build, config["parts"]))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.potentials))})"


def load_potential(path: str | Path, map_location: str | torch.device = "cpu") -> AnyPotential:
    """Read a potential or a sum of potentials, without executing code.

    Args:
        path: file of ``save``, or checkpoint of ``pyg-mpnn train``.
        map_location: device to load to.

    Returns:
        the potential, in evaluation mode and in the dtype it was saved in.

    Raises:
        ValueError: a file that holds no potential of this package.

    Example:
        >>> import tempfile
        >>> from pyg_mpnn import ZBL
        >>> path = f"{tempfile.mkdtemp()}/sum.pt"
        >>> SumPotential(ZBL(), ZBL(0.8)).save(path)
        >>> load_potential(path)
        SumPotential(ZBL(cutoff=5), ZBL(cutoff=5))
    """
    config, state, compositions = read_potential(path, map_location)
    potential = _build(config)
    if isinstance(potential, Potential):
        potential.compositions = compositions
    potential.load_state_dict(state, assign=True)  # in the dtype and on the device of what was read
    return potential.eval()


def _build(config: Mapping[str, Any]) -> AnyPotential:
    kinds: dict[str | None, type[Potential] | type[ZBL] | type[SumPotential]]
    kinds = {None: Potential, "ZBL": ZBL, "SumPotential": SumPotential}
    return kinds[config.get("class")].from_config(config)


def _add(values: tuple[Tensor | None, ...]) -> Tensor | None:
    present = [value for value in values if value is not None]
    return reduce(torch.add, present) if present else None
