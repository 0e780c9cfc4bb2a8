"""Error bars of a model: the outputs that carry them, and their names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

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
    growth: int = 0  # power of the number of atoms by which a variance grows, if errors of atoms are independent


SPREADS: Mapping[str, _Quantity] = {
    "energy_std": _Quantity("structure", "eV", 1),
    "atom_energies_std": _Quantity("atom", "eV"),
    "forces_std": _Quantity("atom", "eV/A"),
    "stress_std": _Quantity("structure", "eV/A^3", -1),
}
"""Names of the error bars: of energies, and of one component of a force or stress."""


class Calibration(NamedTuple):
    """How error bars of one kind follow from a spread (:meth:`~pyg_mpnn.models.UncertainPotential.stated`).

    Args:
        factor: a, what they are multiplied by.
        usual: s0, the usual spread; of energies and stress that of one atom.
        prior_degrees: d0, how many degrees of freedom this weighs; 0 where bars are the spread alone.

    Units:
        ``usual`` as the error bar; the rest none.
    """

    factor: float = 1.0
    usual: float = 0.0
    prior_degrees: float = 0.0


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
        self.level, self.unit, _ = SPREADS[f"{of}_std"]
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
    priors: Tensor

    def __init__(self, *potentials: EnergyModel) -> None:
        super().__init__(*potentials)
        self.register_buffer("factors", torch.ones(len(SPREADS), dtype=torch.float64))
        self.register_buffer("priors", torch.zeros(len(SPREADS), 2, dtype=torch.float64))

    @property
    def degrees_of_freedom(self) -> Mapping[str, float]:
        """Of the sample variance that each error bar is, by its name; none of those that are no sample."""
        return {}

    @property
    def calibration(self) -> dict[str, Calibration]:
        """How each error bar follows from the spread, by its name."""
        rows = zip(SPREADS, self.factors.tolist(), self.priors.tolist(), strict=True)
        return {name: Calibration(factor, *prior) for name, factor, prior in rows}

    def set_calibration(self, calibration: Mapping[str, Calibration]) -> None:
        """Fix how error bars follow from spreads.

        Args:
            calibration: by the name of the error bar; those that are not named are the spread itself.

        Raises:
            ValueError: another name, a factor that is not positive, a usual spread or degrees of freedom below zero, or
                degrees of freedom for what is no sample variance, or too few with those of the sample: up to two
                Student's distribution has no variance.
        """
        for name, of in calibration.items():
            usable = 0 < of.factor < float("inf") and all(0 <= value < float("inf") for value in of[1:])
            total = of.prior_degrees + self.degrees_of_freedom.get(name, float("-inf"))
            if name not in SPREADS or not usable or (of.prior_degrees and total <= 2):
                raise ValueError(
                    f"'calibration' must be a positive factor for any of {', '.join(SPREADS)}, with a usual spread "
                    f"and its degrees of freedom, above 2 with those of the members, for a committee alone, got {of} "
                    f"for {name}"
                )
        rows = [calibration.get(name, Calibration()) for name in SPREADS]
        self.factors.copy_(torch.tensor([of.factor for of in rows], dtype=torch.float64))
        self.priors.copy_(torch.tensor([of[1:] for of in rows], dtype=torch.float64))

    def stated(self, name: str, spread: Tensor, growth: Tensor | float = 1.0) -> Tensor:
        r"""Error bars from spreads: the moderated variance, so that no bar is much too small by chance.

        .. math:: \sigma^2 = a^2 \, \frac{d_0 s_0^2 g + d s^2}{d_0 + d}

        with the d degrees of freedom of the sample variance :math:`s^2`, and :math:`\sigma = a s` where
        :math:`d_0 = 0`. If variances differ as scaled inverse chi-square, :math:`\sigma / a` is the scale of errors
        that have Student's distribution with :math:`d_0 + d` degrees of freedom; the factor makes it their standard
        deviation.

        Args:
            name: of the error bar.
            spread: s, of any shape.
            growth: g, 1 of atoms: what ``variance_growth`` gives.

        Returns:
            the error bars.

        Units:
            as the spread.

        Source:
            Smyth, Stat. Appl. Genet. Mol. Biol. 3, 3 (2004), doi:10.2202/1544-6115.1027.
        """
        factor, usual, prior = self.calibration[name]
        if not prior:
            return factor * spread
        own = self.degrees_of_freedom[name]
        return factor * ((prior * usual**2 * growth + own * spread.square()) / (prior + own)).sqrt()

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: Any) -> None:
        state_dict.setdefault(f"{prefix}priors", torch.zeros_like(self.priors))  # not in files of before
        super()._load_from_state_dict(state_dict, prefix, *args)

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


def variance_growth(name: str, batch: Tensor, num_graphs: int) -> Tensor | float:
    """How variances grow with the number of atoms N: as N of energies, as 1/N of stress, not at all of atoms.

    Args:
        name: of the error bar.
        batch: structure of each atom.
        num_graphs: number of structures.

    Returns:
        one number for each structure, float64; 1 for error bars of atoms.
    """
    power = SPREADS[name].growth
    return torch.bincount(batch, minlength=num_graphs).double() ** power if power else 1.0
