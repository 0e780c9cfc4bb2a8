"""The model: a representation, an energy with its derivatives, and other outputs by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from pyg_mpnn.basis import Symmetry
from pyg_mpnn.layers.embedding import NUM_ELEMENTS
from pyg_mpnn.models.build import build, part_factory, takes_arguments
from pyg_mpnn.models.checks import check_representation
from pyg_mpnn.models.chunks import Memory
from pyg_mpnn.models.energy_model import EnergyModel, PotentialOutput
from pyg_mpnn.models.features import Features, compute_features
from pyg_mpnn.models.mpnn import MPNN
from pyg_mpnn.models.outputs import AtomwiseOutput, Output, check_output, check_values
from pyg_mpnn.models.parts import READOUTS
from pyg_mpnn.models.sizes import Size, compose
from pyg_mpnn.models.structure import Structure, read_structure
from pyg_mpnn.models.terms import EnergyTerm, Geometry, check_term, check_terms
from pyg_mpnn.models.zbl import ZBL
from pyg_mpnn.readout import AtomwiseEnergy, Readout, SumReadout

Isolated = Literal["zero", "free"]


class Potential(EnergyModel):
    r"""Energy, forces and stress of molecules and crystals, and other outputs by name.

    .. math:: E = \sum_i E_i, \quad F = -\frac{\partial E}{\partial \mathrm{pos}}, \quad
              \sigma = \frac{1}{V} \frac{\partial E}{\partial \varepsilon}

    with the atomic energies :math:`E_i` of :class:`~pyg_mpnn.AtomwiseEnergy` on the features of the representation. The
    energy must be invariant under rotation: a representation that does not declare it is refused, unless
    ``symmetry="unconstrained"`` says that this is wanted.

    What the network gives for an atom of the same element without neighbours is subtracted from each atom:

    .. math:: E_i = e_i - e_0[z_i] + E_0[z_i]

    with the network's energy :math:`e_i` of the atom and :math:`e_0` of an isolated one. So an isolated atom has
    exactly its reference energy, and energies go to the sum of those as the atoms are drawn apart.

    Args:
        representation: maps ``(z, edge_index, edge_vec)`` to a list of node features ``(nodes, channels)``; has the
            attributes ``cutoff``, ``out_channels``, ``num_layers`` (length of the list) and ``symmetry``. Where it has
            an attribute ``graph_inputs``, for instance ``("charge",)``, it is called with these fields of the structure
            too, ``(nodes,)`` each. :class:`~pyg_mpnn.MPNN` in its base size where not given.
        heads: ``"all"`` for an energy head on every layer's features, summed, or ``"last"``.
        hidden_channels: width of the hidden layer of a head; of no effect with ``head``.
        head: network of your own in place of the head, from ``(nodes, out_channels)`` to ``(nodes, 1)``; needs
            ``heads="last"``.
        readout: sums the atoms, extensive; :class:`~pyg_mpnn.SumReadout` where not given.
        symmetry: ``"invariant"``, or ``"unconstrained"`` to accept a representation that is not.
        zbl: repulsion of nuclei that is added to the energies, for distances that no training data have; ``None`` for
            none.
        terms: what else is added to the energies: :class:`~pyg_mpnn.EnergyTerm` or energy models.
        outputs: what the model gives besides the energy, by name.
        energy: whether the model has an energy; without it ``heads``, ``readout``, ``zbl`` and ``terms`` must be left
            out.
        isolated: ``"zero"`` to subtract the energy of an isolated atom (neutral, where the representation reads a
            charge) as above, or ``"free"`` for whatever the network gives, as in files of older versions.

    Shapes:
        ``z`` ``(nodes,)``, ``pos`` ``(nodes, 3)``, ``batch`` ``(nodes,)``, ``cell`` ``(graphs, 3, 3)``, ``pbc``
        ``(graphs, 3)``, ``edge_index`` ``(2, edges)``, ``shifts`` ``(edges, 3)``; output :class:`PotentialOutput`.

    Units:
        eV, angstrom, eV/angstrom, eV/angstrom^3 with the sign of ASE.

    Raises:
        ValueError: a representation that is not invariant, an intensive readout, an unknown name; when called: elements
            not trained on, coincident atoms, positions that are not finite, shapes that do not fit, stress without a
            crystal.
        TypeError: a representation without the attributes above, an output or a term that is none; when called:
            missing or wrongly typed tensors.

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
        head: nn.Module | None = None,
        readout: Readout | None = None,
        symmetry: Symmetry = "invariant",
        zbl: ZBL | None = None,
        terms: Sequence[EnergyTerm | EnergyModel] = (),
        outputs: Mapping[str, Output] | None = None,
        energy: bool = True,
        isolated: Isolated = "zero",
    ) -> None:
        super().__init__()
        representation = MPNN() if representation is None else representation
        readout = SumReadout() if readout is None else readout
        check_representation(representation, symmetry)
        if not isinstance(readout, Readout):
            raise TypeError(f"'readout' must be a pyg_mpnn.Readout, got {type(readout).__name__}")
        if heads not in ("all", "last"):
            raise ValueError(f"'heads' must be 'all' or 'last', got {heads!r}")
        if isolated not in get_args(Isolated):
            raise ValueError(f"'isolated' must be one of {get_args(Isolated)}, got {isolated!r}")
        if not readout.extensive:
            raise ValueError(
                f"'readout' must be extensive for energies, got {type(readout).__name__}: the energy of two separate "
                "molecules is the sum of both; use SumReadout or LearnedSumReadout"
            )
        cutoff = float(representation.cutoff)  # type: ignore[arg-type]
        if zbl is not None and zbl.limit > cutoff:
            raise ValueError(
                f"'zbl' must have at most the cutoff of the representation ({cutoff:g} A), got {zbl.limit:g}: pass "
                f"ZBL(cutoff={cutoff:g})"
            )
        self.representation, self.readout, self.heads, self.symmetry = representation, readout, heads, symmetry
        self.hidden_channels, self.isolated, self.own_head = hidden_channels, isolated, head is not None
        num_heads = int(representation.num_layers) if heads == "all" else 1  # type: ignore[arg-type]
        in_channels = int(representation.out_channels)  # type: ignore[arg-type]
        self.energy = energy
        self.atomwise = AtomwiseEnergy(in_channels, hidden_channels, num_heads, head) if energy else None
        self.zbl = zbl
        check_terms(terms, cutoff)
        self.terms = nn.ModuleList(terms)
        if not energy and (zbl is not None or head is not None or len(self.terms)):
            raise ValueError("'head', 'zbl' and 'terms' must be left out where 'energy' is False: they are of energies")
        self.outputs = nn.ModuleDict()
        if outputs is not None and not hasattr(outputs, "items"):  # a mapping or an nn.ModuleDict
            raise TypeError(f"'outputs' must be a mapping {{name: output}}, got {type(outputs).__name__}")
        for name, output in (outputs or {}).items():
            check_output(name, output, symmetry)
            output.build(representation)
            self.outputs[name] = output
        if not energy and not len(self.outputs):
            raise ValueError("'outputs' must hold at least one output where 'energy' is False, got none")

    @classmethod
    def from_size(
        cls, size: Size = "base", *, cutoff: float | Sequence[float] | None = None, **overrides: Any
    ) -> Potential:
        """Build a potential of a named size.

        Args:
            size: ``"small"``, ``"base"`` or ``"large"``.
            cutoff: cutoff radius in angstrom, or several increasing ones; 5 without it.
            **overrides: other keyword arguments of the representation, which win over those of the size, and
                ``potential_heads``, ``head`` (a part), ``readout`` (``"sum"``, ``"learned"`` or a part), ``symmetry``,
                ``isolated``, ``zbl`` (True to add a :class:`~pyg_mpnn.ZBL`), ``terms``, ``outputs`` and ``energy`` of
                the potential. ``representation`` names another one, as ``file.py:Class``; parts may be classes,
                ``functools.partial`` or descriptions, see ``pyg_mpnn.models.build``.

        Returns:
            a potential with random weights.

        Raises:
            ValueError: an unknown size or argument, or a part that cannot be made.
        """
        options = dict(overrides)
        if cutoff is not None:  # one radius as a number, which is what networks of the user's take
            options["cutoff"] = cutoff[0] if isinstance(cutoff, Sequence) and len(cutoff) == 1 else cutoff
        description, trust = compose(size, options)
        zbl = description.pop("zbl", None)
        description["representation"] = build(description["representation"], trust, "model")
        check_representation(description["representation"], description.get("symmetry", "invariant"))
        if zbl is True:
            zbl = ZBL(cutoff=float(description["representation"].cutoff))
        readout = description.pop("readout", None)
        if isinstance(readout, str):
            readout = part_factory("readout", readout, READOUTS)
        elif readout is not None:
            readout = build(readout, trust, "readout")
        if readout is not None and not isinstance(readout, nn.Module):  # a class, which is told the width
            width = (int(description["representation"].out_channels),)
            readout = readout(*(width if takes_arguments(readout) else ()))
        head = build(description.pop("head", None), trust, "head")
        if head is not None and not isinstance(head, nn.Module):
            head = head(int(description["representation"].out_channels))
        del description["class"]  # this one, or a subclass of the user's
        parts = {name: build(value, trust, name) for name, value in description.items()}
        return cls(**parts, head=head, readout=readout, zbl=zbl or None)

    @property
    def head(self) -> nn.Module | None:
        """The network of the user's in place of the head; ``None`` where there is none."""
        return self.atomwise.heads[0] if self.atomwise is not None and self.own_head else None

    @property
    def cutoff(self) -> float:
        """Largest cutoff in angstrom."""
        return float(self.representation.cutoff)  # type: ignore[arg-type]

    @property
    def cutoffs(self) -> tuple[float, ...]:
        """All cutoffs in angstrom, increasing."""
        return tuple(getattr(self.representation, "cutoffs", (self.cutoff,)))

    @property
    def graph_inputs(self) -> tuple[str, ...]:
        """Numbers of a structure that the representation reads, such as ``charge``: one a graph."""
        return tuple(getattr(self.representation, "graph_inputs", ()))

    def all_outputs(self) -> dict[str, Output]:
        """What the model gives besides energies, forces and stress, by name."""
        return dict(self.outputs.items())  # type: ignore[arg-type]

    @property
    def has_energy(self) -> bool:
        """Whether there are energies, forces and stress."""
        return self.energy

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the network: of forces and stress. Energies and other outputs are float64 always."""
        if self.atomwise is not None:
            return self.atomwise.scale.dtype
        return next(tensor.dtype for tensor in (*self.parameters(), *self.buffers()) if tensor.is_floating_point())

    @property
    def elements(self) -> tuple[int, ...]:
        """Atomic numbers that the potential knows: those trained on, or all before :meth:`set_reference`."""
        if self.atomwise is not None:
            return self.atomwise.elements
        known = [set(part.atomwise.elements) for part in self.outputs.values() if isinstance(part, AtomwiseOutput)]
        return tuple(sorted(set.intersection(*known))) if known else tuple(range(1, NUM_ELEMENTS + 1))

    @property
    def smoothness(self) -> float:
        """Number of continuous derivatives of the energy, as the parts declare it, else 1."""
        parts = (self.representation, *([] if self.zbl is None else [self.zbl]), *self.terms)
        return min(float(getattr(part, "smoothness", 1)) for part in parts)

    @property
    def lacks(self) -> dict[str, str]:
        """What :func:`pyg_mpnn.testing.check_potential` shall not ask for, with the reason."""
        if self.symmetry == "invariant":
            return {}
        return {"invariance": "declared with symmetry='unconstrained'"}

    @property
    def isolated_energies(self) -> dict[int, float] | None:
        """Reference energy of each known element in eV; ``None`` where isolated atoms are ``"free"`` to have others."""
        if self.atomwise is None or self.isolated == "free":
            return None
        return {z: float(self.atomwise.reference[z]) for z in self.elements}

    def reset_parameters(self) -> None:
        """Draw new weights in every part."""
        for part in (self.representation, self.atomwise, self.readout, *self.terms, *self.outputs.values()):
            if hasattr(part, "reset_parameters"):
                part.reset_parameters()

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
        if self.atomwise is None:
            raise ValueError("'reference_energies' need a model with an energy, got one without (energy=False)")
        self.atomwise.set_reference(reference_energies, scale)
        self.set_neighbors(neighbors)

    def set_neighbors(self, neighbors: Sequence[float] | None) -> None:
        """Fix the mean number of neighbours of an atom, where the representation has a ``set_neighbors``.

        Args:
            neighbors: one number for each cutoff; ``None`` to change nothing.
        """
        if neighbors is not None and hasattr(self.representation, "set_neighbors"):
            self.representation.set_neighbors(neighbors)  # type: ignore[operator]

    @property
    def works_in_chunks(self) -> bool:
        """Whether ``memory="low"`` is possible: for an :class:`~pyg_mpnn.MPNN`."""
        return isinstance(self.representation, MPNN)

    def near_edges(self, edge_vec: Tensor) -> Sequence[Tensor]:
        """As the representation makes them: the edges within each cutoff but the largest.

        Arguments as of :class:`EnergyModel`.
        """
        if len(self.cutoffs) == 1 or not hasattr(self.representation, "near_edges"):
            return ()
        near: Sequence[Tensor] = self.representation.near_edges(edge_vec)  # type: ignore[operator]
        return near

    def check_elements(self, z: Tensor) -> None:
        """Raise if an atom is of an element without reference energy; other outputs look for themselves.

        Arguments as of :class:`EnergyModel`.
        """
        if self.atomwise is None:
            super().check_elements(z)
        else:
            self.atomwise.check_elements(z)

    def reference_energies(self, z: Tensor, batch: Tensor, num_graphs: int) -> tuple[Tensor, Tensor]:
        """Reference energies of graphs and of atoms; arguments as of :class:`EnergyModel`."""
        assert self.atomwise is not None
        return self.atomwise.reference_energies(z, batch, num_graphs), self.atomwise.reference.index_select(0, z)

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
        **domain: Any,
    ) -> Tensor:
        """Energy of each atom without its reference energy: the part that is trained and differentiated.

        Arguments as of :class:`EnergyModel`; for one domain of a larger structure also ``num_own`` and ``exchange`` of
        :meth:`MPNN.forward`, which give the energies of its own atoms. A model that reads positions is refused.
        """
        if self.why_eager is not None:
            raise ValueError(f"'interaction_energies' reads edges alone: {self.why_eager}; call the potential")
        missing = [name for name in self.graph_inputs if name not in (inputs or {})]
        if missing:
            raise ValueError(
                f"'inputs' must hold {missing[0]!r} of each atom, which the representation reads, got none"
            )
        options: dict[str, Any] = domain if near is None else {"near": near, **domain}
        atoms = Geometry(z, batch, num_graphs, edge_index, edge_vec, None, None)
        return self._energies(atoms, memory, options, inputs or {})[0]

    def features(self, data: Data | Tensor, *tensors: Tensor | None) -> Features:
        """Features of the atoms, as the outputs get them: for uncertainty, comparison of structures, own heads.

        Args:
            data: as in :meth:`forward`.
            *tensors: as in :meth:`forward`.

        Returns:
            ``x``, node features after each layer (``features.x[-1]`` are those of the last), and ``density``, the
            directional density after the last layer where the representation has one.
        """
        given = [*tensors, *([None] * (6 - len(tensors)))]
        structure = self.with_inputs(read_structure(data, *given), data)
        structure = structure.with_edges(self.cutoff)
        return self._features(self._geometry(structure, structure.pos, None), structure.of_atoms(self.graph_inputs), {})

    @property
    def why_eager(self) -> str | None:
        """Why compiled code cannot evaluate this model; ``None`` where it can."""
        if len(self.terms) and any(getattr(term, "needs_positions", False) for term in self.terms):
            return "compiled code takes no terms that read positions"
        return super().why_eager if self.has_energy else "it has no energy"

    def _geometry(self, structure: Structure, pos: Tensor, strain: Tensor | None) -> Geometry:
        pos, cell, edge_vec = self._place(structure, pos, strain)
        assert structure.edge_index is not None
        edges = structure.edge_index, edge_vec
        return Geometry(structure.z, structure.batch, structure.num_graphs, *edges, pos, cell)

    def _features(self, atoms: Geometry, inputs: Mapping[str, Tensor], options: Mapping[str, Any]) -> Features:
        numbers = {name: value.to(atoms.edge_vec.dtype) for name, value in inputs.items()}
        return compute_features(self.representation, atoms.z, atoms.edge_index, atoms.edge_vec, **numbers, **options)

    def _interaction(
        self, structure: Structure, pos: Tensor, strain: Tensor | None, memory: Memory = "normal"
    ) -> tuple[Tensor, Features | None]:
        reads_more = any(getattr(term, "needs_positions", False) for term in self.terms)
        if not (len(self.outputs) or reads_more):
            return super()._interaction(structure, pos, strain, memory)  # through the public interaction_energies
        of_atoms = structure.of_atoms(self.graph_inputs)
        return self._energies(self._geometry(structure, pos, strain), memory, {}, of_atoms)

    def _energies(
        self, atoms: Geometry, memory: Memory, options: Mapping[str, Any], inputs: Mapping[str, Tensor]
    ) -> tuple[Tensor, Features]:
        """Energies of the atoms without their reference energies, and the features that they come from."""
        energies, features = self._values(self._read, atoms, memory, options, inputs)
        return self._add_terms(energies, atoms, memory), features

    def last_layer(
        self, structure: Structure, pos: Tensor, strain: Tensor | None, memory: Memory = "normal"
    ) -> tuple[Tensor, Tensor]:
        """Energies of the atoms without their reference energies, and what the network's are a linear function of.

        :meta private:

        Args:
            structure: one or more structures, with edges.
            pos: their positions, of which the results can be differentiated.
            strain: strain of each graph, or ``None``.
            memory: as in :meth:`forward`.

        Returns:
            energies in eV ``(nodes,)``, and features in eV ``(nodes, heads * hidden_channels)`` which, as the energies,
            are zero for an isolated atom (unless those are ``"free"``).

        Raises:
            ValueError: a head of the user's, or no energy.
        """
        atomwise = self.atomwise
        if atomwise is None:
            raise ValueError("'potential' must have an energy, got one without (energy=False)")

        def read(features: Features, atoms: Geometry) -> Tensor:
            hidden = atomwise.last_layer(features.x if self.heads == "all" else features.x[-1:])
            ones = torch.ones_like(hidden[:, 0])
            weights = self.readout.atom_values(ones, atoms.batch, atoms.num_graphs, features.x[-1])
            return torch.cat([self._read(features, atoms).unsqueeze(-1), hidden * weights.unsqueeze(-1)], dim=-1)

        atoms = self._geometry(structure, pos, strain)
        found, _ = self._values(read, atoms, memory, {}, structure.of_atoms(self.graph_inputs))
        return self._add_terms(found[:, 0], atoms, memory), found[:, 1:]

    def _values(
        self,
        read: Callable[[Features, Geometry], Tensor],
        atoms: Geometry,
        memory: Memory,
        options: Mapping[str, Any],
        inputs: Mapping[str, Tensor],
    ) -> tuple[Tensor, Features]:
        """What is read from the features of each atom, less the same of an isolated atom, and these features."""
        in_chunks = {} if memory == "normal" else {"memory": memory}
        if self.isolated == "free":
            features = self._features(atoms, inputs, {**options, **in_chunks})
            return read(features, atoms), features
        alone = self._isolated(atoms)
        neutral = {name: value.new_zeros(len(self.elements)) for name, value in inputs.items()}
        if "num_own" in options:  # whose own atoms are the first ones, followed by those of its neighbours
            features = self._features(atoms, inputs, {**options, **in_chunks})
            values, of_isolated = read(features, atoms), read(self._features(alone, neutral, {}), alone)
        else:
            both = atoms._replace(
                z=torch.cat([atoms.z, alone.z]),
                batch=torch.cat([atoms.batch, atoms.num_graphs + alone.batch]),
                num_graphs=atoms.num_graphs + alone.num_graphs,
            )
            joined = {name: torch.cat([value, neutral[name]]) for name, value in inputs.items()}
            features = self._features(both, joined, {**options, **in_chunks})
            count, found = atoms.z.shape[0], read(features, both)  # len() would fix it in compiled code
            values, of_isolated = found[:count], found[count:]
            density = None if features.density is None else features.density[:count]
            features = Features([x[:count] for x in features.x], density)
        of_element = of_isolated.new_zeros(NUM_ELEMENTS + 1, *of_isolated.shape[1:]).index_copy(0, alone.z, of_isolated)
        return values - of_element.index_select(0, atoms.z[: values.shape[0]]), features

    def _add_terms(self, energies: Tensor, atoms: Geometry, memory: Memory) -> Tensor:
        for term in (*([] if self.zbl is None else [self.zbl]), *self.terms):
            energies = energies + self._term(term, atoms, memory)[: energies.shape[0]].to(energies.dtype)
        return energies

    def _isolated(self, atoms: Geometry) -> Geometry:
        """One atom of each known element without neighbours, each in a graph of its own."""
        elements = torch.tensor(self.elements, device=atoms.z.device)
        graphs = torch.arange(len(elements), device=atoms.z.device)
        return Geometry(elements, graphs, len(elements), atoms.edge_index[:, :0], atoms.edge_vec[:0], None, None)

    def _read(self, features: Features, atoms: Geometry) -> Tensor:
        """Energy of each atom as the network gives it."""
        assert self.atomwise is not None
        values = self.atomwise(features.x if self.heads == "all" else features.x[-1:])
        return self.readout.atom_values(values, atoms.batch[: values.shape[0]], atoms.num_graphs, features.x[-1])

    def _term(self, term: nn.Module, atoms: Geometry, memory: Memory) -> Tensor:
        if isinstance(term, EnergyModel):
            edges = atoms.edge_index, atoms.edge_vec
            return term.interaction_energies(atoms.z, *edges, atoms.batch, atoms.num_graphs, memory=memory)
        assert isinstance(term, EnergyTerm)
        energies: Tensor = term(atoms)
        check_term(term, energies, atoms.z.shape[0])
        return energies

    def _evaluate(
        self, structure: Structure, forces: bool, stress: bool, memory: Memory, create_graph: bool, outputs: bool
    ) -> PotentialOutput:
        if self.has_energy:
            return super()._evaluate(structure, forces, stress, memory, create_graph, outputs)
        others = self._others(structure, None, memory) if outputs else {}
        return PotentialOutput(None, None, None, None, others)

    def _others(self, structure: Structure, features: Features | None, memory: Memory) -> dict[str, Tensor]:
        if not len(self.outputs):
            return {}
        for output in self.outputs.values():
            output.check(structure)  # type: ignore[operator]
        if features is None:
            in_chunks = {} if memory == "normal" else {"memory": memory}
            atoms = self._geometry(structure, structure.pos, None)
            features = self._features(atoms, structure.of_atoms(self.graph_inputs), in_chunks)
        found = {name: output(features, structure) for name, output in self.outputs.items()}
        for name, values in found.items():
            check_values(name, self.outputs[name], values, structure)  # type: ignore[arg-type]
        return found

    def __repr__(self) -> str:
        parameters = sum(parameter.numel() for parameter in self.parameters())
        parts = [str(self.representation), f"heads={self.heads!r}", str(self.readout), f"isolated={self.isolated!r}"]
        parts = parts if self.has_energy else parts[:1]
        parts += [str(term) for term in (self.zbl, *self.terms) if term is not None]
        parts += [f"{name}={output}" for name, output in self.outputs.items()]
        return f"{type(self).__name__}({', '.join(parts)}, {parameters} parameters)"
