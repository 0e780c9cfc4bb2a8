"""From energies of atoms to energies of structures, forces and stress: what all potentials share."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from pyg_mpnn.deploy import CompilationError, CompileMode, Compiler, Inputs, why_not
from pyg_mpnn.geometry import apply_strain
from pyg_mpnn.layers.embedding import NUM_ELEMENTS
from pyg_mpnn.models.checks import check_apart
from pyg_mpnn.models.chunks import Memory
from pyg_mpnn.models.files import Stored
from pyg_mpnn.models.structure import Structure, read_structure
from pyg_mpnn.models.variables import gradients, make_variables
from pyg_mpnn.readout import energy_gradients, stress_from_virial
from pyg_mpnn.scatter import scatter_sum

if TYPE_CHECKING:
    from typing_extensions import Self


class PotentialOutput(NamedTuple):
    """What a potential returns; what was not asked for is ``None``."""

    energy: Tensor
    """Energy of each graph in eV, float64, ``(graphs,)``."""
    forces: Tensor | None
    """Forces in eV/A, ``(nodes, 3)``."""
    stress: Tensor | None
    """Stress in eV/A^3 with the sign of ASE, NaN where a graph is not a crystal, ``(graphs, 3, 3)``."""
    atom_energies: Tensor
    """Energy of each atom in eV, float64, ``(nodes,)``."""


class EnergyModel(Stored, nn.Module):
    r"""Interface: a function of elements and edge vectors that gives energies of atoms, and all that follows from it.

    .. math:: E = \sum_i \big(E_i + E_0[z_i]\big), \quad F = -\frac{\partial E}{\partial \mathrm{pos}}, \quad
              \sigma = \frac{1}{V} \frac{\partial E}{\partial \varepsilon}

    A subclass has the attributes ``cutoff`` and ``dtype`` and writes :meth:`interaction_energies`; those with reference
    energies :math:`E_0` write :meth:`check_elements` and :meth:`reference_energies` too.

    Shapes:
        ``z`` ``(nodes,)``, ``pos`` ``(nodes, 3)``, ``batch`` ``(nodes,)``, ``cell`` ``(graphs, 3, 3)``, ``pbc``
        ``(graphs, 3)``, ``edge_index`` ``(2, edges)``, ``shifts`` ``(edges, 3)``; output :class:`PotentialOutput`.

    Units:
        eV, angstrom, eV/angstrom, eV/angstrom^3 with the sign of ASE.

    Raises:
        ValueError: when called: elements not known, coincident atoms, positions that are not finite, shapes that do not
            fit, stress without a crystal.
        TypeError: when called: missing or wrongly typed tensors.

    Source:
        stress from a strain derivative as in Knuth et al., Comput. Phys. Commun. 190, 33 (2015), Eq. (2).
    """

    input_dtype = torch.float64
    """Precision in which differences of positions are taken, before the parts get them in theirs."""

    def __init__(self) -> None:
        super().__init__()
        self.compiler: Compiler | None = None
        self.compositions: list[dict[int, int]] | None = None
        """Independent compositions of the training structures, atoms by element; ``None`` where they are not known."""
        self.record: dict[str, Any] = {}
        """What a training says of its data, plain values: labels and their units, shortest distances, structures."""

    @property
    def cutoff(self) -> float:
        """Largest cutoff in angstrom."""
        raise NotImplementedError

    @property
    def cutoffs(self) -> tuple[float, ...]:
        """All cutoffs in angstrom, increasing."""
        return (self.cutoff,)

    @property
    def elements(self) -> tuple[int, ...]:
        """Atomic numbers that the model knows."""
        return tuple(range(1, NUM_ELEMENTS + 1))

    @property
    def smoothness(self) -> float:
        """Number of continuous derivatives of the energy."""
        return 1

    @property
    def lacks(self) -> dict[str, str]:
        """What :func:`pyg_mpnn.testing.check_potential` shall not ask for, with the reason."""
        return {}

    @property
    def num_near(self) -> int:
        """Number of index lists that :meth:`near_edges` gives."""
        return len(self.cutoffs) - 1

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the parts: of forces and stress. Energies are float64 always."""
        raise NotImplementedError

    @property
    def device(self) -> torch.device:
        """Where the parts are."""
        return next(itertools.chain(self.parameters(), self.buffers())).device

    @property
    def works_in_chunks(self) -> bool:
        """Whether ``memory="low"`` is possible."""
        return False

    def near_edges(self, edge_vec: Tensor) -> Sequence[Tensor]:
        """Index lists whose length depends on positions, which compiled code takes from outside.

        Args:
            edge_vec: vectors from centre to neighbour in angstrom.

        Returns:
            one list for each cutoff but the largest.
        """
        return ()

    def check_elements(self, z: Tensor) -> None:
        """Raise if an atom is of an element that is not known.

        Args:
            z: atomic numbers.
        """
        raise NotImplementedError

    def reference_energies(self, z: Tensor, batch: Tensor, num_graphs: int) -> tuple[Tensor, Tensor]:
        """Energies that do not depend on positions, of graphs and of atoms.

        Args:
            z: atomic numbers of known elements.
            batch: graph of each atom.
            num_graphs: number of graphs.

        Returns:
            energies in eV, float64, ``(graphs,)`` and ``(nodes,)``.
        """
        raise NotImplementedError

    def interaction_energies(
        self,
        z: Tensor,
        edge_index: Tensor,
        edge_vec: Tensor,
        batch: Tensor,
        num_graphs: int,
        near: Sequence[Tensor] | None = None,
        memory: Memory = "normal",
    ) -> Tensor:
        """Energy of each atom without its reference energy: the part that is differentiated.

        Args:
            z: atomic numbers.
            edge_index: edges, source first.
            edge_vec: vectors from centre to neighbour in angstrom.
            batch: graph of each atom.
            num_graphs: number of graphs.
            near: what :meth:`near_edges` gives, which is called where it is not given.
            memory: as in :meth:`forward`.

        Returns:
            energies in eV, in the dtype of the parts, ``(nodes,)``.
        """
        raise NotImplementedError

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
        forces: bool = True,
        stress: bool = False,
        memory: Memory = "normal",
    ) -> PotentialOutput:
        """Energy, and on request forces and stress.

        Works inside ``torch.no_grad()`` and ``torch.inference_mode()`` too. In training mode with gradients enabled all
        results can be differentiated again; in evaluation mode those of a call with forces or stress come detached.

        Args:
            data: a PyG ``Data`` or ``Batch`` with ``z``, ``pos`` and optionally the rest, or the atomic numbers ``z``.
            pos: positions in angstrom.
            batch: graph of each atom, in order; one graph where not given.
            cell: cell vectors in rows, in angstrom.
            pbc: periodic directions; needed with a cell.
            edge_index: edges up to the cutoff, source first; found where not given.
            shifts: whole cells between the atoms of each edge.
            forces: whether to return forces.
            stress: whether to return stress.
            memory: ``"low"`` for large structures: edges are worked on in chunks and intermediate results computed
                again, eagerly. The same results up to rounding, in more time.

        Returns:
            energy, forces, stress and atom energies.
        """
        trained = self.training and torch.is_grad_enabled()
        with gradients(enabled=forces or stress):
            structure = read_structure(data, pos, batch, cell, pbc, edge_index, shifts)
            return self.evaluate(structure, forces=forces, stress=stress, memory=memory, trained=trained)

    def evaluate(
        self, structure: Structure, *, forces: bool, stress: bool, memory: Memory, trained: bool
    ) -> PotentialOutput:
        """As :meth:`forward`, which reads and checks the structure first.

        :meta private:

        Args:
            structure: one or more structures.
            forces: whether to return forces.
            stress: whether to return stress.
            memory: as in :meth:`forward`.
            trained: whether the results are differentiated again.

        Returns:
            energy, forces, stress and atom energies.
        """
        if memory not in get_args(Memory):
            raise ValueError(f"'memory' must be one of {get_args(Memory)}, got {memory!r}")
        if memory == "low" and not self.works_in_chunks:
            raise ValueError(f"'memory' must be 'normal' for a representation other than MPNN, got {memory!r}")
        self.check_elements(structure.z)
        structure = structure.with_edges(self.cutoff)
        structure = structure.sorted_by_receiver() if memory == "low" else structure
        if stress and (structure.cell is None or structure.pbc is None):
            raise ValueError("'stress' needs a structure that is periodic in three directions, got one without a cell")
        result = self._evaluate(structure, forces, stress, memory, create_graph=trained)
        if trained or not (forces or stress):
            return result
        return PotentialOutput._make(None if item is None else item.detach() for item in result)

    def compile(self, mode: CompileMode = "auto") -> Self:  # type: ignore[override]
        """Switch compiled energies, forces and stress on or off, for evaluation and for training.

        Code is made in the first call that needs it, once for each kind of call (evaluation or training, with or
        without cell, stress, float64): it can take minutes, is announced, and kept on disk, so that later runs
        start in seconds. Other numbers of atoms, edges and structures need no new code, nor do other weights. What
        compiled code does not take is evaluated eagerly, with the same results: energies without forces, fewer than
        two atoms or edges, positions or cells that require a gradient, :meth:`virial`. The folder it is kept in
        (``PYG_MPNN_CACHE``) must be the user's own and writable by nobody else.

        Representations of your own can be compiled if they do not branch on values of tensors; index lists whose
        length depends on positions come from a method ``near_edges(edge_vec)``, see :meth:`MPNN.near_edges`.

        Args:
            mode: ``"auto"`` to warn and stay eager where compilation is not possible or not tested, ``"on"`` to raise
                there, ``"off"``.

        Returns:
            this potential.

        Raises:
            ValueError: another mode.
            CompilationError: ``"on"`` where compilation is not possible: no C++ compiler, a torch that is not tested, a
                GPU. For a part that cannot be traced and a folder that cannot be used it comes with the first call.
        """
        if mode not in get_args(CompileMode):
            raise ValueError(f"'mode' must be one of {get_args(CompileMode)}, got {mode!r}")
        reason = why_not(self.device) if mode == "on" else None
        if reason is not None:
            raise CompilationError(f"energies and forces cannot be compiled here: {reason}")
        self.compiler = None if mode == "off" else Compiler(mode)
        return self

    def virial(self, data: Data | Tensor, *tensors: Tensor | None) -> Tensor:
        """Virial of each graph, periodic or not.

        Args:
            data: as in :meth:`forward`.
            *tensors: as in :meth:`forward`.

        Returns:
            minus the derivative of the energy with respect to strain, in eV, ``(graphs, 3, 3)``.
        """
        trained = self.training and torch.is_grad_enabled()
        given = [*tensors, *([None] * (6 - len(tensors)))]
        with gradients(enabled=True):
            structure = read_structure(data, *given)
            self.check_elements(structure.z)
            structure = structure.with_edges(self.cutoff)
            positions, strain = make_variables(structure, stress=True)
            energies = self._interaction(structure, positions, strain)
            _, virial = energy_gradients(energies, positions, strain, create_graph=trained)
        assert virial is not None
        return virial.to(self.dtype)

    def _evaluate(
        self, structure: Structure, forces: bool, stress: bool, memory: Memory, create_graph: bool
    ) -> PotentialOutput:
        if not forces and not stress:
            energy, atom_energies = self._totals(structure, self._interaction(structure, structure.pos, None, memory))
            return PotentialOutput(energy, None, None, atom_energies)
        results = None
        if self.compiler is not None and memory == "normal" and not structure.requires_grad:
            results = self._compiled(structure, stress, create_graph)
        if results is None:
            pos, strain = make_variables(structure, stress)
            interaction = self._interaction(structure, pos, strain, memory)
            force, virial = energy_gradients(interaction, pos, strain, create_graph=create_graph)
            results = interaction, force.to(self.dtype), None if virial is None else virial.to(self.dtype)
        interaction, force, virial = results
        energy, atom_energies = self._totals(structure, interaction)
        pressure = None
        if virial is not None and structure.cell is not None and structure.pbc is not None:
            pressure = stress_from_virial(virial.to(structure.cell), structure.cell, structure.pbc).to(self.dtype)
        return PotentialOutput(energy, force if forces else None, pressure, atom_energies)

    def _interaction(
        self, structure: Structure, pos: Tensor, strain: Tensor | None, memory: Memory = "normal"
    ) -> Tensor:
        cell, batch, num_graphs = structure.cell, structure.batch, structure.num_graphs
        if strain is not None:
            pos, cell = apply_strain(pos, cell, strain, batch)
        assert structure.edge_index is not None
        edge_vec = structure.edge_vectors(pos, cell).to(self.dtype)
        check_apart(edge_vec, structure.edge_index)
        return self.interaction_energies(structure.z, structure.edge_index, edge_vec, batch, num_graphs, memory=memory)

    def _compiled(
        self, structure: Structure, stress: bool, trained: bool
    ) -> tuple[Tensor, Tensor, Tensor | None] | None:
        """Interaction energies, forces and virial from compiled code, ``None`` where it does not take the structure."""
        assert self.compiler is not None
        near: Sequence[Tensor] = ()
        if self.num_near:
            near = self.near_edges(structure.edge_vectors(structure.pos).to(self.dtype))
        assert structure.edge_index is not None
        z, pos, batch, cell = structure.z, structure.pos, structure.batch, structure.cell
        shifts = None if cell is None else structure.shifts
        inputs = Inputs(z, pos, batch, structure.edge_index, shifts, cell, tuple(near))
        outputs = self.compiler(self, inputs, stress=stress, trained=trained)
        if outputs is None:
            return None
        if bool(outputs.coincide):
            check_apart(structure.edge_vectors(structure.pos).to(self.dtype), structure.edge_index)
        return outputs.energies, outputs.forces, outputs.virial

    def _totals(self, structure: Structure, interaction: Tensor) -> tuple[Tensor, Tensor]:
        """Energies of graphs and atoms with their reference energies."""
        z, batch, num_graphs = structure.z, structure.batch, structure.num_graphs
        energy = scatter_sum(interaction.double(), batch, num_graphs)
        reference, atom_reference = self.reference_energies(z, batch, num_graphs)
        return energy + reference, interaction.double() + atom_reference
