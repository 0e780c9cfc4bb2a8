"""Several models of the same thing: their mean, and how far they are apart."""

from __future__ import annotations

import torch
from torch import Tensor

from pyg_mpnn.deploy import CompileMode
from pyg_mpnn.models.chunks import Memory
from pyg_mpnn.models.energy_model import EnergyModel, PotentialOutput
from pyg_mpnn.models.features import Features
from pyg_mpnn.models.spread import UncertainPotential, of_component, variance_growth
from pyg_mpnn.models.structure import Structure


class Committee(UncertainPotential):
    r"""Mean of potentials that were trained alike, with the spread of the members as error bars.

    .. math::
        E = \frac{1}{M} \sum_m E^{(m)}, \quad F = \frac{1}{M} \sum_m F^{(m)}, \qquad
        s_E^2 = \frac{1}{M - 1} \sum_m \big(E^{(m)} - E\big)^2

    and alike for energies of atoms, forces and stress, of which one number is given for an atom or a structure, the
    root mean square over components. Error bars are these spreads until :func:`pyg_mpnn.training.calibrate` has
    compared them with errors; then they are moderated and scaled, as :class:`~pyg_mpnn.models.UncertainPotential` says
    of ``stated``, by numbers that are kept in the file. Where no error bars are asked for (``outputs=False``) the mean
    is evaluated, and compiled, as one function; with them each member is, one after the other.

    Args:
        *potentials: the members, at least two: potentials with energies, for instance of one training each.

    Shapes:
        as of :class:`~pyg_mpnn.Potential`; by name also ``energy_std`` and ``stress_std`` ``(graphs,)``, ``forces_std``
        and ``atom_energies_std`` ``(nodes,)``.

    Units:
        eV, angstrom, eV/angstrom, eV/angstrom^3 with the sign of ASE.

    Raises:
        TypeError: a member that is no potential of this package.
        ValueError: fewer than two members; when called: what a member refuses.

    Source:
        ensembles: Lakshminarayanan, Pritzel and Blundell, NeurIPS 2017, arXiv:1612.01474; calibrated committees of
        potentials: Imbalzano et al., J. Chem. Phys. 154, 074102 (2021), doi:10.1063/5.0036522.

    Example:
        >>> from pyg_mpnn import Potential
        >>> committee = Committee(Potential.from_size("small"), Potential.from_size("small"))
        >>> output = committee(torch.tensor([1, 1]), torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 0.8]]))
        >>> output.forces_std.shape, bool(output.energy_std > 0)
        (torch.Size([2]), True)
    """

    def __init__(self, *potentials: EnergyModel) -> None:
        super().__init__(*potentials)
        if len(potentials) < 2:
            raise ValueError("'potentials' must hold at least two members to have a spread, got 1")

    @property
    def degrees_of_freedom(self) -> dict[str, float]:
        """M - 1 for each component: one of energies, three of forces, six of stress."""
        components = {"energy_std": 1, "atom_energies_std": 1, "forces_std": 3, "stress_std": 6}
        return {name: float(count * (len(self.potentials) - 1)) for name, count in components.items()}

    @property
    def isolated_energies(self) -> dict[int, float] | None:
        """Mean of what the members state, in eV; ``None`` where one states none."""
        total = super().isolated_energies
        return None if total is None else {z: energy / len(self.potentials) for z, energy in total.items()}

    def reference_energies(self, z: Tensor, batch: Tensor, num_graphs: int) -> tuple[Tensor, Tensor]:
        """Means of the reference energies of the members; arguments as of :class:`EnergyModel`."""
        graphs, atoms = super().reference_energies(z, batch, num_graphs)
        return graphs / len(self.potentials), atoms / len(self.potentials)

    def interaction_energies(self, *args: object, **options: object) -> Tensor:
        """Mean over the members; arguments as of :class:`EnergyModel`."""
        return super().interaction_energies(*args, **options) / len(self.potentials)  # type: ignore[arg-type]

    def compile(self, mode: CompileMode = "auto") -> Committee:  # type: ignore[override]
        """Switch compiled energies, forces and stress on or off, of the mean and of each member.

        Args:
            mode: as of :meth:`EnergyModel.compile`.

        Returns:
            this committee.
        """
        super().compile(mode)
        for member in self.potentials:
            member.compile(mode)
        return self

    def _interaction(
        self, structure: Structure, pos: Tensor, strain: Tensor | None, memory: Memory = "normal"
    ) -> tuple[Tensor, Features | None]:
        energies, features = super()._interaction(structure, pos, strain, memory)
        return (energies if self.why_eager is None else energies / len(self.potentials)), features

    def _evaluate(
        self, structure: Structure, forces: bool, stress: bool, memory: Memory, create_graph: bool, outputs: bool
    ) -> PotentialOutput:
        if not outputs:
            return super()._evaluate(structure, forces, stress, memory, create_graph, outputs)
        found = [
            member._evaluate(structure.within(member.cutoff), forces, stress, memory, create_graph, outputs)
            for member in self.potentials
        ]
        means: dict[str, Tensor | None] = dict.fromkeys(("energy", "forces", "stress", "atom_energies"))
        others: dict[str, Tensor] = {}
        for name in means:
            values = [getattr(output, name) for output in found]
            if values[0] is None:
                continue
            stacked = torch.stack(values).to(values[0].dtype if name.endswith(("energy", "energies")) else self.dtype)
            means[name] = stacked.mean(dim=0)
            spread, bar = stacked.double().std(dim=0), f"{name}_std"
            growth = variance_growth(bar, structure.batch, structure.num_graphs)
            others[bar] = self.stated(bar, of_component(spread) if spread.ndim > 1 else spread, growth)
        for name in found[0].others:
            others[name] = torch.stack([output.others[name] for output in found]).mean(dim=0)
        return PotentialOutput(**means, others=others)
