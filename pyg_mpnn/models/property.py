"""A model of one property of molecules: representation, a number for each atom, a readout by the kind of property."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from pyg_mpnn.basis import Symmetry
from pyg_mpnn.models.files import Stored
from pyg_mpnn.models.mpnn import MPNN
from pyg_mpnn.models.sizes import SIZES, Size
from pyg_mpnn.models.structure import read_structure
from pyg_mpnn.readout import AtomwiseEnergy, DipoleReadout, MeanReadout, SpatialExtentReadout, SumReadout

PropertyKind = Literal["extensive", "intensive", "dipole", "spatial_extent"]


class PropertyModel(Stored, nn.Module):
    r"""One property of a molecule from the same representation as a potential.

    .. math:: a_i = \mathrm{scale} \sum_t \mathrm{MLP}_t(h_i^t) + a_0[z_i]

    is a number for each atom (:class:`~pyg_mpnn.AtomwiseEnergy`, with :math:`a_0` of each element from the training
    data), and the property is by ``kind``

    ==================  ==============================================  =====================================
    ``extensive``       :math:`\sum_i a_i`                              energies, heat capacity, polarizability
    ``intensive``       :math:`\frac{1}{N} \sum_i a_i`                  orbital energies, gap
    ``dipole``          :math:`|\sum_i (a_i - \bar a) r_i|`             length of the dipole moment
    ``spatial_extent``  :math:`\sum_i a_i |r_i - r_\mathrm{cm}|^2`      <R^2>
    ==================  ==============================================  =====================================

    (:class:`~pyg_mpnn.SumReadout`, :class:`~pyg_mpnn.MeanReadout`, :class:`~pyg_mpnn.DipoleReadout`,
    :class:`~pyg_mpnn.SpatialExtentReadout`). The last two are for molecules only.

    Args:
        representation: as for :class:`~pyg_mpnn.Potential`; must be invariant.
        kind: how the property comes from the atoms.
        hidden_channels: width of the hidden layer of a head.

    Shapes:
        input as for :class:`~pyg_mpnn.Potential`; output ``(graphs,)``, float64.

    Units:
        angstrom; output the unit of the target it is trained on, with :math:`a_i` in that unit, for a dipole per
        angstrom, for the spatial extent per angstrom^2.

    Raises:
        ValueError: an unknown kind, a representation that is not invariant, and when called what
            :class:`~pyg_mpnn.Potential` refuses, or a periodic structure of the last two kinds.

    Source:
        readouts as in Schütt et al., ICML 2021 (PaiNN), arXiv:2102.03150, without its vectors; own design otherwise.

    Example:
        >>> model = PropertyModel.from_size("small", kind="dipole")
        >>> water = torch.tensor([[0.0, 0.0, 0.12], [0.0, 0.76, -0.48], [0.0, -0.76, -0.48]])
        >>> model(torch.tensor([8, 1, 1]), water).shape
        torch.Size([1])
    """

    def __init__(
        self,
        representation: nn.Module | None = None,
        *,
        kind: PropertyKind = "extensive",
        hidden_channels: int = 64,
    ) -> None:
        super().__init__()
        if kind not in get_args(PropertyKind):
            raise ValueError(f"'kind' must be one of {get_args(PropertyKind)}, got {kind!r}")
        representation = MPNN() if representation is None else representation
        if representation.symmetry != "invariant":
            raise ValueError(
                f"'representation' must be invariant, got one that declares {representation.symmetry!r}: use "
                "contracted or radial directions"
            )
        self.representation, self.kind, self.hidden_channels = representation, kind, hidden_channels
        self.symmetry: Symmetry = "invariant"
        in_channels = int(representation.out_channels)  # type: ignore[arg-type]
        num_heads = int(representation.num_layers)  # type: ignore[arg-type]
        self.atomwise = AtomwiseEnergy(in_channels, hidden_channels, num_heads)
        self.readout = _make_readout(kind)
        self.compiler = None  # properties are evaluated eagerly

    @classmethod
    def from_size(
        cls,
        size: Size = "base",
        *,
        kind: PropertyKind = "extensive",
        cutoff: float | Sequence[float] = 5.0,
        **overrides: Any,
    ) -> PropertyModel:
        """Build a model of a named size.

        Args:
            size: ``"small"``, ``"base"`` or ``"large"``.
            kind: how the property comes from the atoms.
            cutoff: cutoff radius in angstrom, or several increasing ones.
            **overrides: other keyword arguments of :class:`~pyg_mpnn.MPNN`.

        Returns:
            a model with random weights.
        """
        if size not in SIZES:
            raise ValueError(f"'size' must be one of {tuple(SIZES)}, got {size!r}")
        return cls(MPNN(**{**SIZES[size], "cutoff": cutoff, **overrides}), kind=kind)

    @property
    def cutoffs(self) -> tuple[float, ...]:
        """All cutoffs in angstrom, increasing."""
        return tuple(getattr(self.representation, "cutoffs", (float(self.representation.cutoff),)))  # type: ignore[arg-type]

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the network; the property is float64 always."""
        return self.atomwise.scale.dtype

    @property
    def elements(self) -> tuple[int, ...]:
        """Atomic numbers that the model knows."""
        return self.atomwise.elements

    def reset_parameters(self) -> None:
        """Draw new weights in every part."""
        self.representation.reset_parameters()  # type: ignore[operator]
        self.atomwise.reset_parameters()

    def set_reference(
        self, values: Mapping[int, float], scale: float, neighbors: Sequence[float] | None = None
    ) -> None:
        """Fix the numbers that come from the training data and are not trained.

        Args:
            values: the number a_0 of each element; others become unknown and are refused.
            scale: size of what the network adds.
            neighbors: mean number of neighbours of an atom, one for each cutoff.
        """
        self.atomwise.set_reference(values, scale)
        if neighbors is not None and hasattr(self.representation, "set_neighbors"):
            self.representation.set_neighbors(neighbors)  # type: ignore[operator]

    def forward(
        self,
        data: Data | Tensor,
        pos: Tensor | None = None,
        batch: Tensor | None = None,
        edge_index: Tensor | None = None,
        shifts: Tensor | None = None,
    ) -> Tensor:
        """The property of each graph.

        Args:
            data: a PyG ``Data`` or ``Batch`` with ``z``, ``pos`` and optionally the rest, or the atomic numbers ``z``.
            pos: positions in angstrom.
            batch: graph of each atom, in order; one graph where not given.
            edge_index: edges up to the cutoff, source first; found where not given.
            shifts: whole cells between the atoms of each edge.

        Returns:
            values, float64.
        """
        found = read_structure(data, pos, batch, None, None, edge_index, shifts)
        self.atomwise.check_elements(found.z)
        periodic = found.pbc is not None and bool(found.pbc.any())
        if periodic and isinstance(self.readout, (DipoleReadout, SpatialExtentReadout)):
            raise ValueError(f"'pbc' must be False for a {self.kind}, got a periodic structure, which has none")
        found = found.with_edges(self.cutoffs[-1])
        edge_vec = found.edge_vectors(found.pos).to(self.dtype)
        values = self.atomwise(self.representation(found.z, found.edge_index, edge_vec))
        a = values.double() + self.atomwise.reference[found.z]
        if isinstance(self.readout, DipoleReadout):
            result: Tensor = self.readout(a, found.pos, found.batch, found.num_graphs)
        elif isinstance(self.readout, SpatialExtentReadout):
            result = self.readout(a, found.z, found.pos, found.batch, found.num_graphs)
        else:
            result = self.readout(a[:, None], found.batch, dim_size=found.num_graphs).squeeze(1)
        return result

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.representation}, kind={self.kind!r})"


def _make_readout(kind: PropertyKind) -> nn.Module:
    if kind == "extensive":
        return SumReadout()
    if kind == "intensive":
        return MeanReadout()
    return DipoleReadout() if kind == "dipole" else SpatialExtentReadout()
