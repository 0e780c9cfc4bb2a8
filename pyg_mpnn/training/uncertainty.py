"""Error bars: fitted to training structures, scaled with others, and compared with the errors that there are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.ticker import LogLocator, NullFormatter
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import digamma, ndtri, polygamma, stdtrit
from torch import Tensor
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader

from pyg_mpnn.data.dataset import PreparedStructures, as_prepared
from pyg_mpnn.files import write_picture
from pyg_mpnn.models import SPREADS, Calibration, LastLayer, Potential, UncertainPotential
from pyg_mpnn.models.energy_model import PotentialOutput
from pyg_mpnn.models.spread import variance_growth
from pyg_mpnn.models.structure import read_structure
from pyg_mpnn.models.variables import gradients, make_variables
from pyg_mpnn.readout import has_stress
from pyg_mpnn.scatter import scatter_sum
from pyg_mpnn.training.evaluate import batching, label_shapes, predict
from pyg_mpnn.training.metrics import compute_errors
from pyg_mpnn.training.plots import BLUE, GREY, ORANGE, new_figure

QUANTITIES = {"energy": "eV", "forces": "eV/A", "stress": "eV/A^3"}
LEVELS = (0.5, 0.8, 0.95)
"""Probabilities of central intervals."""
_FEWEST = 10  # errors, below which a factor says nothing
_LEAST_TOTAL = 5.0  # degrees of freedom, below which squared errors have no variance
_ZERO = 1e-3  # of the root mean square, below which a spread is zero by symmetry
_MOST_PRIOR = 3.0  # times the degrees of freedom of the sample: what is far from all that is known must still show


@dataclass(frozen=True)
class Deviations:
    """Errors of one quantity, and the error bar of each.

    Args:
        errors: predicted minus reference: one a structure for the energy, one a component for forces and stress.
        stds: error bars.
        degrees: degrees of freedom of Student's distribution, which the error bars are standard deviations of; a normal
            one without it.

    Units:
        eV, eV/A or eV/A^3.
    """

    errors: NDArray[np.float64]
    stds: NDArray[np.float64]
    degrees: float = float("inf")

    def inside(self, level: float) -> float:
        """Fraction of the errors in the central interval of a probability.

        Args:
            level: the probability.

        Returns:
            the fraction, of 0 to 1.
        """
        return float((np.abs(self.errors) <= half_width(level, self.degrees) * self.stds).mean())


def half_width(level: NDArray[np.float64] | float, degrees: float = float("inf")) -> Any:
    """Half of the central interval of a probability, in standard deviations.

    Args:
        level: The probability, or several.
        degrees: Degrees of freedom of Student's distribution, above 2; a normal one without it.

    Returns:
        One number, or as many as there are probabilities.

    Example:
        >>> f"{half_width(0.95):.3f} {half_width(0.95, 5.0):.3f} {half_width(0.5, 5.0):.3f}"
        '1.960 1.991 0.563'
    """
    upper = (1 + level) / 2
    return ndtri(upper) if degrees == float("inf") else stdtrit(degrees, upper) * np.sqrt(1 - 2 / degrees)


@dataclass(frozen=True)
class Reliability:
    """How well error bars of one quantity say what the errors are.

    Args:
        count: number of errors.
        factor: what the error bars of the model were multiplied by.
        rmse: root mean square error.
        rms_std: root mean square of the error bars; as large as ``rmse`` where they are right on average.
        coverage: fraction of errors inside the central interval, by its nominal probability.
        rank_correlation: Spearman's, of error bars and sizes of errors; 0 for bars that say nothing, and about 0.5 for
            perfect ones that vary as much as those of potentials do, since errors scatter.

    Units:
        eV, eV/A or eV/A^3; the rest none.
    """

    count: int
    factor: float
    rmse: float
    rms_std: float
    coverage: dict[str, float]
    rank_correlation: float


def fit_last_layer(
    potential: Potential,
    frames: Sequence[Data] | PreparedStructures,
    *,
    num_draws: int = 8,
    num_forces: int = 64,
    batch_size: int = 16,
) -> LastLayer:
    """Give a trained potential the error bars of its last layer.

    Args:
        potential: The potential.
        frames: Structures that it was trained on; what one has no reference of is no observation.
        num_draws: As of :class:`~pyg_mpnn.models.LastLayer`.
        num_forces: Number of structures, evenly over ``frames``, whose forces count as observations, with the weight of
            all; one backward pass for each input of the last layer.
        batch_size: Structures per batch; it changes speed and memory, not the result.

    Returns:
        The potential with error bars that are not calibrated yet.

    Units:
        A, eV, eV/A.

    Raises:
        ValueError: No structure, none with energies or none with forces, or a head of the user's.

    Source:
        see :class:`~pyg_mpnn.models.LastLayer`.
    """
    model = LastLayer(potential, num_draws)
    shapes = label_shapes(potential)
    dataset = as_prepared(frames, potential.cutoff, potential.dtype, shapes)
    errors = compute_errors(predict(potential, dataset, batch_size=batch_size))
    if errors.energy_rmse_meV is None or errors.forces_rmse_meV_per_A is None:
        raise ValueError("'frames' must have energies and forces to fit a last layer, got some without")
    noise = {"energy": 1e-3 * errors.energy_rmse_meV, "forces": 1e-3 * errors.forces_rmse_meV_per_A}
    precision = torch.zeros(model.width, model.width, dtype=torch.float64, device=potential.device)
    known = {name: [k for k, frame in enumerate(dataset.structures) if _is_known(frame, name)] for name in noise}
    for batch in _batches(dataset, known["energy"], batch_size, potential.device):
        of_structures, _ = _last_layer(potential, batch, derivatives=False)
        precision += of_structures.T @ of_structures / noise["energy"] ** 2
    places = np.linspace(0, len(known["forces"]) - 1, min(num_forces, len(known["forces"]))).round().astype(int)
    chosen = [known["forces"][place] for place in np.unique(places)]
    for batch in _batches(dataset, chosen, batch_size, potential.device):
        _, of_components = _last_layer(potential, batch, derivatives=True)
        precision += len(known["forces"]) / len(chosen) * of_components.T @ of_components / noise["forces"] ** 2
    prior = 1e-10 * precision.diagonal().mean()
    model.set_precision(precision + prior * torch.eye(len(precision), dtype=torch.float64, device=precision.device))
    model.compositions, model.record = potential.compositions, dict(potential.record)
    return model.eval()


def _is_known(frame: Data, name: str) -> bool:
    return name in frame and not bool(frame[name].isnan().any())


def _batches(
    dataset: PreparedStructures, places: Sequence[int], batch_size: int, device: torch.device
) -> Iterator[Batch]:
    for batch in DataLoader(dataset, batch_sampler=batching(dataset, batch_size, places=places)):
        yield batch.to(device)


def _last_layer(potential: Potential, batch: Batch, *, derivatives: bool) -> tuple[Tensor, Tensor]:
    """Inputs of the last layer summed over each structure, and their derivatives with respect to all coordinates."""
    with gradients(enabled=derivatives):
        structure = read_structure(batch, *([None] * 6))
        structure = potential.with_inputs(structure, batch).with_edges(potential.cutoff)
        pos = make_variables(structure, stress=False)[0] if derivatives else structure.pos
        _, features = potential.last_layer(structure, pos, None)
        of_structures = scatter_sum(features, structure.batch, structure.num_graphs)
        rows = []
        for column in range(features.shape[1]) if derivatives else ():
            (gradient,) = torch.autograd.grad(of_structures[:, column].sum(), pos, retain_graph=True)
            rows.append(gradient.flatten())
    return of_structures.detach().double(), torch.stack(rows, dim=1).double() if rows else torch.empty(0)


def deviations(
    model: UncertainPotential, frames: Sequence[Data] | PreparedStructures, *, batch_size: int = 32
) -> dict[str, Deviations]:
    """Errors of a model on structures with references, and its error bars, as it states them.

    Args:
        model: The model.
        frames: Structures with energies, forces or stresses.
        batch_size: Structures per batch.

    Returns:
        Errors and error bars of energy, forces and stress, as far as there are references.

    Units:
        eV, eV/A, eV/A^3.

    Raises:
        ValueError: There is no structure.
    """
    if not len(frames):
        raise ValueError("'frames' must hold at least one structure, got none.")
    dataset = as_prepared(frames, model.cutoff, model.dtype, label_shapes(model))
    found: dict[str, list[tuple[Tensor, Tensor]]] = {name: [] for name in QUANTITIES}
    for batch, output in _outputs(model, dataset, batch_size):
        for name in QUANTITIES:
            if name not in batch or getattr(output, name) is None:
                continue
            reference = batch[name].double().flatten(1) if batch[name].ndim > 1 else batch[name].double()[:, None]
            error = getattr(output, name).double().reshape(reference.shape) - reference
            bars = output.others[f"{name}_std"][:, None].expand_as(error)
            known = ~(error.isnan() | bars.isnan())
            found[name].append((error[known], bars[known]))
    joined: dict[str, Deviations] = {}
    for name, parts in found.items():
        errors, stds = (torch.cat([part[k] for part in parts]).cpu().numpy() if parts else np.empty(0) for k in (0, 1))
        if len(errors):
            joined[name] = Deviations(errors, stds, _degrees(model, f"{name}_std"))
    return joined


def _outputs(
    model: UncertainPotential, dataset: PreparedStructures, batch_size: int
) -> Iterator[tuple[Batch, PotentialOutput]]:
    """What a model says of structures, and of which; forces and stress where there are references."""
    model.eval()
    with torch.no_grad():
        for batch in _batches(dataset, range(len(dataset)), batch_size, model.device):
            crystals = "stress" in batch and has_stress(batch.cell, batch.pbc)
            stress = "stress" in batch and bool(torch.as_tensor(crystals).any())
            yield batch, model(batch, forces="forces" in batch, stress=stress)


def _degrees(model: UncertainPotential, bar: str) -> float:
    """Degrees of freedom of a moderated error bar; infinitely many where it is not moderated."""
    prior = model.calibration[bar].prior_degrees
    return prior + model.degrees_of_freedom[bar] if prior else float("inf")


def fit_prior(spreads: NDArray[np.float64], degrees: float) -> tuple[float, float]:
    r"""What variances usually are, and how alike they are, from sample variances.

    True variances are taken as scaled inverse chi-square, :math:`\sigma^2 \sim d_0 s_0^2 / \chi^2_{d_0}`. The logarithm
    of a sample variance of d degrees of freedom then has

    .. math::
        \langle \ln s^2 \rangle = \ln s_0^2 + \psi(\tfrac{d}{2}) - \ln \tfrac{d}{2}
            - \psi(\tfrac{d_0}{2}) + \ln \tfrac{d_0}{2}, \qquad
        \mathrm{var} \ln s^2 = \psi'(\tfrac{d}{2}) + \psi'(\tfrac{d_0}{2})

    which are solved for both. :math:`d_0` is at least 1, and so large that it has five with d; it is at most 3 d,
    for an error bar must show where a structure is unlike all that is known.

    Args:
        spreads: s; those below a thousandth of their root mean square, zero by symmetry, are left out.
        degrees: d.

    Returns:
        s0, and d0.

    Units:
        as the spreads.

    Source:
        Smyth, Stat. Appl. Genet. Mol. Biol. 3, 3 (2004), doi:10.2202/1544-6115.1027; the bounds are our own.
    """
    positive = spreads[spreads > _ZERO * np.sqrt(np.mean(spreads**2))]
    logarithms = 2 * np.log(positive) - digamma(degrees / 2) + np.log(degrees / 2)
    excess = float(logarithms.var()) - float(polygamma(1, degrees / 2))
    least = max(1.0, _LEAST_TOTAL - degrees)
    most = max(least, _MOST_PRIOR * degrees)

    def missing(prior: float) -> float:
        return float(polygamma(1, prior / 2)) - excess

    prior = most if missing(most) >= 0 else least if missing(least) <= 0 else float(brentq(missing, least, most))
    return float(np.exp((logarithms.mean() + digamma(prior / 2) - np.log(prior / 2)) / 2)), prior


def calibrate(
    model: UncertainPotential, frames: Sequence[Data] | PreparedStructures, *, batch_size: int = 32
) -> dict[str, Deviations]:
    r"""Moderate the error bars of a committee, and make those of any model as large as its errors.

    The spread of few members scatters, and by chance is much too small for some atoms. It is moved towards what is
    usual (:meth:`~pyg_mpnn.models.UncertainPotential.stated`), as far as the spreads on these structures say
    (``fit_prior``; no label is needed for it). Then the factor is set for energies (and those of atoms), forces
    and stress,

    .. math:: a^2 = \sum_k e_k^2 \Big/ \sum_k \sigma_k^2

    so that the root mean square of error bars is that of the errors :math:`e`. All is kept in the file of the model.
    Where there are no references of forces or stress, the factor of energies is taken for them, and they are not
    moderated.

    Args:
        model: The model; its calibration is replaced.
        frames: Structures with references that it was not trained on.
        batch_size: Structures per batch.

    Returns:
        Errors and calibrated error bars.

    Units:
        eV, eV/A, eV/A^3.

    Raises:
        ValueError: Fewer than ten energies, or error bars of zero; the model keeps the calibration that it had.

    Source:
        textbook (matching of the second moment). The factor of largest likelihood, the mean of e^2/sigma^2 as in
        Imbalzano et al., J. Chem. Phys. 154, 074102 (2021), has no finite expectation for three members.
    """
    dataset, before = as_prepared(frames, model.cutoff, model.dtype, label_shapes(model)), model.calibration
    try:
        return _calibrate(model, dataset, batch_size)
    except BaseException:
        model.set_calibration(before)
        raise


def _calibrate(model: UncertainPotential, dataset: PreparedStructures, batch_size: int) -> dict[str, Deviations]:
    model.set_calibration({})
    calibration = _moderation(model, dataset, batch_size)
    model.set_calibration(calibration)
    found = deviations(model, dataset, batch_size=batch_size)
    factors = {}
    for name, given in found.items():
        if not bool((given.stds > 0).all()):
            raise _equal_members(name)
        if len(given.errors) >= _FEWEST:
            factors[name] = float(np.sqrt(np.square(given.errors).mean() / np.square(given.stds).mean()))
    if "energy" not in factors:
        raise ValueError(f"'frames' must hold at least {_FEWEST} structures with energies to calibrate, got fewer")
    for name in SPREADS:
        factor = factors.get(name.removesuffix("_std"), factors["energy"])
        calibration[name] = calibration.get(name, Calibration())._replace(factor=factor)
    model.set_calibration(calibration)
    return {
        name: Deviations(given.errors, given.stds * calibration[f"{name}_std"].factor, given.degrees)
        for name, given in found.items()
    }


def _moderation(model: UncertainPotential, dataset: PreparedStructures, batch_size: int) -> dict[str, Calibration]:
    """Usual spreads of a committee, with factors of 1; of what there are spreads of."""
    spreads: dict[str, list[Tensor]] = {name: [] for name in model.degrees_of_freedom}
    for batch, output in _outputs(model, dataset, batch_size) if spreads else ():
        for name in spreads.keys() & output.others.keys():
            of_one = output.others[name] / torch.as_tensor(variance_growth(name, batch.batch, batch.num_graphs)).sqrt()
            spreads[name].append(of_one[~of_one.isnan()])
    found = {}
    for name, parts in spreads.items():
        given = torch.cat(parts).cpu().numpy() if parts else np.empty(0)
        positive = given[given > 0]  # forces of perfect crystals are zero
        if len(given) and not len(positive):
            raise _equal_members(name.removesuffix("_std"))
        if len(positive) >= _FEWEST:
            found[name] = Calibration(1.0, *fit_prior(positive, model.degrees_of_freedom[name]))
    return found


def _equal_members(name: str) -> ValueError:
    return ValueError(f"error bars of the {name} must be positive to be calibrated, got zero: are members equal?")


def reliability(model: UncertainPotential, found: dict[str, Deviations]) -> dict[str, Reliability]:
    """Judge the error bars of a model.

    Args:
        model: The model.
        found: What :func:`deviations` gives.

    Returns:
        One judgement for each quantity.

    Units:
        as of :class:`Reliability`.
    """
    judged = {}
    for name, given in found.items():
        sizes = np.abs(given.errors)
        coverage = {f"{level:.0%}": given.inside(level) for level in LEVELS}
        judged[name] = Reliability(
            len(sizes),
            model.calibration[f"{name}_std"].factor,
            float(np.sqrt(np.mean(sizes**2))),
            float(np.sqrt(np.mean(given.stds**2))),
            coverage,
            _rank_correlation(sizes, given.stds),
        )
    return judged


def _rank_correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    ranks = [np.argsort(np.argsort(values, kind="stable"), kind="stable") for values in (first, second)]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1]) if len(first) > 1 else float("nan")


def reliability_table(judged: dict[str, Reliability]) -> str:
    """The judgements as text to read.

    Args:
        judged: What :func:`reliability` gives.

    Returns:
        Lines of equal columns.

    Units:
        as the rows say.
    """
    head = ["", "errors", "RMSE", "error bar", "factor", *(f"in {level:.0%}" for level in LEVELS), "rank corr."]
    rows = [head]
    for name, found in judged.items():
        unit = f"m{QUANTITIES[name]}"
        numbers = [f"{1e3 * found.rmse:.1f}", f"{1e3 * found.rms_std:.1f}", f"{found.factor:.3g}"]
        inside = [f"{value:.1%}" for value in found.coverage.values()]
        rows.append([f"{name} ({unit})", str(found.count), *numbers, *inside, f"{found.rank_correlation:.2f}"])
    widths = [max(len(row[k]) for row in rows) for k in range(len(head))]
    cells = [[row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))] for row in rows]
    return "\n".join("  ".join(row).rstrip() for row in cells)


def plot_reliability(found: dict[str, Deviations], path: Path, heading: str) -> None:
    """RMS errors against error bars in ten groups of equal size, of which the diagonal is right.

    Args:
        found: What :func:`deviations` gives.
        path: The picture to write.
        heading: What the structures are.

    Units:
        meV, meV/A, meV/A^3 on the axes.
    """
    figure, grid = new_figure(len(found))
    for axes, (name, given) in zip(grid, found.items(), strict=True):
        groups = np.array_split(np.argsort(given.stds), min(10, max(1, len(given.stds) // 5)))
        bars = [1e3 * np.sqrt(np.mean(given.stds[group] ** 2)) for group in groups]
        errors = [1e3 * np.sqrt(np.mean(given.errors[group] ** 2)) for group in groups]
        few = [error / np.sqrt(2 * len(group)) for error, group in zip(errors, groups, strict=True)]
        low, high = 0.7 * min(*bars, *errors), 1.4 * max(*bars, *errors)
        axes.plot([low, high], [low, high], color=GREY, linewidth=0.8, zorder=0, label="right")
        axes.errorbar(bars, errors, yerr=few, fmt="o", color=BLUE, markersize=4, capsize=2)
        axes.plot(bars, errors, color=ORANGE, linewidth=0.6, alpha=0.6)
        unit = f"m{QUANTITIES[name]}"
        axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high), aspect="equal")
        for axis in (axes.xaxis, axes.yaxis):  # few numbers, and no powers of ten within one decade
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter("{x:g}")
            axis.set_minor_formatter(NullFormatter())
        axes.set(xlabel=f"error bar ({unit})", ylabel=f"RMS error ({unit})")
        axes.set_title(f"{name}: {len(given.errors)} errors in groups of equal size", fontsize=10)
        axes.legend(frameon=False, fontsize=8)
    figure.suptitle(heading)
    write_picture(path, figure.savefig)
