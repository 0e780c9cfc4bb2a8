"""What a model gives besides an energy: scalars, vectors and tensors of structures and atoms, by name."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from pyg_mpnn.arguments import check_whole
from pyg_mpnn.basis import Symmetry
from pyg_mpnn.models.features import Features
from pyg_mpnn.models.structure import Structure
from pyg_mpnn.readout import (
    AtomwiseEnergy,
    DipoleReadout,
    GatedDensity,
    MeanReadout,
    SpatialExtentReadout,
    SumReadout,
    center_of_mass,
    conserve_charge,
    traceless_tensor,
)
from pyg_mpnn.scatter import scatter_sum

Level = Literal["structure", "atom"]
Penalty = Literal["mse", "l1", "huber"]
RESERVED = (
    *("energy", "forces", "stress", "atom_energies", "virial", "names", "others", "map", "count", "index"),
    *("z", "pos", "cell", "pbc", "batch", "ptr", "weight", "charge", "spin", "edge_index", "shifts"),
)
"""Names that mean something else in an output or in a structure."""


class Output(nn.Module, ABC):
    """Interface: one quantity of structures or atoms from the features of a representation.

    A subclass declares what follows as attributes, writes :meth:`forward`, and has the arguments of its constructor as
    attributes of their names, so that a file can say what it is made of. Parts whose sizes the representation knows are
    made in :meth:`build`. References of the quantity are the field of its name in a structure, NaN where unknown.

    Shapes:
        output ``(graphs, *shape)`` or, of atoms, ``(nodes, *shape)``, float64.
    """

    level: Level = "structure"
    """Whether it has a value for each structure or for each atom."""
    shape: tuple[int, ...] = ()
    """Shape of one value: ``()``, ``(3,)`` for a vector, ``(3, 3)`` for a tensor."""
    symmetry: Symmetry = "invariant"
    """``"equivariant"`` where each axis of ``shape`` turns with the structure."""
    extensive: bool | None = False
    """Whether the value of two separate structures together is the sum of both, or of copies that of one; ``None``:
    neither."""
    molecules: bool = True
    """Whether structures without a cell have a value."""
    unit: str = ""
    """Unit of the value, that of the references it is trained on."""
    loss: Penalty = "l1"
    """Penalty of an error in a training."""

    def build(self, representation: nn.Module) -> None:
        """Make the parts whose sizes the representation knows.

        Args:
            representation: as for :class:`~pyg_mpnn.Potential`.
        """

    def reset_parameters(self) -> None:
        """Draw new weights."""

    def check(self, structure: Structure) -> None:
        """Raise for structures that it has no value for.

        Args:
            structure: one or more structures.
        """

    def fit(self, structure: Structure, target: Tensor) -> float:
        """Take from the training data what is not trained, for instance a number for each element.

        Args:
            structure: all training structures, without edges.
            target: their references, NaN where unknown.

        Returns:
            what errors are divided by in the loss: here the root mean square of the references.

        Raises:
            ValueError: no reference, or references that leave nothing to learn.
        """
        known = target[~target.isnan()]
        return _spread(known, known)

    def guess(self, structure: Structure, target: Tensor) -> Tensor:
        """The trivial predictor: what can be said of structures without a network.

        Args:
            structure: the structures.
            target: references of the training structures, NaN where unknown.

        Returns:
            one value for each structure or atom: here the mean reference.
        """
        known = target.reshape(len(target), -1)
        count = len(structure.z) if self.level == "atom" else structure.num_graphs
        return known.nanmean(dim=0).reshape(1, *self.shape).expand(count, *self.shape)

    @abstractmethod
    def forward(self, features: Features, structure: Structure) -> Tensor:
        """The values.

        Args:
            features: what the representation gave.
            structure: the structures, with edges and total charges where these are known.

        Returns:
            float64, ``(graphs, *shape)`` or ``(nodes, *shape)``.
        """

    def __repr__(self) -> str:
        names = [name for name in inspect.signature(type(self).__init__).parameters if name != "self"]
        arguments = (f"{name}={getattr(self, name)!r}" for name in names if hasattr(self, name))
        return f"{type(self).__name__}({', '.join(arguments)})"


class AtomwiseOutput(Output):
    r"""Interface: an output from a number for each atom.

    .. math:: a_i = \mathrm{scale} \sum_t \mathrm{MLP}_t(h_i^t) + a_0[z_i]

    as of :class:`~pyg_mpnn.AtomwiseEnergy`, with scale and the numbers :math:`a_0` of the elements from the training
    data. A subclass writes :meth:`read`.

    Args:
        unit: unit of the value.
        hidden_channels: width of the hidden layers.
        loss: penalty of an error in a training.

    Shapes:
        output ``(graphs, *shape)`` or, of atoms, ``(nodes, *shape)``, float64.
    """

    linear = True
    """Whether :meth:`read` is linear: then the numbers of the elements are fitted, else they are zero."""
    atomwise: AtomwiseEnergy

    def __init__(self, *, unit: str = "", hidden_channels: int = 64, loss: Penalty = "l1") -> None:
        super().__init__()
        check_whole(hidden_channels=hidden_channels)
        if loss not in get_args(Penalty):
            raise ValueError(f"'loss' must be one of {get_args(Penalty)}, got {loss!r}")
        self.unit, self.hidden_channels, self.loss = unit, hidden_channels, loss

    def build(self, representation: nn.Module) -> None:
        """Make the heads; arguments as of :class:`Output`."""
        widths = int(representation.out_channels), self.hidden_channels  # type: ignore[arg-type]
        self.atomwise = AtomwiseEnergy(*widths, int(representation.num_layers))  # type: ignore[arg-type]

    def reset_parameters(self) -> None:
        """Draw new weights."""
        for part in self.children():
            if hasattr(part, "reset_parameters"):
                part.reset_parameters()  # type: ignore[operator]

    def check(self, structure: Structure) -> None:
        """Raise for elements not trained on; arguments as of :class:`Output`."""
        self.atomwise.check_elements(structure.z)

    @abstractmethod
    def read(self, a: Tensor, structure: Structure) -> Tensor:
        """The values from the number of each atom.

        Args:
            a: numbers ``(nodes,)``, float64.
            structure: the structures.

        Returns:
            ``(graphs, *shape)`` or ``(nodes, *shape)``.
        """

    def sizes(self, structure: Structure) -> Tensor:
        """How much the values change with numbers of size 1: what scale is measured by.

        Args:
            structure: the structures.

        Returns:
            as of :meth:`read`, not negative.
        """
        return self.read(torch.ones_like(structure.z, dtype=torch.float64), structure).abs()

    def forward(self, features: Features, structure: Structure) -> Tensor:
        """The values; arguments as of :class:`Output`."""
        return self.read(self.atomwise(features.x).double() + self.atomwise.reference[structure.z], structure)

    def fit(self, structure: Structure, target: Tensor) -> float:
        r"""Fit a number for each element by least squares, and the scale of what is left for the network.

        .. math:: \min_{a_0} \sum (y - \mathrm{read}(a_0[z]))^2

        Of all minima the one closest to equal numbers is taken. An output that is not linear gets zeros.

        Arguments and errors as of :class:`Output`.
        """
        structure = structure._replace(pos=structure.pos.double())
        elements = sorted(set(structure.z.tolist()))
        known = ~target.flatten().isnan()
        y = target.double().flatten()[known]
        values, left = torch.zeros(len(elements), dtype=torch.float64), y
        if self.linear and len(y):
            of_element = [(structure.z == element).double() for element in elements]
            matrix = torch.stack([self.read(one, structure).flatten()[known] for one in of_element], dim=1)
            total = matrix.sum(dim=1)
            seen = total.abs() > 1e-9 * matrix.abs().sum(dim=1)
            mean = y[seen].sum() / total[seen].sum() if bool(seen.any()) else y.new_zeros(())
            values = mean + torch.linalg.lstsq(matrix, (y - total * mean)[:, None], driver="gelsd").solution[:, 0]
            left = y - matrix @ values
        spread = _spread(left, y)
        scale = (left / self.sizes(structure).flatten()[known].clamp(min=1e-3)).square().mean().sqrt()
        self.atomwise.set_reference(dict(zip(elements, values.tolist(), strict=True)), float(scale))
        return spread

    def guess(self, structure: Structure, target: Tensor) -> Tensor:
        """The trivial predictor: the numbers of the elements alone, or the mean where they are zero.

        Arguments as of :class:`Output`.
        """
        if not self.linear:
            return super().guess(structure, target)
        structure = structure._replace(pos=structure.pos.double())
        return self.read(self.atomwise.reference[structure.z], structure)


class ScalarOutput(AtomwiseOutput):
    r"""A number of each structure or atom that does not change under rotation.

    .. math:: y = \sum_i a_i, \qquad y = \frac{1}{N} \sum_i a_i, \qquad y_i = a_i

    for an extensive or intensive quantity of a structure of N atoms, and for one of an atom.

    Args:
        extensive: whether the values of two separate structures add up; of no effect for atoms.
        level: ``"structure"`` or ``"atom"``.
        unit: unit of the value.
        hidden_channels: width of the hidden layers.
        loss: penalty of an error in a training.

    Shapes:
        output ``(graphs,)`` or ``(nodes,)``, float64.

    Units:
        ``unit``.

    Raises:
        ValueError: an unknown level or loss.

    Source:
        readouts as in Schütt et al., ICML 2021 (PaiNN), arXiv:2102.03150; own design otherwise.

    Example:
        >>> from pyg_mpnn import Potential
        >>> model = Potential.from_size("small", energy=False, outputs={"gap": ScalarOutput(extensive=False)})
        >>> model(torch.tensor([1, 1]), torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 0.74]])).gap.shape
        torch.Size([1])
    """

    def __init__(
        self,
        extensive: bool = True,
        level: Level = "structure",
        *,
        unit: str = "",
        hidden_channels: int = 64,
        loss: Penalty = "l1",
    ) -> None:
        super().__init__(unit=unit, hidden_channels=hidden_channels, loss=loss)
        if level not in get_args(Level):
            raise ValueError(f"'level' must be one of {get_args(Level)}, got {level!r}")
        self.extensive, self.level = extensive, level
        self._sum = SumReadout() if extensive else MeanReadout()

    def read(self, a: Tensor, structure: Structure) -> Tensor:
        """Sum, mean, or the numbers themselves; arguments as of :class:`AtomwiseOutput`."""
        if self.level == "atom":
            return a
        values: Tensor = self._sum(a[:, None], structure.batch, dim_size=structure.num_graphs)
        return values.squeeze(1)


class ChargesOutput(AtomwiseOutput):
    r"""Partial charges of the atoms, which add up to the total charge of the structure.

    .. math:: q_i = a_i + \frac{1}{N} \Big(Q - \sum_k a_k\Big)

    with the field ``charge`` of the structure as Q, zero where it has none.

    Args:
        unit: unit of the charges; Q is in elementary charges.
        hidden_channels: width of the hidden layers.
        loss: penalty of an error in a training.

    Shapes:
        output ``(nodes,)``, float64.

    Units:
        elementary charges.

    Source:
        Unke and Meuwly, J. Chem. Theory Comput. 15, 3678 (2019) (PhysNet), arXiv:1902.08408, Eq. (14).

    Example:
        >>> from pyg_mpnn import Potential
        >>> model = Potential.from_size("small", outputs={"charges": ChargesOutput()})
        >>> pos = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 0.9]])
        >>> bool(model(torch.tensor([9, 1]), pos).charges.sum().abs() < 1e-9)
        True
    """

    level: Level = "atom"

    def __init__(self, *, unit: str = "e", hidden_channels: int = 64, loss: Penalty = "l1") -> None:
        super().__init__(unit=unit, hidden_channels=hidden_channels, loss=loss)

    def read(self, a: Tensor, structure: Structure) -> Tensor:
        """Shifted numbers; arguments as of :class:`AtomwiseOutput`."""
        return conserve_charge(a, structure.batch, structure.num_graphs, structure.inputs.get("charge"))

    def sizes(self, structure: Structure) -> Tensor:
        """Ones; arguments as of :class:`AtomwiseOutput`."""
        return torch.ones_like(structure.z, dtype=torch.float64)


class DipoleLengthOutput(AtomwiseOutput):
    r"""Length of the dipole moment of neutral molecules, from charges that add up to zero.

    .. math:: y = \Big|\sum_i (a_i - \bar a) r_i\Big|

    of :class:`~pyg_mpnn.DipoleReadout`: for data that have no direction, as QM9's mu; else :class:`DipoleOutput`.

    Args:
        unit: unit of the value; :math:`a_i` is in that unit per angstrom.
        hidden_channels: width of the hidden layers.
        loss: penalty of an error in a training.

    Shapes:
        output ``(graphs,)``, float64.

    Units:
        ``unit``; positions in angstrom.

    Raises:
        ValueError: when called: a periodic structure.

    Source:
        as of :class:`~pyg_mpnn.DipoleReadout`.

    Example:
        >>> from pyg_mpnn import Potential
        >>> model = Potential.from_size("small", energy=False, outputs={"mu": DipoleLengthOutput(unit="D")})
        >>> model(torch.tensor([1]), torch.zeros(1, 3)).mu
        tensor([0.], dtype=torch.float64, grad_fn=<WhereBackward0>)
    """

    linear = False

    def check(self, structure: Structure) -> None:
        """Raise for periodic structures and elements not trained on; arguments as of :class:`Output`."""
        super().check(structure)
        _check_molecules(structure, "a dipole")

    def read(self, a: Tensor, structure: Structure) -> Tensor:
        """Length of the dipole moment; arguments as of :class:`AtomwiseOutput`."""
        found: Tensor = DipoleReadout()(a, structure.pos.double(), structure.batch, structure.num_graphs)
        return found

    def sizes(self, structure: Structure) -> Tensor:
        """Root of the summed squared distances from the centre of mass; arguments as of :class:`AtomwiseOutput`."""
        return _extent(structure).sqrt()


class SpatialExtentOutput(AtomwiseOutput):
    r"""Second moment of the density of molecules about their centre of mass, as QM9's <R^2>.

    .. math:: y = \sum_i a_i |r_i - r_\mathrm{cm}|^2

    of :class:`~pyg_mpnn.SpatialExtentReadout`.

    Args:
        unit: unit of the value; :math:`a_i` is in that unit per angstrom^2.
        hidden_channels: width of the hidden layers.
        loss: penalty of an error in a training.

    Shapes:
        output ``(graphs,)``, float64.

    Units:
        ``unit``; positions in angstrom.

    Raises:
        ValueError: when called: a periodic structure.

    Source:
        as of :class:`~pyg_mpnn.SpatialExtentReadout`.

    Example:
        >>> from pyg_mpnn import Potential
        >>> model = Potential.from_size("small", energy=False, outputs={"r2": SpatialExtentOutput(unit="Bohr^2")})
        >>> model(torch.tensor([1]), torch.zeros(1, 3)).r2.item()
        0.0
    """

    def __init__(self, *, unit: str = "", hidden_channels: int = 64, loss: Penalty = "l1") -> None:
        super().__init__(unit=unit, hidden_channels=hidden_channels, loss=loss)
        self._readout = SpatialExtentReadout()

    def check(self, structure: Structure) -> None:
        """Raise for periodic structures and elements not trained on; arguments as of :class:`Output`."""
        super().check(structure)
        _check_molecules(structure, "a spatial extent")

    def read(self, a: Tensor, structure: Structure) -> Tensor:
        """Second moment; arguments as of :class:`AtomwiseOutput`."""
        pos, batch = structure.pos.double(), structure.batch
        found: Tensor = self._readout(a, structure.z, pos, batch, structure.num_graphs)
        return found


class DipoleOutput(AtomwiseOutput):
    r"""Dipole moment of molecules: charges times positions, and a vector of each atom from the directional density.

    .. math:: \mu = \sum_i q_i (r_i - r_\mathrm{cm}) + \mathrm{scale} \sum_i v_i, \qquad
              q_i = a_i + \frac{1}{N} \Big(Q - \sum_k a_k\Big)

    with :math:`v_i` of :class:`~pyg_mpnn.readout.GatedDensity` for l = 1, the field ``charge`` as Q, zero
    where it has none. It turns with the molecule and changes its sign under inversion. The dipole moment of a neutral
    molecule has no origin; that of an ion is about the centre of mass. The shift of the charges is shared by all atoms:
    two different molecules in one structure exchange charge however far apart they are.

    Args:
        unit: unit of the value; charges are in that unit per angstrom, so with total charges it must be ``"e*A"``.
        hidden_channels: width of the hidden layers.
        loss: penalty of an error in a training; only ``"mse"`` does not depend on the axes.

    Shapes:
        output ``(graphs, 3)``, float64.

    Units:
        ``unit``; positions in angstrom.

    Raises:
        ValueError: a representation whose density has no degree 1; when called: a periodic structure, a total charge
            with another unit.

    Source:
        Veit et al., J. Chem. Phys. 153, 024113 (2020), Eqs. (3) to (5) (charges and atomic dipoles together); vectors
        as in Schütt, Unke and Gastegger, ICML 2021 (PaiNN), arXiv:2102.03150.

    Example:
        >>> from pyg_mpnn import Potential
        >>> model = Potential.from_size("small", outputs={"dipole": DipoleOutput()})
        >>> model(torch.tensor([9, 1]), torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 0.9]])).dipole.shape
        torch.Size([1, 3])
    """

    shape: tuple[int, ...] = (3,)
    symmetry: Symmetry = "equivariant"
    extensive = True

    def __init__(self, *, unit: str = "e*A", hidden_channels: int = 64, loss: Penalty = "mse") -> None:
        super().__init__(unit=unit, hidden_channels=hidden_channels, loss=loss)

    def build(self, representation: nn.Module) -> None:
        """Make the heads; arguments as of :class:`Output`."""
        super().build(representation)
        self.vectors = _gates(self, representation, degree=1)

    def check(self, structure: Structure) -> None:
        """Raise for periodic structures and elements not trained on; arguments as of :class:`Output`."""
        super().check(structure)
        _check_molecules(structure, "a dipole")
        if self.unit != "e*A" and "charge" in structure.inputs and bool((structure.inputs["charge"] != 0).any()):
            raise ValueError(f"'unit' of a dipole must be 'e*A' for ions, whose 'charge' is in e, got {self.unit!r}")

    def read(self, a: Tensor, structure: Structure) -> Tensor:
        """Charges times positions; arguments as of :class:`AtomwiseOutput`."""
        return self._moment(a, structure, structure.inputs.get("charge"))

    def forward(self, features: Features, structure: Structure) -> Tensor:
        """The dipole moments; arguments as of :class:`Output`."""
        assert features.density is not None
        vectors = self.atomwise.scale * self.vectors(features.x[-1], features.density)
        return super().forward(features, structure) + scatter_sum(
            vectors.double(), structure.batch, structure.num_graphs
        )

    def sizes(self, structure: Structure) -> Tensor:
        """A third of the spatial extent, its root, for each axis; arguments as of :class:`AtomwiseOutput`."""
        return (_extent(structure) / 3).sqrt()[:, None].expand(-1, 3)

    @staticmethod
    def _moment(a: Tensor, structure: Structure, total: Tensor | None) -> Tensor:
        pos, batch, num_graphs = structure.pos.double(), structure.batch, structure.num_graphs
        charges = conserve_charge(a, batch, num_graphs, total)
        centre = center_of_mass(structure.z, pos, batch, num_graphs)
        return scatter_sum(charges[:, None] * (pos - centre[batch]), batch, num_graphs)


class PolarizabilityOutput(AtomwiseOutput):
    r"""Polarizability tensor: an isotropic part and one without trace for each atom.

    .. math:: \alpha = \sum_i \big(a_i 1 + \mathrm{scale} \, T_i\big)

    with symmetric tensors :math:`T_i` without trace (:class:`~pyg_mpnn.readout.GatedDensity`, l = 2). It turns with the
    molecule and does not change under inversion.

    Args:
        unit: unit of the value.
        hidden_channels: width of the hidden layers.
        loss: penalty of an error in a training; only ``"mse"`` does not depend on the axes.

    Shapes:
        output ``(graphs, 3, 3)``, symmetric, float64.

    Units:
        ``unit``.

    Raises:
        ValueError: a representation whose density has no degree 2.

    Source:
        Wilkins et al., PNAS 116, 3401 (2019), arXiv:1809.05337 (atomic polarizabilities of degrees 0 and 2); heads: own
        design.

    Example:
        >>> from pyg_mpnn import Potential
        >>> model = Potential.from_size("small", outputs={"polarizability": PolarizabilityOutput()})
        >>> model(torch.tensor([9, 1]), torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 0.9]])).polarizability.shape
        torch.Size([1, 3, 3])
    """

    shape: tuple[int, ...] = (3, 3)
    symmetry: Symmetry = "equivariant"
    extensive = True

    def __init__(self, *, unit: str = "Bohr^3", hidden_channels: int = 64, loss: Penalty = "mse") -> None:
        super().__init__(unit=unit, hidden_channels=hidden_channels, loss=loss)

    def build(self, representation: nn.Module) -> None:
        """Make the heads; arguments as of :class:`Output`."""
        super().build(representation)
        self.tensors = _gates(self, representation, degree=2)

    def read(self, a: Tensor, structure: Structure) -> Tensor:
        """The isotropic part; arguments as of :class:`AtomwiseOutput`."""
        sums = scatter_sum(a, structure.batch, structure.num_graphs)
        return sums[:, None, None] * torch.eye(3, dtype=sums.dtype, device=sums.device)

    def forward(self, features: Features, structure: Structure) -> Tensor:
        """The polarizabilities; arguments as of :class:`Output`."""
        assert features.density is not None
        tensors = self.atomwise.scale * traceless_tensor(self.tensors(features.x[-1], features.density))
        return super().forward(features, structure) + scatter_sum(
            tensors.double(), structure.batch, structure.num_graphs
        )

    def sizes(self, structure: Structure) -> Tensor:
        """Number of atoms; arguments as of :class:`AtomwiseOutput`."""
        count = torch.bincount(structure.batch, minlength=structure.num_graphs).double()
        return count[:, None, None].expand(-1, 3, 3)


def check_output(name: str, output: Output, symmetry: Symmetry) -> None:
    """Refuse an output that a model cannot have.

    Args:
        name: its name.
        output: the output.
        symmetry: that of the model.

    Raises:
        TypeError: it is no :class:`Output`, or declares something unusable.
        ValueError: an unusable name, or an equivariant output of an unconstrained representation.
    """
    if not name.isidentifier() or name in RESERVED or hasattr(nn.ModuleDict, name):
        raise ValueError(f"the name of an output must be an identifier other than {', '.join(RESERVED)}, got {name!r}")
    if not isinstance(output, Output):
        raise TypeError(f"'outputs' must hold outputs (pyg_mpnn.Output), got {type(output).__name__} as {name!r}")
    if output.level not in get_args(Level) or output.loss not in get_args(Penalty):
        raise TypeError(
            f"{type(output).__name__} must declare a 'level' of {get_args(Level)} and a 'loss' of {get_args(Penalty)}, "
            f"got {output.level!r} and {output.loss!r}"
        )
    if output.symmetry == "equivariant" and symmetry != "invariant":
        raise ValueError(f"{name!r} turns with the structure and needs an invariant representation, got {symmetry!r}")


def check_values(name: str, output: Output, values: Tensor, structure: Structure) -> None:
    """Refuse what an output returns in another shape than it declares.

    Args:
        name: its name.
        output: the output.
        values: what it returned.
        structure: for what.

    Raises:
        TypeError: another shape or dtype.
    """
    count = len(structure.z) if output.level == "atom" else structure.num_graphs
    if not isinstance(values, Tensor) or values.shape != (count, *output.shape):
        found = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
        raise TypeError(
            f"{type(output).__name__}.forward must return for {name!r} a value for each {output.level}, a tensor of "
            f"the shape {(count, *output.shape)}, got {found}"
        )
    if values.dtype != torch.float64:
        raise TypeError(f"{type(output).__name__}.forward must return float64 for {name!r}, got {values.dtype}")


def _spread(left: Tensor, target: Tensor) -> float:
    if not len(target):
        raise ValueError("'frames' must hold at least one reference value, got none but NaN.")
    spread = float(left.double().square().mean().sqrt())
    if not spread > 1e-12 * max(1.0, float(target.abs().max())):
        raise ValueError("'frames' must differ in their targets, got none that elements do not explain.")
    return spread


def _gates(output: AtomwiseOutput, representation: nn.Module, degree: int) -> GatedDensity:
    found = int(getattr(representation, "density_degree", 0))
    if found < degree:
        raise ValueError(
            f"'representation' must have a density of degree {degree} for {type(output).__name__} (attributes "
            f"'density_channels' and 'density_degree', method 'features'), got {type(representation).__name__} with "
            f"degree {found}: for MPNN take directions='contracted' and l_max of at least {degree}"
        )
    widths = int(representation.out_channels), output.hidden_channels  # type: ignore[arg-type]
    return GatedDensity(*widths, int(representation.density_channels), degree)  # type: ignore[arg-type]


def _check_molecules(structure: Structure, kind: str) -> None:
    if structure.pbc is not None and bool(structure.pbc.any()):
        raise ValueError(f"'pbc' must be False for {kind}, got a periodic structure, which has none")


def _extent(structure: Structure) -> Tensor:
    pos, batch = structure.pos.double(), structure.batch
    ones = torch.ones_like(structure.z, dtype=torch.float64)
    extent: Tensor = SpatialExtentReadout()(ones, structure.z, pos, batch, structure.num_graphs)
    return extent
