"""Error bars of a model: the outputs that carry them, and their names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from pyg_mpnn.models.energy_model import EnergyModel
from pyg_mpnn.models.features import Features
from pyg_mpnn.models.outputs import Level, Output
from pyg_mpnn.models.structure import Structure
from pyg_mpnn.models.sum_potential import SumPotential


class _Quantity(NamedTuple):
    level: Level
    unit: str


SPREADS: Mapping[str, _Quantity] = {
    "energy_std": _Quantity("structure", "eV"),
    "atom_energies_std": _Quantity("atom", "eV"),
    "forces_std": _Quantity("atom", "eV/A"),
    "stress_std": _Quantity("structure", "eV/A^3"),
}
"""Names of the error bars: of energies, and of one component of a force or stress."""


class Spread(Output):
    r"""Standard deviation that a model states of a quantity of its own; it is read, not trained.

    .. math:: \sigma_E, \qquad \sigma_{F_i} = \Big( \tfrac{1}{3} \sum_\alpha \sigma_{F_{i\alpha}}^2 \Big)^{1/2}

    Of vectors and tensors it is that of one component, the root mean square over all: a number that does not turn.

    Args:
        of: ``"energy"``, ``"atom_energies"``, ``"forces"`` or ``"stress"``.

    Shapes:
        ``(graphs,)`` or, of atoms, ``(nodes,)``, float64.

    Units:
        eV, eV/A or eV/A^3.

    Raises:
        ValueError: another quantity.

    Source:
        textbook.

    Example:
        >>> Spread("forces").unit
        'eV/A'
    """

    extensive = None

    def __init__(self, of: str) -> None:
        super().__init__()
        if f"{of}_std" not in SPREADS:
            known = ", ".join(name.removesuffix("_std") for name in SPREADS)
            raise ValueError(f"'of' must be one of {known}, got {of!r}")
        self.of = of
        self.level, self.unit = SPREADS[f"{of}_std"]
        self.molecules = of != "stress"

    def forward(self, features: Features, structure: Structure) -> Tensor:
        """Not called: the model that has this output computes it."""
        raise TypeError("error bars come from the model that states them, not from features")


class UncertainPotential(SumPotential):
    """Interface: a potential with error bars, which are among its outputs under the names of ``SPREADS``.

    Args:
        *potentials: what it is made of.

    Shapes:
        as of :class:`~pyg_mpnn.Potential`; by name also ``energy_std`` and ``stress_std`` ``(graphs,)``, ``forces_std``
        and ``atom_energies_std`` ``(nodes,)``.

    Units:
        eV, angstrom, eV/angstrom, eV/angstrom^3 with the sign of ASE.
    """

    factors: Tensor

    def __init__(self, *potentials: EnergyModel) -> None:
        super().__init__(*potentials)
        self.register_buffer("factors", torch.ones(len(SPREADS), dtype=torch.float64))

    @property
    def calibration(self) -> dict[str, float]:
        """What each error bar is multiplied by, by its name; 1 where it was not calibrated."""
        return dict(zip(SPREADS, self.factors.tolist(), strict=True))

    def set_calibration(self, factors: Mapping[str, float]) -> None:
        """Fix what error bars are multiplied by.

        Args:
            factors: positive numbers by the name of the error bar; 1 for those that are not named.

        Raises:
            ValueError: another name, or a factor that is not positive.
        """
        if set(factors) - set(SPREADS) or not all(0 < factor < float("inf") for factor in factors.values()):
            raise ValueError(f"'factors' must be positive numbers for {', '.join(SPREADS)}, got {dict(factors)}")
        self.factors.copy_(torch.tensor([factors.get(name, 1.0) for name in SPREADS], dtype=torch.float64))

    def all_outputs(self) -> dict[str, Output]:
        """Other outputs than energies, and the error bars, by name."""
        return {**super().all_outputs(), **{name: Spread(name.removesuffix("_std")) for name in SPREADS}}


def of_component(deviations: Tensor) -> Tensor:
    """Root mean square over the components of each row.

    Args:
        deviations: standard deviations, one row for each atom or structure.

    Returns:
        one number a row, float64.
    """
    return deviations.double().flatten(1).square().mean(dim=1).sqrt()
