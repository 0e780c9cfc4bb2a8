"""From energies of atoms to energies of structures, forces and stress: what all potentials share."""

from __future__ import annotations

import copy
import itertools
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from pyg_mpnn.deploy import (
    CompilationError,
    CompileMode,
    Compiler,
    Inputs,
    export_package,
    refuse_outer_compilation,
    why_not,
)
from pyg_mpnn.geometry import apply_strain
from pyg_mpnn.layers.embedding import NUM_ELEMENTS
from pyg_mpnn.models.checks import check_apart
from pyg_mpnn.models.chunks import MEMORY, Memory
from pyg_mpnn.models.features import Features
from pyg_mpnn.models.files import Stored
from pyg_mpnn.models.structure import Structure, fixed_inputs, read_inputs, read_structure
from pyg_mpnn.models.variables import gradients, make_variables
from pyg_mpnn.readout import energy_gradients, stress_from_virial
from pyg_mpnn.scatter import scatter_sum

if TYPE_CHECKING:
    from typing_extensions import Self

    from pyg_mpnn.models.outputs import Output


class _Energies(NamedTuple):
    energy: Tensor
    forces: Tensor | None
    stress: Tensor | None
    atom_energies: Tensor


class PotentialOutput(_Energies):
    """What a model returns: a tuple of four, and by name these and all other outputs.

    ``energy, forces, stress, atom_energies = output`` unpacks; ``output.dipole`` and ``output["dipole"]`` give an
    output of that name. What was not asked for, and the energies of a model that has none, are ``None``.

    Args:
        energy: energy of each graph in eV, float64, ``(graphs,)``.
        forces: forces in eV/A, ``(nodes, 3)``.
        stress: stress in eV/A^3 with the sign of ASE, NaN for molecules and wires, ``(graphs, 3, 3)``.
        atom_energies: energy of each atom in eV, float64, ``(nodes,)``.
        others: the other outputs by name.

    Raises:
        AttributeError: a name that the model does not have.
        KeyError: the same, for ``output["name"]``.

    Example:
        >>> output = PotentialOutput(torch.zeros(1), None, None, torch.zeros(3), {"dipole": torch.ones(1, 3)})
        >>> energy, *_ = output
        >>> output.names, output["dipole"] is output.dipole
        (('energy', 'atom_energies', 'dipole'), True)
    """

    others: Mapping[str, Tensor] = MappingProxyType({})  # what _make and _replace of a named tuple leave out

    def __new__(
        cls,
        energy: Tensor | None,
        forces: Tensor | None,
        stress: Tensor | None,
        atom_energies: Tensor | None,
        others: Mapping[str, Tensor] | None = None,
    ) -> Self:
        self = super().__new__(cls, energy, forces, stress, atom_energies)  # type: ignore[arg-type]
        self.others = dict(others or {})
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """Names of what is there."""
        return (*(name for name in self._fields if getattr(self, name) is not None), *self.others)

    @property
    def requires_grad(self) -> bool:
        """Whether something that is there can be differentiated."""
        return any(tensor is not None and tensor.requires_grad for tensor in (*self, *self.others.values()))

    def map(self, function: Callable[[Tensor], Tensor]) -> PotentialOutput:
        """Apply a function to all that is there.

        Args:
            function: takes and returns a tensor.

        Returns:
            the results.
        """
        energy, forces, stress, atom_energies = (None if tensor is None else function(tensor) for tensor in self)
        others = {name: function(tensor) for name, tensor in self.others.items()}
        return type(self)(energy, forces, stress, atom_energies, others)

    def __getattr__(self, name: str) -> Tensor:
        if name in self.others:
            return self.others[name]
        raise AttributeError(f"there is no output {name!r}, only {', '.join(self.names)}")

    def __getitem__(self, key: Any) -> Any:
        if not isinstance(key, str):
            return super().__getitem__(key)
        if key not in self.names:
            raise KeyError(f"there is no output {key!r}, only {', '.join(self.names)}")
        return getattr(self, key)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={self[name]!r}' for name in self.names)})"


class EnergyModel(Stored, nn.Module):
    r"""Interface: a function of elements and edge vectors that gives energies of atoms, and all that follows from it.

    .. math:: E = \sum_i \big(E_i + E_0[z_i]\big), \quad F = -\frac{\partial E}{\partial \mathrm{pos}}, \quad
              \sigma = \frac{1}{V} \frac{\partial E}{\partial \varepsilon}

    A subclass has the attributes ``cutoff`` and ``dtype`` and writes :meth:`interaction_energies`; those with reference
    energies :math:`E_0` write :meth:`check_elements` and :meth:`reference_energies` too, else every element is known
    and its reference energy zero.

    Shapes:
        ``z`` ``(nodes,)``, ``pos`` ``(nodes, 3)``, ``batch`` ``(nodes,)``, ``cell`` ``(graphs, 3, 3)``, ``pbc``
        ``(graphs, 3)``, ``edge_index`` ``(2, edges)``, ``shifts`` ``(edges, 3)``; output :class:`PotentialOutput`.

    Units:
        eV, angstrom, eV/angstrom, eV/angstrom^3 with the sign of ASE.

    Raises:
        ValueError: when called: elements not known, coincident atoms, positions that are not finite, shapes that do not
            fit, stress without a crystal.
        TypeError: when called: missing or wrongly typed tensors; a method of a subclass that returns something else
            than is asked for.
        NotImplementedError: a subclass without one of the three.

    Source:
        stress from a strain derivative as in Knuth et al., Comput. Phys. Commun. 190, 33 (2015), Eq. (2).

    Example:
        >>> class Springs(EnergyModel):
        ...     cutoff, dtype = 3.0, torch.float64
        ...     def interaction_energies(self, z, edge_index, edge_vec, batch, num_graphs, near=None, memory="normal"):
        ...         return scatter_sum(0.5 * edge_vec.square().sum(dim=1), edge_index[1], z.shape[0])
        >>> Springs()(torch.tensor([1, 1]), torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 2.0]])).forces[0, 2].item()
        4.0
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
    def graph_inputs(self) -> tuple[str, ...]:
        """Numbers of a structure that must be in ``data``, such as ``charge``: one a graph."""
        return ()

    @property
    def has_energy(self) -> bool:
        """Whether there are energies, forces and stress."""
        return True

    def all_outputs(self) -> dict[str, Output]:
        """What the model gives besides energies, forces and stress, by name."""
        return {}

    @property
    def cutoff(self) -> float:
        """Largest cutoff in angstrom."""
        raise _missing(self, "an attribute cutoff: a number in angstrom")

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
    def isolated_energies(self) -> dict[int, float] | None:
        """Energy of an isolated atom of each known element in eV, as the model states it; ``None``: it states none."""
        return None

    @property
    def num_near(self) -> int:
        """Number of index lists that :meth:`near_edges` gives."""
        return len(self.cutoffs) - 1

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the parts: of forces and stress. Energies are float64 always."""
        raise _missing(self, "an attribute dtype: torch.float32 or torch.float64")

    @property
    def device(self) -> torch.device:
        """Where the parts are; the CPU without parameters and buffers."""
        return next(
            (tensor.device for tensor in itertools.chain(self.parameters(), self.buffers())), torch.device("cpu")
        )

    @property
    def why_eager(self) -> str | None:
        """Why compiled code cannot evaluate this model; ``None`` where it can."""
        return None

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
        """Raise if an atom is of an element that is not known; here all elements are.

        Args:
            z: atomic numbers.

        Raises:
            ValueError: an atomic number outside 1..118.
        """
        if z.numel() and not (int(z.min()) >= 1 and int(z.max()) <= NUM_ELEMENTS):
            raise ValueError(
                f"'z' must hold atomic numbers 1..{NUM_ELEMENTS}, got values from {int(z.min())} to {int(z.max())}"
            )

    def reference_energies(self, z: Tensor, batch: Tensor, num_graphs: int) -> tuple[Tensor, Tensor]:
        """Energies that do not depend on positions, of graphs and of atoms; here zeros.

        Args:
            z: atomic numbers of known elements.
            batch: graph of each atom.
            num_graphs: number of graphs.

        Returns:
            energies in eV, float64, ``(graphs,)`` and ``(nodes,)``.
        """
        zeros = torch.zeros(1, dtype=torch.float64, device=z.device)
        return zeros.expand(num_graphs), zeros.expand(len(z))

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

        A model with :attr:`graph_inputs` is called with ``inputs`` too, these numbers by name for each atom, float64,
        ``(nodes,)``.

        Returns:
            energies in eV, in the dtype of the parts, ``(nodes,)``.
        """
        raise _missing(
            self,
            "a method interaction_energies(z, edge_index, edge_vec, batch, num_graphs, near=None, memory='normal') "
            "that returns the energy of each atom in eV, (nodes,)",
        )

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
        outputs: bool = True,
        inputs: Mapping[str, float | Tensor] | None = None,
    ) -> PotentialOutput:
        """Energy, on request forces and stress, and all other outputs of the model.

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
            forces: whether to return forces; where the model has an energy, if not given.
            stress: whether to return stress.
            memory: ``"low"`` for large structures: edges are worked on in chunks and intermediate results computed
                again, eagerly. The same results up to rounding, in more time.
            outputs: whether to return the other outputs, where the model has some.
            inputs: what is in ``graph_inputs``, such as a charge, beside plain tensors: one number for all structures
                or one for each. A PyG object has them as fields.

        Returns:
            energy, forces, stress and atom energies, and other outputs by name.
        """
        if torch.compiler.is_compiling():
            refuse_outer_compilation()
        trained = self.training and torch.is_grad_enabled()
        forces = self.has_energy if forces is None else forces
        with gradients(enabled=forces or stress):
            structure = read_structure(data, pos, batch, cell, pbc, edge_index, shifts)
            structure = self.with_inputs(structure, data, inputs)
            return self.evaluate(
                structure, forces=forces, stress=stress, memory=memory, trained=trained, outputs=outputs
            )

    def with_inputs(
        self, structure: Structure, data: Data | Tensor, inputs: Mapping[str, float | Tensor] | None = None
    ) -> Structure:
        """The structure with the graph inputs of this model, and total charges where outputs may read them.

        :meta private:

        Args:
            structure: one or more structures.
            data: what they were read from.
            inputs: as in :meth:`forward`.

        Returns:
            the structure.
        """
        names, optional = self.graph_inputs, ("charge",) if self.all_outputs() else ()
        if not (names or optional or inputs):
            return structure
        found = read_inputs(data, names, optional, structure.num_graphs, inputs)
        return structure._replace(inputs=found)

    def evaluate(
        self,
        structure: Structure,
        *,
        forces: bool,
        stress: bool,
        memory: Memory,
        trained: bool,
        outputs: bool = True,
    ) -> PotentialOutput:
        """As :meth:`forward`, which reads and checks the structure first.

        :meta private:

        Args:
            structure: one or more structures.
            forces: whether to return forces.
            stress: whether to return stress.
            memory: as in :meth:`forward`.
            trained: whether the results are differentiated again.
            outputs: whether to return the other outputs.

        Returns:
            energy, forces, stress and atom energies.
        """
        if memory not in MEMORY:
            raise ValueError(f"'memory' must be one of {MEMORY}, got {memory!r}")
        if memory == "low" and not self.works_in_chunks:
            raise ValueError(f"'memory' must be 'normal' for a representation other than MPNN, got {memory!r}")
        if (forces or stress) and not self.has_energy:
            raise ValueError("'forces' and 'stress' need a model with an energy, got one without (energy=False)")
        self.check_elements(structure.z)
        structure = structure.with_edges(self.cutoff)
        structure = structure.sorted_by_receiver() if memory == "low" else structure
        if stress and (structure.cell is None or structure.pbc is None):
            raise ValueError(
                "'stress' needs a structure that is periodic in two or three directions, got one without a cell"
            )
        result = self._evaluate(structure, forces, stress, memory, trained, outputs)
        if trained or not (forces or stress) or not result.requires_grad:
            return result
        return result.map(torch.Tensor.detach)

    def compile(self, mode: CompileMode = "auto") -> Self:  # type: ignore[override]
        """Switch compiled energies, forces and stress on or off, for evaluation and for training.

        Code is made in the first call that needs it, once for each kind of call (evaluation or training, with or
        without cell, stress, float64): it can take minutes, is announced, and kept on disk, so that later runs
        start in seconds. Other numbers of atoms, edges and structures need no new code, nor do other weights. What
        compiled code does not take is evaluated eagerly, with the same results: energies without forces, fewer than
        two atoms or edges, positions or cells that require a gradient, :meth:`virial`, terms that read positions. Other
        outputs than energies, forces and stress are always
        evaluated eagerly, from features computed once more. Before code is used, its results (for training also the
        gradients of the weights) are compared with eager ones on three generated batches, with the tolerances of the
        laws; on a GPU, and with a release of torch that the tests do not run, in a process of its own. The verdict is
        kept with the code. The folder it is kept in (``PYG_MPNN_CACHE``) must be the
        user's own and writable by nobody else.

        Representations of your own can be compiled if they do not branch on values of tensors; index lists whose
        length depends on positions come from a method ``near_edges(edge_vec)``, see :meth:`MPNN.near_edges`.

        Args:
            mode: ``"auto"`` to warn and stay eager where compilation is not possible or its results are not the eager
                ones, ``"on"`` to raise there, ``"off"``.

        Returns:
            this potential.

        Raises:
            ValueError: another mode.
            CompilationError: ``"on"`` without a C++ compiler. For a part that cannot be traced, a folder that cannot be
                used and code that is not proven it comes with the first call.
        """
        if mode not in get_args(CompileMode):
            raise ValueError(f"'mode' must be one of {get_args(CompileMode)}, got {mode!r}")
        reason = self.why_eager or why_not(self.device) if mode == "on" else None
        if reason is not None:
            raise CompilationError(f"energies and forces cannot be compiled here: {reason}")
        self.compiler = None if mode == "off" else Compiler(mode)
        return self

    def export(self, path: str | Path, *, inputs: Mapping[str, float] | None = None) -> None:
        """Write energy, forces and stress of one structure as an AOTInductor package, which runs without this package.

        Other outputs of the model are left out, with a warning.

        The package takes ``z`` ``(nodes,)``, ``edge_index`` ``(2, edges)`` and ``shifts`` ``(edges, 3)`` in int64,
        ``pos`` ``(nodes, 3)`` and ``cell`` ``(3, 3)`` in float64, in the order ``z, pos, edge_index, shifts, cell`` and
        with a tuple of index lists last, those of :meth:`near_edges`: empty for one cutoff, else the edges within each
        smaller cutoff; of a sum, for each part in turn the edges within its cutoff, where it is not the largest, and
        then its own. It returns energy, forces, stress and atom energies in float64 and this package's units; in
        between it computes in the dtype of this potential. Edges beyond a cutoff change nothing. A molecule takes zero
        shifts and any cell, and its stress means nothing. At least two atoms, two edges and two of them in each list;
        elements not trained on give NaN. All tensors must be contiguous (row by row, as in C) and on the device of this
        potential: the package reads their memory as such, so that others, a transposed or strided view above all, give
        wrong numbers. Torch looks at dtypes, shapes and strides only where ``AOTI_RUNTIME_CHECK_INPUTS=1`` is in the
        environment, and reads beyond a tensor that is too small otherwise. In C++
        ``tensor.to(torch::kDouble).contiguous()`` gives what is wanted.

        Args:
            path: file to write, by convention ``*.pt2``; an existing one is replaced only by a complete one.
            inputs: a number for each of ``graph_inputs``, such as a charge, which the package then has for good.

        Raises:
            ValueError: a number that the model reads is missing, or one is given that it does not read.
            CompilationError: compilation is not possible here, as for :meth:`compile`, or the package does not compute
                what eager evaluation does on generated crystals.
        """
        if not self.has_energy:
            given = ", ".join(self.all_outputs())
            raise CompilationError(
                f"only energy, forces and stress can be exported, got a model with {given}: nothing was written"
            )
        reason = self.why_eager or why_not(self.device)
        if reason is not None:
            raise CompilationError(f"this potential cannot be exported here: {reason}")
        numbers = fixed_inputs(self.graph_inputs, inputs)
        others = ", ".join(self.all_outputs())
        if others:
            warnings.warn(f"the package has energy, forces and stress alone, without {others}", stacklevel=2)
        known = torch.tensor(self.elements, device=self.device)
        reference = torch.full((NUM_ELEMENTS + 1,), torch.nan, dtype=torch.float64, device=self.device)
        reference[known] = self.reference_energies(known, torch.zeros_like(known), 1)[1].detach()
        evaluated = copy.deepcopy(self).eval().requires_grad_(False)
        export_package(evaluated, reference, self.num_near, self.dtype, Path(path), numbers)

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
            structure = self.with_inputs(read_structure(data, *given), data)
            self.check_elements(structure.z)
            structure = structure.with_edges(self.cutoff)
            positions, strain = make_variables(structure, stress=True)
            energies, _ = self._interaction(structure, positions, strain)
            _, virial = energy_gradients(energies, positions, strain, create_graph=trained)
        assert virial is not None
        return virial.to(self.dtype)

    def _evaluate(
        self, structure: Structure, forces: bool, stress: bool, memory: Memory, create_graph: bool, outputs: bool
    ) -> PotentialOutput:
        if not forces and not stress:
            interaction, features = self._interaction(structure, structure.pos, None, memory)
            energy, atom_energies = self._totals(structure, interaction)
            others = self._others(structure, features, memory) if outputs else {}
            return PotentialOutput(energy, None, None, atom_energies, others)
        results, features = None, None
        if self.compiler is not None and memory == "normal" and not structure.requires_grad:
            results = self._compiled(structure, stress, create_graph)
        if results is None:
            pos, strain = make_variables(structure, stress)
            interaction, features = self._interaction(structure, pos, strain, memory)
            structure = structure._replace(pos=pos)
            force, virial = energy_gradients(interaction, pos, strain, create_graph=create_graph)
            results = interaction, force.to(self.dtype), None if virial is None else virial.to(self.dtype)
        interaction, force, virial = results
        energy, atom_energies = self._totals(structure, interaction)
        pressure = None
        if virial is not None and structure.cell is not None and structure.pbc is not None:
            pressure = stress_from_virial(virial.to(structure.cell), structure.cell, structure.pbc).to(self.dtype)
        others = self._others(structure, features, memory) if outputs else {}
        return PotentialOutput(energy, force if forces else None, pressure, atom_energies, others)

    def _others(self, structure: Structure, features: Features | None, memory: Memory) -> dict[str, Tensor]:
        """Outputs besides the energy, from features that may be known already."""
        return {}

    def _interaction(
        self, structure: Structure, pos: Tensor, strain: Tensor | None, memory: Memory = "normal"
    ) -> tuple[Tensor, Features | None]:
        """Energies of the atoms, and the features that they came from, where there are others to come from them."""
        _, _, edge_vec = self._place(structure, pos, strain)
        z, batch, num_graphs = structure.z, structure.batch, structure.num_graphs
        options: dict[str, Any] = {"inputs": structure.of_atoms(self.graph_inputs)} if self.graph_inputs else {}
        assert structure.edge_index is not None
        edge_index = structure.edge_index
        energies = self.interaction_energies(z, edge_index, edge_vec, batch, num_graphs, memory=memory, **options)
        return _check_energies(self, energies, len(z)), None

    def _place(self, structure: Structure, pos: Tensor, strain: Tensor | None) -> tuple[Tensor, Tensor | None, Tensor]:
        """Positions and cells as strained, and the vectors of the edges."""
        cell, batch = structure.cell, structure.batch
        if strain is not None:
            pos, cell = apply_strain(pos, cell, strain, batch)
        assert structure.edge_index is not None
        edge_vec = structure.edge_vectors(pos, cell).to(self.dtype)
        check_apart(edge_vec, structure.edge_index)
        return pos, cell, edge_vec

    def _compiled(
        self, structure: Structure, stress: bool, trained: bool
    ) -> tuple[Tensor, Tensor, Tensor | None] | None:
        """Interaction energies, forces and virial from compiled code, ``None`` where it does not take the structure."""
        if self.why_eager is not None:
            return None
        assert self.compiler is not None
        near: Sequence[Tensor] = ()
        if self.num_near:
            near = self.near_edges(structure.edge_vectors(structure.pos).to(self.dtype))
        assert structure.edge_index is not None
        z, pos, batch, cell = structure.z, structure.pos, structure.batch, structure.cell
        shifts = None if cell is None else structure.shifts
        numbers = tuple(structure.of_atoms(self.graph_inputs).values())
        inputs = Inputs(z, pos, batch, structure.edge_index, shifts, cell, tuple(near), numbers)
        outputs = self.compiler(self, inputs, stress=stress, trained=trained)
        if outputs is None:
            return None
        if bool(outputs.coincide):
            check_apart(structure.edge_vectors(structure.pos).to(self.dtype), structure.edge_index)
        return outputs.energies, outputs.forces, outputs.virial

    def _totals(self, structure: Structure, interaction: Tensor) -> tuple[Tensor, Tensor]:
        """Energies of graphs and atoms with their reference energies."""
        z, batch, num_graphs = structure.z, structure.batch, structure.num_graphs
        interaction = interaction.double()
        energy = scatter_sum(interaction, batch, num_graphs)
        reference, atom_reference = self.reference_energies(z, batch, num_graphs)
        return energy + reference, interaction + atom_reference


def _missing(model: EnergyModel, what: str) -> NotImplementedError:
    return NotImplementedError(f"{type(model).__name__} must have {what}")


def _check_energies(model: EnergyModel, energies: Tensor, num_nodes: int) -> Tensor:
    if not isinstance(energies, Tensor) or energies.shape != (num_nodes,):
        found = tuple(energies.shape) if isinstance(energies, Tensor) else type(energies).__name__
        raise TypeError(
            f"{type(model).__name__}.interaction_energies must return the energy of each atom, a tensor of the shape "
            f"(nodes,) = ({num_nodes},), got {found}"
        )
    return energies
