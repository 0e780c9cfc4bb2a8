"""The cells of a comparison put together: errors by variant and seed, times, and what can be said of a difference."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scipy.special import stdtrit

from pyg_mpnn.training.ablation.cells import Record, read_cells
from pyg_mpnn.training.ablation.settings import BLOCKS, REFERENCE

CONFIDENCE = 0.95
FASTER = 0.95  # a ratio of times below it, or above its inverse, is more than the noise of timing


@dataclass(frozen=True)
class Difference:
    """A mean difference with its interval.

    Args:
        mean: Mean of the differences.
        half_width: Half the width of the 95 % interval; None with one seed, where none can be given.
        seeds: Number of seeds in it.
    """

    mean: float
    half_width: float | None
    seeds: int

    @property
    def separable(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.half_width is not None and abs(self.mean) > self.half_width

    def __str__(self) -> str:
        width = "(one seed)" if self.half_width is None else f"± {self.half_width:.1f}"
        return f"{self.mean:+.1f} {width}"


def paired_difference(values: Mapping[int, float], reference: Mapping[int, float]) -> Difference | None:
    r"""Mean of the differences at equal seeds, with the 95 % interval of Student's t.

    .. math:: \bar d \pm t_{0.975, n-1} \, s_d / \sqrt n

    Equal seeds have the same split and order of structures, which therefore cancel. Of twenty such intervals one leaves
    out the true value by chance.

    Args:
        values: By seed.
        reference: By seed.

    Returns:
        The difference; None without a common seed.

    Units:
        those of the values.

    Source:
        Student, Biometrika 6, 1 (1908), the paired test.

    Example:
        >>> print(paired_difference({0: 3.0, 1: 3.2, 2: 3.1}, {0: 2.0, 1: 2.1, 2: 2.2}))
        +1.0 ± 0.2
    """
    differences = [values[seed] - reference[seed] for seed in values if seed in reference]
    if not differences:
        return None
    mean, count = statistics.fmean(differences), len(differences)
    if count == 1:
        return Difference(mean, None, 1)
    quantile = float(stdtrit(count - 1, 0.5 + CONFIDENCE / 2))
    return Difference(mean, quantile * statistics.stdev(differences) / math.sqrt(count), count)


def describe(error: Difference | None, time_ratio: float | None) -> str:
    """A verdict in words on a variant, seen from the reference.

    Args:
        error: Difference of the errors, variant less reference.
        time_ratio: Time of the variant over that of the reference.

    Returns:
        One phrase.
    """
    if error is None:
        return "not run"
    if time_ratio is None:
        pace = "time not measured"
    elif time_ratio < FASTER:
        pace = f"faster (x {time_ratio:.2f})"
    else:
        pace = f"slower (x {time_ratio:.2f})" if time_ratio > 1 / FASTER else "as fast"
    if error.half_width is None:
        return f"one seed, no verdict; {pace}"
    if not error.separable:
        return f"errors not separable; {pace}"
    return f"{'lower' if error.mean < 0 else 'higher'} error; {pace}"


FORCES, ENERGY = "forces_mae_meV_per_A", "energy_mae_meV"


@dataclass
class Row:
    """What is known about one variant.

    Args:
        name: The variant.
        block: The block in which it differs from the reference.
        forces: Force MAE by seed.
        energy: Energy MAE by seed.
        parameters: Number of parameters, None where every seed diverged.
        steps: Mean number of training steps.
        times: Microseconds per atom of ``evaluate`` and ``train``: median, p10 and p90.
        diverged: Seeds whose training diverged for good.
        recovered: Seeds whose training diverged and went on with a lower learning rate than that of the others.

    Units:
        meV/A and meV.
    """

    name: str
    block: str
    forces: dict[int, float] = field(default_factory=dict)
    energy: dict[int, float] = field(default_factory=dict)
    parameters: int | None = None
    steps: float = 0.0
    times: dict[str, dict[str, float]] = field(default_factory=dict)
    diverged: list[int] = field(default_factory=list)
    recovered: list[int] = field(default_factory=list)

    def time(self, kind: str) -> float | None:
        """Median time.

        Args:
            kind: ``evaluate`` or ``train``.

        Returns:
            microseconds per atom; None where it was not measured.
        """
        return self.times[kind]["median"] if kind in self.times else None

    def difference(self, reference: Row) -> Difference | None:
        """Difference of the force errors to those of the reference at equal seeds.

        Args:
            reference: The row of the reference.

        Returns:
            the difference, None without a common seed.
        """
        return paired_difference(self.forces, reference.forces)

    def verdict(self, reference: Row) -> str:
        """A phrase on this variant, seen from the reference."""
        own, other = self.time("evaluate"), reference.time("evaluate")
        text = describe(self.difference(reference), None if own is None or other is None else own / other)
        if self.recovered:
            text += f"; went on with a lower learning rate after a divergence with seed {_seeds(self.recovered)}"
        return f"{text}; diverged with seed {_seeds(self.diverged)}" if self.diverged else text


def summarize(out: str | Path) -> list[Row]:
    """Read a comparison.

    Args:
        out: Its folder.

    Returns:
        One row a variant that has a cell: the reference first, then block by block.
    """
    out = Path(out)
    times = json.loads((out / "times.json").read_text())["us_per_atom"] if (out / "times.json").exists() else {}
    grouped: dict[str, list[Record]] = {}
    for cell in read_cells(out):
        grouped.setdefault(cell["variant"], []).append(cell)
    rows = [_row(name, cells, times.get(name, {})) for name, cells in grouped.items()]
    order = (REFERENCE, *BLOCKS)
    return sorted(rows, key=lambda row: (order.index(row.block), _natural(row.name)))


def _row(name: str, cells: Sequence[Record], times: dict[str, Any]) -> Row:
    done = [cell for cell in cells if "error" not in cell]
    return Row(
        name,
        cells[0]["block"],
        forces={cell["seed"]: cell[FORCES] for cell in done},
        energy={cell["seed"]: cell[ENERGY] for cell in done},
        parameters=done[0]["parameters"] if done else None,
        steps=statistics.fmean(cell["steps"] for cell in done) if done else 0.0,
        times=times,
        diverged=[cell["seed"] for cell in cells if "error" in cell],
        recovered=[cell["seed"] for cell in done if cell.get("recoveries", 0)],
    )


def _seeds(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds))


def _natural(name: str) -> tuple[tuple[float, str], ...]:
    """Numbers in a name sort as numbers."""
    words = name.split()
    return tuple((float(word), "") if word.replace(".", "", 1).isdigit() else (0.0, word) for word in words)


def block_verdict(block: str, rows: Sequence[Row], reference: Row) -> str:
    """Does changing this block pay?"""
    own = [row for row in rows if row.block == block]
    known = [(row, difference) for row in own if (difference := row.difference(reference)) is not None]
    known.sort(key=lambda pair: pair[1].mean)
    if not known:
        return f"{block}: not run."
    if all(difference.half_width is None for _, difference in known):
        return f"{block}: one seed, no verdict; lowest error of a change: {_phrase(*known[0], reference)}."
    kinds: dict[str, list[str]] = {"pays": [], "not separable and cheaper": [], "not separable": [], "does not pay": []}
    kinds["one seed, no verdict"] = []
    for row, difference in known:
        if difference.half_width is None:
            kind = "one seed, no verdict"
        elif difference.separable:
            kind = "pays" if difference.mean < 0 else "does not pay"
        else:
            kind = "not separable and cheaper" if _ratio(row, reference) < FASTER else "not separable"
        kinds[kind].append(_phrase(row, difference, reference))
    text = "; ".join(f"{kind}: {', '.join(phrases)}" for kind, phrases in kinds.items() if phrases)
    return f"{block}: {text}."


def _ratio(row: Row, reference: Row) -> float:
    own, other = row.time("evaluate"), reference.time("evaluate")
    return float("inf") if own is None or other is None else own / other


def _phrase(row: Row, difference: Difference, reference: Row) -> str:
    ratio = _ratio(row, reference)
    pace = "" if ratio == float("inf") else f" at {ratio:.2f} times the time"
    return f"{row.name} {difference} meV/A{pace}"
