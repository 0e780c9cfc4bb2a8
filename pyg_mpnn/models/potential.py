"""A potential: representation, atomic energies, readout and derivatives."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from pyg_mpnn.basis import Symmetry
from pyg_mpnn.deploy import CompileMode, Compiler, Inputs, export_package, why_not
from pyg_mpnn.geometry import apply_strain, edge_vectors
from pyg_mpnn.models.files import read_file, write_file
from pyg_mpnn.models.mpnn import MPNN, Memory
from pyg_mpnn.models.sizes import SIZES, Size
from pyg_mpnn.models.structure import Structure, read_structure
from pyg_mpnn.readout import (
    AtomwiseEnergy,
    LearnedSumReadout,
    Readout,
    SumReadout,
    energy_gradients,
    stress_from_virial,
)
from pyg_mpnn.scatter import scatter_sum

FILE_FORMAT = 3  # 1: no asinh around invariant products; 2: a network of their own on the contracted features


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


class Potential(nn.Module):
    r"""Energy, forces and stress of molecules and crystals.

    .. math:: E = \sum_i E_i, \quad F = -\frac{\partial E}{\partial \mathrm{pos}}, \quad
              \sigma = \frac{1}{V} \frac{\partial E}{\partial \varepsilon}

    with the atomic energies :math:`E_i` of :class:`~pyg_mpnn.AtomwiseEnergy` on the features of the representation. The
    energy must be invariant under rotation: a representation that does not declare it is refused, unless
    ``symmetry="unconstrained"`` says that this is wanted.

    Args:
        representation: maps ``(z, edge_index, edge_vec)`` to a list of node features ``(nodes, channels)``; has the
            attributes ``cutoff``, ``out_channels``, ``num_layers`` (length of the list) and ``symmetry``.
            :class:`~pyg_mpnn.MPNN` in its base size where not given.
        heads: ``"all"`` for an energy head on every layer's features, summed, or ``"last"``.
        hidden_channels: width of the hidden layer of a head.
        readout: sums the atoms, extensive; :class:`~pyg_mpnn.SumReadout` where not given.
        symmetry: ``"invariant"``, or ``"unconstrained"`` to accept a representation that is not.

    Shapes:
        ``z`` ``(nodes,)``, ``pos`` ``(nodes, 3)``, ``batch`` ``(nodes,)``, ``cell`` ``(graphs, 3, 3)``, ``pbc``
        ``(graphs, 3)``, ``edge_index`` ``(2, edges)``, ``shifts`` ``(edges, 3)``; output :class:`PotentialOutput`.

    Units:
        eV, angstrom, eV/angstrom, eV/angstrom^3 with the sign of ASE.

    Raises:
        ValueError: a representation that is not invariant, an intensive readout, an unknown name; when called: elements
            not trained on, coincident atoms, positions that are not finite, shapes that do not fit, stress without a
            crystal.
        TypeError: a representation without the attributes above; when called: missing or wrongly typed tensors.

    Source:
        Behler and Parrinello, Phys. Rev. Lett. 98, 146401 (2007), Eq. (1); stress from a strain derivative as in Knuth
        et al., Comput. Phys. Commun. 190, 33 (2015), Eq. (2).

    Example:
        >>> potential = Potential.from_size("small")
        >>> water = torch.tensor([[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]])
        >>> output = potential(torch.tensor([8, 1, 1]), water)
        >>> output.energy.shape, output.forces.shape
        (torch.Size([1]), torch.Size([3, 3]))
    """

    def __init__(
        self,
        representation: nn.Module | None = None,
        *,
        heads: Literal["all", "last"] = "all",
        hidden_channels: int = 64,
        readout: Readout | None = None,
        symmetry: Symmetry = "invariant",
    ) -> None:
        super().__init__()
        representation = MPNN() if representation is None else representation
        readout = SumReadout() if readout is None else readout
        _check_representation(representation, symmetry)
        if heads not in ("all", "last"):
            raise ValueError(f"'heads' must be 'all' or 'last', got {heads!r}")
        if not readout.extensive:
            raise ValueError(
                f"'readout' must be extensive for energies, got {type(readout).__name__}: the energy of two separate "
                "molecules is the sum of both; use SumReadout or LearnedSumReadout"
            )
        self.representation, self.readout, self.heads, self.symmetry = representation, readout, heads, symmetry
        self.hidden_channels = hidden_channels
        num_heads = int(representation.num_layers) if heads == "all" else 1  # type: ignore[arg-type]
        in_channels = int(representation.out_channels)  # type: ignore[arg-type]
        self.atomwise = AtomwiseEnergy(in_channels, hidden_channels, num_heads)
        self.compiler: Compiler | None = None

    @classmethod
    def from_size(cls, size: Size = "base", *, cutoff: float | Sequence[float] = 5.0, **overrides: Any) -> Potential:
        """Build a potential of a named size.

        Args:
            size: ``"small"``, ``"base"`` or ``"large"``.
            cutoff: cutoff radius in angstrom, or several increasing ones.
            **overrides: other keyword arguments of :class:`~pyg_mpnn.MPNN`, which win over those of the size, and
                ``potential_heads``, ``readout`` (``"sum"`` or ``"learned"``) and ``symmetry`` of the potential.

        Returns:
            a potential with random weights.
        """
        if size not in SIZES:
            raise ValueError(f"'size' must be one of {tuple(SIZES)}, got {size!r}")
        own = {"heads": overrides.pop("potential_heads", "all"), "readout": overrides.pop("readout", "sum")}
        own["symmetry"] = overrides.pop("symmetry", "invariant")
        return cls.from_config({**own, "mpnn": {**SIZES[size], "cutoff": cutoff, **overrides}})

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Potential:
        """Build a potential from the plain values of :attr:`config`.

        Args:
            config: what :attr:`config` gave.

        Returns:
            a potential with random weights.
        """
        options = dict(config)
        known = inspect.signature(MPNN).parameters
        unknown = set(options["mpnn"]) - set(known)
        if unknown:
            raise ValueError(
                f"'config' must hold arguments of MPNN ({', '.join(known)}) or potential_heads, readout, symmetry, got "
                f"{', '.join(sorted(unknown))}"
            )
        representation = MPNN(**options.pop("mpnn"))
        readout = options.pop("readout", "sum")
        if readout not in ("sum", "learned"):
            raise ValueError(f"'readout' must be 'sum' or 'learned', got {readout!r}")
        sums = SumReadout() if readout == "sum" else LearnedSumReadout(representation.out_channels)
        return cls(representation, readout=sums, **options)

    @property
    def config(self) -> dict[str, Any] | None:
        """Plain values that rebuild this potential, for files and model cards; ``None`` for parts of your own."""
        if not isinstance(self.representation, MPNN) or type(self.readout) not in (SumReadout, LearnedSumReadout):
            return None
        return {
            "mpnn": self.representation.config,
            "heads": self.heads,
            "hidden_channels": self.hidden_channels,
            "readout": "sum" if type(self.readout) is SumReadout else "learned",
            "symmetry": self.symmetry,
        }

    @property
    def cutoff(self) -> float:
        """Largest cutoff in angstrom."""
        return float(self.representation.cutoff)  # type: ignore[arg-type]

    @property
    def cutoffs(self) -> tuple[float, ...]:
        """All cutoffs in angstrom, increasing."""
        return tuple(getattr(self.representation, "cutoffs", (self.cutoff,)))

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the network: of forces and stress. Energies are float64 always."""
        return self.atomwise.scale.dtype

    @property
    def elements(self) -> tuple[int, ...]:
        """Atomic numbers that the potential knows: those trained on, or all before :meth:`set_reference`."""
        return self.atomwise.elements

    @property
    def smoothness(self) -> float:
        """Number of continuous derivatives of the energy, as the representation declares it, else 1."""
        return float(getattr(self.representation, "smoothness", 1))

    @property
    def lacks(self) -> dict[str, str]:
        """What :func:`pyg_mpnn.testing.check_potential` shall not ask for, with the reason."""
        if self.symmetry == "invariant":
            return {}
        return {"invariance": "declared with symmetry='unconstrained'"}

    def reset_parameters(self) -> None:
        """Draw new weights in every part."""
        for part in (self.representation, self.atomwise, self.readout):
            if hasattr(part, "reset_parameters"):
                part.reset_parameters()  # type: ignore[operator]

    def set_reference(
        self, reference_energies: Mapping[int, float], scale: float, neighbors: Sequence[float] | None = None
    ) -> None:
        """Fix the numbers that come from the training data and are not trained.

        Args:
            reference_energies: energy in eV of each element; the others become unknown and are refused.
            scale: size of the interaction energy in eV, for example the RMS force component in eV/A.
            neighbors: mean number of neighbours of an atom, one for each cutoff; goes to the ``set_neighbors`` of the
                representation, where it has one.
        """
        self.atomwise.set_reference(reference_energies, scale)
        if neighbors is not None and hasattr(self.representation, "set_neighbors"):
            self.representation.set_neighbors(neighbors)  # type: ignore[operator]

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
            pbc: periodic directions; all three where a cell comes without.
            edge_index: edges up to the cutoff, source first; found where not given.
            shifts: whole cells between the atoms of each edge.
            forces: whether to return forces.
            stress: whether to return stress.
            memory: ``"low"`` for large structures: edges are worked on in chunks and intermediate results computed
                again, eagerly. The same results up to rounding, in more time.

        Returns:
            energy, forces, stress and atom energies.
        """
        if memory not in get_args(Memory):
            raise ValueError(f"'memory' must be one of {get_args(Memory)}, got {memory!r}")
        if memory == "low" and not isinstance(self.representation, MPNN):
            raise ValueError(f"'memory' must be 'normal' for a representation other than MPNN, got {memory!r}")
        trained = self.training and torch.is_grad_enabled()
        with _gradients(enabled=forces or stress):
            structure = read_structure(data, pos, batch, cell, pbc, edge_index, shifts, dtype=self.dtype)
            self.atomwise.check_elements(structure.z)
            structure = _leave_inference_mode(structure.with_edges(self.cutoff))
            structure = structure.sorted_by_receiver() if memory == "low" else structure
            if stress and (structure.cell is None or structure.pbc is None):
                raise ValueError(
                    "'stress' needs a structure that is periodic in three directions, got one without a cell"
                )
            result = self._evaluate(structure, forces, stress, memory, create_graph=trained)
        if trained or not (forces or stress):
            return result
        return PotentialOutput._make(None if item is None else item.detach() for item in result)

    def compile(self, mode: CompileMode = "auto") -> Potential:  # type: ignore[override]
        """Switch compiled energies, forces and stress on or off, for evaluation and for training.

        Code is made in the first call that needs it, once for each kind of call (evaluation or training, with or
        without cell, stress, float64): it can take minutes, is announced, and kept on disk, so that later runs
        start in seconds. Other numbers of atoms, edges and structures need no new code, nor do other weights. What
        compiled code does not take is evaluated eagerly, with the same results: energies without forces, fewer than
        two atoms or edges, positions that require a gradient, :meth:`virial`.

        Representations of your own can be compiled if they do not branch on values of tensors; index lists whose
        length depends on positions come from a method ``near_edges(edge_vec)``, see :meth:`MPNN.near_edges`.

        Args:
            mode: ``"auto"`` to warn and stay eager where compilation is not possible or not tested, ``"on"`` to raise
                there, ``"off"``.

        Returns:
            this potential.

        Raises:
            ValueError: another mode.
            RuntimeError: ``"on"`` where compilation is not possible: no C++ compiler, a torch that is not tested, a
                GPU, several threads. For a part that cannot be traced it comes with the first call.
        """
        if mode not in get_args(CompileMode):
            raise ValueError(f"'mode' must be one of {get_args(CompileMode)}, got {mode!r}")
        reason = why_not(next(self.parameters()).device) if mode == "on" else None
        if reason is not None:
            raise RuntimeError(f"energies and forces cannot be compiled here: {reason}")
        self.compiler = None if mode == "off" else Compiler(mode)
        return self

    def export(self, path: str | Path) -> None:
        """Write energy, forces and stress of one structure as an AOTInductor package, which runs without this package.

        The package takes ``z`` ``(nodes,)`` and ``edge_index`` ``(2, edges)`` in int64, ``pos`` ``(nodes, 3)`` and
        ``cell`` ``(3, 3)`` in the dtype of this potential, ``shifts`` ``(edges, 3)`` in int64, in the order ``z, pos,
        edge_index, shifts, cell`` and with a tuple of index lists last (empty for one cutoff, else the edges within
        each smaller cutoff). It returns energy (float64), forces, stress and atom energies (float64) in this package's
        units. Edges beyond the cutoff change nothing. A molecule takes zero shifts and any cell, and its stress means
        nothing. At least two atoms and two edges; elements not trained on give NaN.

        Args:
            path: file to write, by convention ``*.pt2``; an existing one is replaced only by a complete one.

        Raises:
            RuntimeError: compilation is not possible here, as for :meth:`compile`.
        """
        reason = why_not(self.atomwise.reference.device)
        if reason is not None:
            raise RuntimeError(f"this potential cannot be exported here: {reason}")
        evaluated = copy.deepcopy(self).eval().requires_grad_(False)
        export_package(evaluated, self.atomwise.reference, len(self.cutoffs), Path(path))

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
        with _gradients(enabled=True):
            structure = read_structure(data, *given, dtype=self.dtype)
            self.atomwise.check_elements(structure.z)
            structure = _leave_inference_mode(structure.with_edges(self.cutoff))
            positions, strain = _variables(structure, stress=True)
            energies = self._interaction(structure, positions, strain)
            _, virial = energy_gradients(energies, positions, strain, create_graph=trained)
        assert virial is not None
        return virial

    def _evaluate(
        self, structure: Structure, forces: bool, stress: bool, memory: Memory, create_graph: bool
    ) -> PotentialOutput:
        if not forces and not stress:
            energy, atom_energies = self._totals(structure, self._interaction(structure, structure.pos, None, memory))
            return PotentialOutput(energy, None, None, atom_energies)
        results = None
        if self.compiler is not None and memory == "normal" and not structure.pos.requires_grad:
            results = self._compiled(structure, stress, create_graph)
        if results is None:
            pos, strain = _variables(structure, stress)
            interaction = self._interaction(structure, pos, strain, memory)
            results = interaction, *energy_gradients(interaction, pos, strain, create_graph=create_graph)
        interaction, force, virial = results
        energy, atom_energies = self._totals(structure, interaction)
        pressure = None
        if virial is not None and structure.cell is not None and structure.pbc is not None:
            pressure = stress_from_virial(virial, structure.cell, structure.pbc)
        return PotentialOutput(energy, force if forces else None, pressure, atom_energies)

    def _interaction(
        self, structure: Structure, pos: Tensor, strain: Tensor | None, memory: Memory = "normal"
    ) -> Tensor:
        cell, batch, num_graphs = structure.cell, structure.batch, structure.num_graphs
        if strain is not None:
            pos, cell = apply_strain(pos, cell, strain, batch)
        assert structure.edge_index is not None
        edge_vec = edge_vectors(pos, structure.edge_index, structure.shifts, cell, batch)
        _check_apart(edge_vec, structure.edge_index)
        return self.interaction_energies(structure.z, structure.edge_index, edge_vec, batch, num_graphs, memory=memory)

    def _compiled(
        self, structure: Structure, stress: bool, trained: bool
    ) -> tuple[Tensor, Tensor, Tensor | None] | None:
        """Interaction energies, forces and virial from compiled code, ``None`` where it does not take the structure."""
        assert self.compiler is not None
        assert structure.edge_index is not None
        pos, edge_index, cell, batch = structure.pos, structure.edge_index, structure.cell, structure.batch
        shifts = None if cell is None else structure.shifts
        near: Sequence[Tensor] = ()
        if len(self.cutoffs) > 1 and hasattr(self.representation, "near_edges"):
            near = self.representation.near_edges(edge_vectors(pos, edge_index, shifts, cell, batch))  # type: ignore[operator]
        inputs = Inputs(structure.z, pos, batch, edge_index, shifts, cell, tuple(near))
        outputs = self.compiler(self, inputs, stress=stress, trained=trained)
        if outputs is None:
            return None
        if bool(outputs.coincide):
            _check_apart(edge_vectors(pos, edge_index, shifts, cell, batch), edge_index)
        return outputs.energies, outputs.forces, outputs.virial

    def _totals(self, structure: Structure, interaction: Tensor) -> tuple[Tensor, Tensor]:
        """Energies of graphs and atoms with their reference energies."""
        z, batch, num_graphs = structure.z, structure.batch, structure.num_graphs
        energy = scatter_sum(interaction.double(), batch, num_graphs)
        energy = energy + self.atomwise.reference_energies(z, batch, num_graphs)
        return energy, interaction.double() + self.atomwise.reference[z]

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
        """Energy of each atom without its reference energy: the part that is trained and differentiated.

        Args:
            z: atomic numbers.
            edge_index: edges, source first.
            edge_vec: vectors from centre to neighbour in angstrom.
            batch: graph of each atom.
            num_graphs: number of graphs.
            near: index lists of the smaller scales, from the ``near_edges`` of the representation, which makes them
                where they are not given.
            memory: as in :meth:`forward`.

        Returns:
            energies in eV, in the dtype of the network, ``(nodes,)``.
        """
        options: dict[str, Any] = {} if near is None else {"near": near}
        if memory != "normal":
            options["memory"] = memory
        features = self.representation(z, edge_index, edge_vec, **options)
        values = self.atomwise(features if self.heads == "all" else features[-1:])
        return self.readout.atom_values(values, batch, num_graphs, features[-1])

    def save(self, path: str | Path) -> None:
        """Write configuration and weights to a file; an existing file is replaced only by a complete one.

        Args:
            path: file to write, by convention ``*.pt``.

        Raises:
            TypeError: a composition that plain values do not rebuild.
        """
        if self.config is None:
            raise TypeError(
                "'save' needs an MPNN with SumReadout or LearnedSumReadout, got "
                f"{type(self.representation).__name__} with {type(self.readout).__name__}: save state_dict() and "
                "rebuild your own composition in code"
            )
        content = {
            "pyg_mpnn": {"format": FILE_FORMAT, "config": self.config, "prefix": ""},
            "state_dict": self.state_dict(),
        }
        write_file(path, content)

    @classmethod
    def load(cls, path: str | Path, map_location: str | torch.device = "cpu") -> Potential:
        """Read a potential from :meth:`save` or from a checkpoint of ``pyg-mpnn train``, without executing code.

        Args:
            path: file to read.
            map_location: device to load to.

        Returns:
            the potential, in evaluation mode and in the dtype it was saved in.

        Raises:
            ValueError: a file that holds no potential of this package.
        """
        content = read_file(path, map_location, "a file of Potential.save or a checkpoint of pyg-mpnn train")
        own = content.get("pyg_mpnn") if isinstance(content, dict) else None
        if not isinstance(own, dict) or own.get("format") != FILE_FORMAT:
            older = f", of format {own.get('format')}: train again" if isinstance(own, dict) else ""
            raise ValueError(
                f"'path' must be a file of Potential.save or a checkpoint of pyg-mpnn train (format {FILE_FORMAT}), "
                f"got {path}{older}"
            )
        if own["config"] is None:
            raise ValueError(
                f"'path' must hold a potential of this package's own parts, got {path} with a composition of your own: "
                f"build it in code and load its weights with load_state_dict (keys with the prefix {own['prefix']!r})"
            )
        if "property" in own["config"]:
            raise ValueError(f"'path' must hold a potential, got {path} with a property: read it by PropertyModel.load")
        prefix = own["prefix"]
        state = {key[len(prefix) :]: value for key, value in content["state_dict"].items() if key.startswith(prefix)}
        potential = cls.from_config(own["config"])
        potential.to(device=map_location, dtype=state["atomwise.scale"].dtype)
        potential.load_state_dict(state)
        return potential.eval()

    def __repr__(self) -> str:
        parameters = sum(parameter.numel() for parameter in self.parameters())
        return (
            f"{type(self).__name__}({self.representation}, heads={self.heads!r}, {self.readout}, "
            f"{parameters} parameters)"
        )


def _check_representation(representation: nn.Module, symmetry: Symmetry) -> None:
    missing = [
        name for name in ("cutoff", "out_channels", "num_layers", "symmetry") if not hasattr(representation, name)
    ]
    if missing:
        raise TypeError(
            f"'representation' must have the attributes cutoff, out_channels, num_layers and symmetry, got "
            f"{type(representation).__name__} without {', '.join(missing)}"
        )
    if symmetry not in ("invariant", "unconstrained"):
        raise ValueError(f"'symmetry' must be 'invariant' or 'unconstrained', got {symmetry!r}")
    if symmetry == "invariant" and representation.symmetry != "invariant":
        raise ValueError(
            f"'representation' must be invariant, got one that declares {representation.symmetry!r}: its energy would "
            "change under rotation. Use contracted or radial directions, or pass symmetry='unconstrained' and train "
            "with random rotations"
        )


def _check_apart(edge_vec: Tensor, edge_index: Tensor) -> None:
    together = (edge_vec == 0).all(dim=1)
    if bool(together.any()):
        pair = edge_index[:, together][:, 0].tolist()
        raise ValueError(f"'pos' must keep atoms apart, got atoms {pair[1]} and {pair[0]} at one place")


@contextmanager
def _gradients(enabled: bool) -> Iterator[None]:
    """Leave no_grad and inference mode where derivatives are needed."""
    if not enabled:
        yield
        return
    with torch.inference_mode(False), torch.enable_grad():
        yield


def _leave_inference_mode(structure: Structure) -> Structure:
    """Copy inference tensors, which autograd does not accept."""
    tensors = {name: value for name, value in structure._asdict().items() if isinstance(value, Tensor)}
    copies: dict[str, Any] = {name: value.clone() for name, value in tensors.items() if value.is_inference()}
    return structure._replace(**copies)


def _variables(structure: Structure, stress: bool) -> tuple[Tensor, Tensor | None]:
    """Positions, and a strain where the stress is asked for, as leaves of the graph."""
    pos = structure.pos if structure.pos.requires_grad else structure.pos.detach().requires_grad_()
    strain = pos.new_zeros(structure.num_graphs, 3, 3).requires_grad_() if stress else None
    return pos, strain
