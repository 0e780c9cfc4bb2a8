"""What errors are good enough for: rules of thumb, with where they are from."""

from __future__ import annotations

from typing import NamedTuple

from pyg_mpnn.training.metrics import Errors, Predictions

OPTIMISATION = 50.0  # meV/A, MAE
DYNAMICS = (100.0, 2.0)  # meV/A and meV/atom, RMSE
PHONONS = (10.0, 0.1)  # meV/A and relative, MAE
SOURCE_OF_DYNAMICS = "errors typical of potentials in use, Hellstroem and Behler 2020"
FEWEST = 5  # structures with forces that a good verdict needs
ZERO = 1e-3  # eV/A, mean absolute force of structures whose forces vanish, as by symmetry
CAUTION = (
    "These are rules of thumb. Small errors are necessary and not sufficient: a dynamics may leave the structures that "
    "were tested. Run what you need (md, relax, vib) and compare with the reference method."
)


class Verdict(NamedTuple):
    """Whether a potential is good enough for something, by a rule.

    Args:
        purpose: what for.
        passed: whether the errors are below those of the rule; None where they are unknown.
        reason: the errors beside the rule.
        source: of the rule.
    """

    purpose: str
    passed: bool | None
    reason: str
    source: str

    def __str__(self) -> str:
        words = {True: "good enough", False: "NOT good enough", None: "cannot tell whether it is good enough"}
        return f"{words[self.passed]} for {self.purpose}: {self.reason}"


def relative_force_error(predictions: Predictions) -> float | None:
    """Mean absolute error of force components over their mean absolute value.

    Args:
        predictions: of any structures.

    Returns:
        the ratio, 1 for a model that says zero; None where forces are unknown, or zero (below 1 meV/A on average).
    """
    if predictions.forces is None or predictions.forces_ref is None:
        return None
    known = ~predictions.forces_ref.isnan()
    size = predictions.forces_ref[known].abs().mean()
    if not bool(known.any()) or float(size) < ZERO:
        return None
    return float((predictions.forces - predictions.forces_ref)[known].abs().mean() / size)


def judge(errors: Errors, relative: float | None) -> list[Verdict]:
    """Hold errors against rules of thumb for optimisation, dynamics at 300 K, and phonons.

    - Optimisation: MAE of the forces at most 50 meV/A, where optimizers stop.
    - Dynamics at 300 K: RMSE of the forces at most 100 meV/A and of the energies at most 2 meV/atom.
    - Phonons: MAE of the forces at most 10 meV/A and 10 % of their mean absolute value. A force constant is a
      difference of forces over a displacement, and a frequency goes as its square root: 10 % of the forces are 5 % of
      the frequencies.

    Fewer than five structures with forces can show that errors are too large, not that they are small.

    Args:
        errors: of structures that were not trained on.
        relative: what :func:`relative_force_error` gives for them; None where the forces are zero, whose errors
            are worth no verdict.

    Returns:
        one verdict for each purpose.

    Source:
        optimisation: the default ``fmax`` of ASE's optimizers, 0.05 eV/A (A. H. Larsen et al., J. Phys.: Condens.
        Matter 29, 273002 (2017)). Dynamics: the errors that M. Hellstroem and J. Behler call typical of neural network
        potentials in use, in Machine Learning Meets Quantum Physics, Springer (2020), pp. 253-275. Phonons: own
        estimate, for forces of about 0.1 eV/A at displacements of 0.01 A, phonopy's default (A. Togo and I. Tanaka,
        Scr. Mater. 108, 1 (2015)). That none of them suffices: X. Fu et al., Trans. Mach. Learn. Res. (2023),
        arXiv:2210.07237; J. D. Morrow et al., J. Chem. Phys. 158, 121501 (2023), arXiv:2211.12484.
    """
    mae, rmse = errors.forces_mae_meV_per_A, errors.forces_rmse_meV_per_A
    if mae is None or rmse is None:
        return _unknown("the structures have no forces", errors)
    if relative is None:
        return _unknown(
            "the reference forces are zero, so their errors say nothing: test with atoms that are off their sites",
            errors,
        )
    energy = errors.energy_rmse_meV_per_atom
    force_limit, energy_limit = DYNAMICS
    dynamics = rmse <= force_limit and (energy is None or energy <= energy_limit)
    of_energy = (
        "energies unknown" if energy is None else f"energy RMSE {plain(energy, 2)} meV/atom (at most {energy_limit:g})"
    )
    share = f"{100 * relative:.1f} % of the mean force"
    count = errors.known.get("forces", errors.n_structures)
    few = f"; {count} {'structure is' if count == 1 else 'structures are'} too few to say so (at least {FEWEST})"
    found = [
        Verdict(
            "optimisation",
            mae <= OPTIMISATION,
            f"force MAE {plain(mae)} meV/A (at most {OPTIMISATION:g})",
            "the forces at which ASE's optimizers stop, 0.05 eV/A",
        ),
        Verdict(
            "dynamics at 300 K",
            dynamics,
            f"force RMSE {plain(rmse)} meV/A (at most {force_limit:g}), {of_energy}",
            SOURCE_OF_DYNAMICS,
        ),
        Verdict(
            "phonons",
            mae <= PHONONS[0] and relative <= PHONONS[1],
            f"force MAE {plain(mae)} meV/A (at most {PHONONS[0]:g}), {share} (at most {100 * PHONONS[1]:g} %)",
            "own estimate for displacements of 0.01 A, phonopy's default",
        ),
    ]
    if count >= FEWEST:
        return found
    return [one._replace(passed=None, reason=one.reason + few) if one.passed else one for one in found]


def plain(value: float, digits: int = 3) -> str:
    """A number for people, never as 2e+03 or 5e-06.

    Args:
        value: the number.
        digits: so many that count, of a number below a thousand.

    Returns:
        its words.

    Example:
        >>> plain(2183.4), plain(999.7), plain(0.01234), plain(5e-06)
        ('2183', '1000', '0.0123', '0.00')
    """
    if abs(value) < 1e-4:
        return "0.00"
    short = f"{value:.{digits}g}"
    return f"{value:.0f}" if "e" in short else short


def _unknown(reason: str, errors: Errors) -> list[Verdict]:
    """What the forces cannot tell; energies that are too wrong for dynamics are so without them."""
    found = [Verdict(purpose, None, reason, "") for purpose in ("optimisation", "dynamics at 300 K", "phonons")]
    energy, limit = errors.energy_rmse_meV_per_atom, DYNAMICS[1]
    if energy is not None and energy > limit:
        too_wrong = f"energy RMSE {plain(energy, 2)} meV/atom (at most {limit:g}), whatever the forces are"
        found[1] = Verdict("dynamics at 300 K", False, too_wrong, SOURCE_OF_DYNAMICS)
    return found
