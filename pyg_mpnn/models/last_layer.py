"""Error bars of one trained potential, from what its last layer does not know."""

from __future__ import annotations

import torch
from torch import Tensor

from pyg_mpnn.arguments import check_whole
from pyg_mpnn.models.chunks import Memory
from pyg_mpnn.models.energy_model import PotentialOutput
from pyg_mpnn.models.potential import Potential
from pyg_mpnn.models.spread import SPREADS, UncertainPotential, of_component
from pyg_mpnn.models.structure import Structure
from pyg_mpnn.models.variables import make_variables
from pyg_mpnn.readout import has_stress
from pyg_mpnn.scatter import scatter_sum


class LastLayer(UncertainPotential):
    r"""A trained potential with error bars from its last layer, without a second training.

    The energy is linear in the inputs :math:`\phi` of the last layer. With a Gaussian prior their weights have a
    posterior whose precision P is that of a linear regression on the training structures,

    .. math::
        P = \sum_s \frac{\phi_s \phi_s^T}{\tau_E^2} + \sum_{s i \alpha} \frac{g_{si\alpha} g_{si\alpha}^T}{\tau_F^2}
            + \lambda 1, \quad \phi_s = \sum_{i \in s} \phi_i, \quad
        g_{si\alpha} = \frac{\partial \phi_s}{\partial r_{i\alpha}}, \qquad
        \sigma_E^2 = a_E^2 \, \phi^T P^{-1} \phi

    with the errors :math:`\tau` of energies and forces there (:func:`pyg_mpnn.training.fit_last_layer`). Error bars of
    energies of structures and atoms are exact; those of forces and stress are the root mean square of ``num_draws``
    derivatives, each with weights drawn from the posterior (always the same), and take one backward pass a draw.
    Energies, forces and stress are those of the potential. The numbers a are 1 until
    :func:`pyg_mpnn.training.calibrate` has compared error bars with errors; they are kept in the file.

    Args:
        potential: the trained potential, whose head is an MLP.
        num_draws: number of weights drawn for forces and stress.

    Shapes:
        as of :class:`~pyg_mpnn.Potential`; by name also ``energy_std`` and ``stress_std`` ``(graphs,)``, ``forces_std``
        and ``atom_energies_std`` ``(nodes,)``.

    Units:
        eV, angstrom, eV/angstrom, eV/angstrom^3 with the sign of ASE.

    Raises:
        TypeError: no :class:`~pyg_mpnn.Potential`.
        ValueError: a head of the user's; when called: error bars before a fit.

    Source:
        last-layer prediction rigidity: Bigi, Chong, Ceriotti and Grasselli, Mach. Learn.: Sci. Technol. 5, 045018
        (2024), arXiv:2403.02251; with gradients among the observations as in a linear regression.

    Example:
        >>> model = LastLayer(Potential.from_size("small"))
        >>> model.set_precision(torch.eye(model.width, dtype=torch.float64))
        >>> output = model(torch.tensor([1, 1]), torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 0.8]]))
        >>> output.forces_std.shape, bool(output.energy_std > 0)
        (torch.Size([2]), True)
    """

    root: Tensor
    draws: Tensor

    def __init__(self, potential: Potential, num_draws: int = 8) -> None:
        super().__init__(potential)
        check_whole(num_draws=num_draws)
        if not isinstance(potential, Potential):
            raise TypeError(
                f"'potential' must be a Potential, got {type(potential).__name__}: a Committee has a spread"
            )
        with torch.no_grad():
            assert potential.atomwise is not None
            like = potential.atomwise.reference.new_zeros(1, potential.atomwise.in_channels, dtype=potential.dtype)
            self.width: int = potential.atomwise.last_layer([like] * len(potential.atomwise.heads)).shape[1]
        self.num_draws = num_draws
        self.register_buffer("root", torch.zeros(self.width, self.width, dtype=torch.float64))
        self.register_buffer("draws", torch.zeros(self.width, num_draws, dtype=torch.float64))

    @property
    def potential(self) -> Potential:
        """The potential that has the error bars."""
        return self.parts[0]  # type: ignore[return-value]

    def set_precision(self, precision: Tensor) -> None:
        """Fix the posterior of the last layer.

        Args:
            precision: P, in 1/eV^2 of the inputs of the last layer, symmetric and positive, ``(width, width)``.

        Raises:
            ValueError: another shape, or a matrix that is not positive.
        """
        if precision.shape != (self.width, self.width):
            raise ValueError(f"'precision' must have the shape {(self.width,) * 2}, got {tuple(precision.shape)}")
        lower, failed = torch.linalg.cholesky_ex(precision.double())
        if bool(failed):
            raise ValueError("'precision' must be positive: add a prior, a small number on its diagonal")
        unit = torch.eye(self.width, dtype=torch.float64, device=lower.device)
        self.root.copy_(torch.linalg.solve_triangular(lower, unit, upper=False).T)
        noise = torch.randn(self.width, self.num_draws, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        self.draws.copy_(self.root @ noise.to(self.root))

    def _evaluate(
        self, structure: Structure, forces: bool, stress: bool, memory: Memory, create_graph: bool, outputs: bool
    ) -> PotentialOutput:
        if not outputs:
            return super()._evaluate(structure, forces, stress, memory, create_graph, outputs)
        if not bool(self.root.any()):
            raise ValueError("error bars need a fit of the last layer first: pyg_mpnn.training.fit_last_layer")
        pos, strain = structure.pos, None
        if forces or stress:
            pos, strain = make_variables(structure, stress)
        energies, features = self.potential.last_layer(structure, pos, strain, memory)
        if forces or stress:  # compiled where the potential is
            result = super()._evaluate(structure, forces, stress, memory, create_graph, False)
        else:
            total, of_atoms = self._totals(structure, energies)
            result = PotentialOutput(total, None, None, of_atoms)
        found = self._others(structure, None, memory)
        of_structures = scatter_sum(features.double(), structure.batch, structure.num_graphs)
        root, draws = self.root.double(), self.draws.double()
        found["energy_std"] = torch.linalg.vector_norm(of_structures @ root, dim=1)
        found["atom_energies_std"] = torch.linalg.vector_norm(features.double() @ root, dim=1)
        if forces or stress:
            self._derivatives(found, structure, of_structures @ draws, pos, strain, create_graph)
        found = {name: self.stated(name, value) if name in SPREADS else value for name, value in found.items()}
        if not forces:
            found.pop("forces_std", None)
        return PotentialOutput(result.energy, result.forces, result.stress, result.atom_energies, found)

    def _derivatives(
        self,
        found: dict[str, Tensor],
        structure: Structure,
        energies: Tensor,
        pos: Tensor,
        strain: Tensor | None,
        create_graph: bool,
    ) -> None:
        """Error bars of forces and stress, from the energies of each draw, ``(graphs, draws)``."""
        inputs = [pos] if strain is None else [pos, strain]
        forces, virials = torch.zeros_like(pos), None if strain is None else torch.zeros_like(strain)
        for draw in range(energies.shape[1]):
            own = energies[:, draw].sum()
            gradient = (
                torch.autograd.grad(
                    own, inputs, retain_graph=True, create_graph=create_graph, allow_unused=True, materialize_grads=True
                )
                if own.requires_grad
                else [torch.zeros_like(given) for given in inputs]
            )
            forces = forces + gradient[0].square()
            virials = None if virials is None else virials + gradient[1].square()
        found["forces_std"] = of_component((forces / energies.shape[1]).sqrt())
        if virials is not None:
            assert structure.cell is not None
            assert structure.pbc is not None
            volume = torch.linalg.det(structure.cell).abs()
            deviation = of_component((virials / energies.shape[1]).sqrt()) / volume
            found["stress_std"] = deviation.where(has_stress(structure.cell, structure.pbc), torch.nan)
