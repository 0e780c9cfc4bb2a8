"""A potential: representation, atomic energies, readout and derivatives."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from pyg_mpnn.basis import Symmetry
from pyg_mpnn.deploy import CompilationError, export_package, why_not
from pyg_mpnn.layers.embedding import NUM_ELEMENTS
from pyg_mpnn.models.build import build, part_factory, takes_arguments
from pyg_mpnn.models.checks import check_representation
from pyg_mpnn.models.chunks import Memory
from pyg_mpnn.models.energy_model import EnergyModel
from pyg_mpnn.models.mpnn import MPNN
from pyg_mpnn.models.parts import READOUTS
from pyg_mpnn.models.sizes import Size, compose
from pyg_mpnn.models.zbl import ZBL
from pyg_mpnn.readout import AtomwiseEnergy, Readout, SumReadout

Isolated = Literal["zero", "free"]


class Potential(EnergyModel):
    r"""Energy, forces and stress of molecules and crystals.

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
            attributes ``cutoff``, ``out_channels``, ``num_layers`` (length of the list) and ``symmetry``.
            :class:`~pyg_mpnn.MPNN` in its base size where not given.
        heads: ``"all"`` for an energy head on every layer's features, summed, or ``"last"``.
        hidden_channels: width of the hidden layer of a head; of no effect with ``head``.
        head: network of your own in place of the head, from ``(nodes, out_channels)`` to ``(nodes, 1)``; needs
            ``heads="last"``.
        readout: sums the atoms, extensive; :class:`~pyg_mpnn.SumReadout` where not given.
        symmetry: ``"invariant"``, or ``"unconstrained"`` to accept a representation that is not.
        zbl: repulsion of nuclei that is added to the energies, for distances that no training data have; ``None`` for
            none.
        isolated: ``"zero"`` to subtract the energy of an isolated atom as above, or ``"free"`` for whatever the network
            gives, as in files of older versions.

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
        head: nn.Module | None = None,
        readout: Readout | None = None,
        symmetry: Symmetry = "invariant",
        zbl: ZBL | None = None,
        isolated: Isolated = "zero",
    ) -> None:
        super().__init__()
        representation = MPNN() if representation is None else representation
        readout = SumReadout() if readout is None else readout
        check_representation(representation, symmetry)
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
        self.atomwise = AtomwiseEnergy(in_channels, hidden_channels, num_heads, head)
        self.zbl = zbl

    @classmethod
    def from_size(
        cls, size: Size = "base", *, cutoff: float | Sequence[float] | None = None, **overrides: Any
    ) -> Potential:
        """Build a potential of a named size.

        Args:
            size: ``"small"``, ``"base"`` or ``"large"``.
            cutoff: cutoff radius in angstrom, or several increasing ones; 5 without it.
            **overrides: other keyword arguments of the representation, which win over those of the size, and
                ``potential_heads``, ``readout`` (``"sum"``, ``"learned"`` or a part), ``symmetry``, ``isolated`` and
                ``zbl`` (True to add a :class:`~pyg_mpnn.ZBL`) of the potential. ``representation`` names another one,
                as ``file.py:Class``; parts may be classes, ``functools.partial`` or descriptions, see
                :func:`pyg_mpnn.models.build.build`.

        Returns:
            a potential with random weights.

        Raises:
            ValueError: an unknown size or argument, or a part that cannot be made.
        """
        options = {**overrides, **({} if cutoff is None else {"cutoff": cutoff})}
        description, trust = compose(size, options)
        zbl = description.pop("zbl", None)
        description["representation"] = build(description["representation"], trust, "model")
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
        potential: Potential = build({**description, "readout": readout, "zbl": zbl or None}, trust)
        return potential

    @property
    def head(self) -> nn.Module | None:
        """The network of the user's in place of the head; ``None`` where there is none."""
        return self.atomwise.heads[0] if self.own_head else None

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
        """Number of continuous derivatives of the energy, as the parts declare it, else 1."""
        own = float(getattr(self.representation, "smoothness", 1))
        return own if self.zbl is None else min(own, self.zbl.smoothness)

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

    @property
    def works_in_chunks(self) -> bool:
        """Whether ``memory="low"`` is possible: for an :class:`~pyg_mpnn.MPNN`."""
        return isinstance(self.representation, MPNN)

    def near_edges(self, edge_vec: Tensor) -> Sequence[Tensor]:
        """As the representation makes them: the edges within each cutoff but the largest.

        Args:
            edge_vec: vectors from centre to neighbour in angstrom.

        Returns:
            index lists; none for one cutoff.
        """
        if len(self.cutoffs) == 1 or not hasattr(self.representation, "near_edges"):
            return ()
        near: Sequence[Tensor] = self.representation.near_edges(edge_vec)  # type: ignore[operator]
        return near

    def check_elements(self, z: Tensor) -> None:
        """Raise if an atom is of an element without reference energy.

        Args:
            z: atomic numbers.
        """
        self.atomwise.check_elements(z)

    def reference_energies(self, z: Tensor, batch: Tensor, num_graphs: int) -> tuple[Tensor, Tensor]:
        """Reference energies of graphs and of atoms.

        Args:
            z: atomic numbers of known elements.
            batch: graph of each atom.
            num_graphs: number of graphs.

        Returns:
            energies in eV, float64, ``(graphs,)`` and ``(nodes,)``.
        """
        return self.atomwise.reference_energies(z, batch, num_graphs), self.atomwise.reference[z]

    def interaction_energies(
        self,
        z: Tensor,
        edge_index: Tensor,
        edge_vec: Tensor,
        batch: Tensor,
        num_graphs: int,
        near: Sequence[Tensor] | None = None,
        memory: Memory = "normal",
        **domain: Any,
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
            **domain: ``num_own`` and ``exchange`` of :meth:`MPNN.forward`, for one domain of a larger structure.

        Returns:
            energies in eV, in the dtype of the network, ``(nodes,)``; those of the own atoms of a domain.
        """
        options: dict[str, Any] = domain if near is None else {"near": near, **domain}
        if memory != "normal":
            options["memory"] = memory
        if self.isolated == "free":
            energies = self._network(z, edge_index, edge_vec, batch, num_graphs, options)
        else:
            elements = torch.tensor(self.elements, device=z.device)
            graphs = torch.arange(len(elements), device=z.device)
            if domain:  # whose own atoms are the first ones, followed by those of its neighbours
                energies = self._network(z, edge_index, edge_vec, batch, num_graphs, options)
                alone = self._network(elements, edge_index[:, :0], edge_vec[:0], graphs, len(elements), {})
            else:
                with_isolated = torch.cat([z, elements]), edge_index, edge_vec, torch.cat([batch, num_graphs + graphs])
                found = self._network(*with_isolated, num_graphs + len(elements), options)
                energies, alone = found[: z.shape[0]], found[z.shape[0] :]
            of_element = alone.new_zeros(NUM_ELEMENTS + 1).index_copy(0, elements, alone)
            energies = energies - of_element.index_select(0, z[: energies.shape[0]])
        if self.zbl is None:
            return energies
        repulsion = self.zbl.interaction_energies(z, edge_index, edge_vec, batch, num_graphs, memory=memory)
        return energies + repulsion[: domain.get("num_own")]

    def _network(
        self, z: Tensor, edge_index: Tensor, edge_vec: Tensor, batch: Tensor, num_graphs: int, options: dict[str, Any]
    ) -> Tensor:
        """Energy of each atom as the network gives it."""
        features = self.representation(z, edge_index, edge_vec, **options)
        values = self.atomwise(features if self.heads == "all" else features[-1:])
        return self.readout.atom_values(values, batch[: values.shape[0]], num_graphs, features[-1])

    def export(self, path: str | Path) -> None:
        """Write energy, forces and stress of one structure as an AOTInductor package, which runs without this package.

        The package takes ``z`` ``(nodes,)``, ``edge_index`` ``(2, edges)`` and ``shifts`` ``(edges, 3)`` in int64,
        ``pos`` ``(nodes, 3)`` and ``cell`` ``(3, 3)`` in float64, in the order ``z, pos, edge_index, shifts, cell`` and
        with a tuple of index lists last (empty for one cutoff, else the edges within each smaller cutoff). It returns
        energy, forces, stress and atom energies in float64 and this package's units; in between it computes in the
        dtype of this potential. Edges beyond a cutoff change nothing. A molecule takes zero shifts and any cell, and
        its stress means nothing. At least two atoms, two edges and two of them in each list; elements not trained on
        give NaN. All tensors must be contiguous (row by row, as in C) and on the CPU: the package reads their memory as
        such, so that others, a transposed or strided view above all, give wrong numbers. Torch looks at dtypes,
        shapes and strides only where ``AOTI_RUNTIME_CHECK_INPUTS=1`` is in the environment, and reads beyond a tensor
        that is too small otherwise. In C++ ``tensor.to(torch::kDouble).contiguous()`` gives what is wanted.

        Args:
            path: file to write, by convention ``*.pt2``; an existing one is replaced only by a complete one.

        Raises:
            CompilationError: compilation is not possible here, as for :meth:`compile`.
        """
        reason = why_not(self.atomwise.reference.device)
        if reason is not None:
            raise CompilationError(f"this potential cannot be exported here: {reason}")
        evaluated = copy.deepcopy(self).eval().requires_grad_(False)
        export_package(evaluated, self.atomwise.reference, len(self.cutoffs), Path(path))

    def __repr__(self) -> str:
        parameters = sum(parameter.numel() for parameter in self.parameters())
        return (
            f"{type(self).__name__}({self.representation}, heads={self.heads!r}, {self.readout}, "
            f"isolated={self.isolated!r}, "
            f"{'' if self.zbl is None else f'{self.zbl}, '}{parameters} parameters)"
        )
