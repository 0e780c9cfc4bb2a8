"""What a trajectory says of structure and motion: g(r), diffusion, vibrational density of states."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.io.trajectory import Trajectory

from pyg_mpnn.files import write_json
from pyg_mpnn.md.diffusion import diffusion, mean_squared_displacement
from pyg_mpnn.md.drift import with_error
from pyg_mpnn.md.pair_distribution import pair_distribution, pair_reach
from pyg_mpnn.md.vibrational_density import vibrational_density

__all__ = ["Observables", "observe"]

_REACH, _LEAST_REACH, _BIN = 8.0, 3.0, 0.05  # A, of g(r)
_MOST_FRAMES, _MOST_ATOMS = 100, 200_000  # of g(r): more change little and cost time
_LEAST_TIME, _LEAST_FRAMES = 2.0, 200  # ps and frames, of the mean squared displacement and the density of states
_SAMPLINGS = 2.2  # frames in the shortest period: more than 2, or it would be folded back
_FASTEST = {True: 3800.0, False: 2500.0}  # cm^-1, with hydrogen and without
_CM_PS = 29.9792458e-3  # 1 cm^-1 in 1/ps
_MOST_NUMBERS = 3e8  # of a trajectory in memory


class Observables:
    """The numbers, in the units that their names say, and why others are left out.

    Args:
        numbers: by name, ready for JSON.
        left_out: reason by name.
    """

    def __init__(self, numbers: dict[str, Any], left_out: dict[str, str]) -> None:
        self.numbers, self.left_out = numbers, left_out

    def __str__(self) -> str:
        lines = []
        for element, of in self.numbers.get("mean_squared_displacement", {}).get("elements", {}).items():
            value, error = 10 * of["D_A2_per_ps"], 10 * of["D_error_A2_per_ps"]
            text = "no diffusion within its error"
            if of["diffusion_seen"]:
                text = f"D = ({with_error(value, error)}) 1e-5 cm^2/s"
            lines.append(f"{element}: {text}; mean squared displacement {of['msd_A2'][-1]:.2g} A^2 in the largest lag")
        return "\n".join([*lines, *(f"{name} left out: {why}" for name, why in self.left_out.items())])

    def write(self, path: Path) -> None:
        """Write all as JSON.

        Args:
            path: of the file.
        """
        write_json(path, {**self.numbers, "left_out": self.left_out})


def observe(paths: Sequence[Path], timestep: float, interval: int) -> Observables:
    """Compute from trajectories what they allow.

    g(r) is from the last half, of at most 100 frames (fewer of many atoms) evenly in time; the mean squared
    displacement and the density of states are from all frames. Several copies are averaged.

    Args:
        paths: trajectories of copies of one structure.
        timestep: in fs.
        interval: steps from one frame to the next.

    Returns:
        The numbers.

    Units:
        A, ps, cm^-1, A^2/ps.
    """
    with Trajectory(paths[0]) as first:
        count, atoms = len(first), first[0]
    spacing = 1e-3 * timestep * interval
    numbers: dict[str, Any] = {}
    left_out: dict[str, str] = {}
    if atoms.pbc.all():
        most = min(_MOST_FRAMES, _MOST_ATOMS // len(atoms)) // len(paths) + 1
        frames = [of for path in paths for of in _some(path, count // 2, count, most)]
        reach = min(_REACH, pair_reach(frames))
        if reach < _LEAST_REACH:
            left_out["g(r)"] = f"half the height of the cell is {reach:.2f} A: take a larger cell"
        else:
            numbers["pair_distribution"] = _distribution(frames, reach)
    short = ""
    if count < _LEAST_FRAMES:
        short = f"{count} frames are fewer than {_LEAST_FRAMES}"
    elif 3 * count * len(atoms) > _MOST_NUMBERS:
        short = f"{count} frames of {len(atoms)} atoms are too many for the memory"
    if atoms.pbc.all():
        too_short = spacing * count < _LEAST_TIME
        why = short or (f"{spacing * count:.2g} ps are less than {_LEAST_TIME:g}" if too_short else "")
        if why:
            left_out["mean squared displacement"] = why
        else:
            numbers["mean_squared_displacement"] = _displacement(paths, spacing)
    short = short or _unresolved(bool((atoms.numbers == 1).any()), timestep, interval)
    if short:
        left_out["vibrational density of states"] = short
    else:
        numbers["vibrational_density"] = _density(paths, spacing, count)
    return Observables(numbers, left_out)


def _unresolved(hydrogen: bool, timestep: float, interval: int) -> str:
    """Why frames are too rare for the fastest vibration, and what to do; empty where they are not."""
    period = 1e3 / (_FASTEST[hydrogen] * _CM_PS)  # fs
    most = period / _SAMPLINGS / timestep
    if interval <= most:
        return ""
    advice = f"take a --timestep of at most {period / _SAMPLINGS:.2g} fs"
    if most >= 1:
        rounds = [digit * 10**power for power in range(6) for digit in (1, 2, 5)]
        rounded = max(number for number in rounds if number <= most)
        advice = f"give --trajectory-interval {rounded}"
    return (
        f"frames every {timestep * interval:g} fs are too rare for vibrations {'with' if hydrogen else 'without'} "
        f"hydrogen, of {_FASTEST[hydrogen]:g} cm^-1 and less, whose shortest period is {period:.1f} fs: {advice}"
    )


def _some(path: Path, first: int, end: int, most: int) -> list[Atoms]:
    with Trajectory(path) as trajectory:
        return [trajectory[k] for k in range(first, end, max(1, -(-(end - first) // most)))]


def _distribution(frames: list[Atoms], reach: float) -> dict[str, Any]:
    middles, curves = pair_distribution(frames, reach, bins=round(reach / _BIN))
    pairs = {name: {"g": g.tolist(), "neighbours_within": c.tolist()} for name, (g, c) in curves.items()}
    return {"r_A": middles.tolist(), "frames": len(frames), "pairs": pairs}


def _unwrapped(path: Path) -> tuple[np.ndarray, Atoms]:
    """Positions without motion of the whole, and in the mean cell where it moves; ASE does not wrap them."""
    with Trajectory(path) as trajectory:
        atoms = trajectory[0]
        cells = np.array([frame.cell.array for frame in trajectory])
        positions = np.array([frame.positions for frame in trajectory])
    if (cells != cells[0]).any():
        positions = positions @ np.linalg.inv(cells) @ cells.mean(axis=0)
    return positions - np.average(positions, axis=1, weights=atoms.get_masses())[:, None], atoms


def _displacement(paths: Sequence[Path], spacing: float) -> dict[str, Any]:
    curves: dict[str, list[np.ndarray]] = {}
    fits: dict[str, list[Any]] = {}
    for path in paths:
        positions, atoms = _unwrapped(path)
        for symbol in sorted(set(atoms.symbols)):
            own = positions[:, atoms.symbols == symbol]
            curves.setdefault(symbol, []).append(mean_squared_displacement(own)[1])
            fits.setdefault(symbol, []).append(diffusion(own, spacing))
    elements = {}
    for symbol, found in fits.items():
        values = np.array([fit.coefficient for fit in found])
        error = np.sqrt(np.mean([fit.error**2 for fit in found]) / len(found))
        if len(found) > 2:  # the scatter of independent copies is the better error
            error = values.std(ddof=1) / np.sqrt(len(found))
        mean = found[0]._replace(coefficient=float(values.mean()), error=float(error))
        elements[symbol] = {
            "msd_A2": np.mean(curves[symbol], axis=0).tolist(),
            "D_A2_per_ps": mean.coefficient,
            "D_error_A2_per_ps": mean.error,
            "diffusion_seen": mean.is_seen,
        }
    lags, _ = mean_squared_displacement(positions)
    return {"lag_ps": (spacing * lags).tolist(), "elements": elements}


def _density(paths: Sequence[Path], spacing: float, count: int) -> dict[str, Any]:
    width = max(15.0, 2.0 / (spacing * count * _CM_PS))  # a Hann window resolves 2 / (its length)
    densities = []
    for path in paths:
        with Trajectory(path) as trajectory:
            velocities = np.array([frame.get_velocities() for frame in trajectory])
            masses = trajectory[0].get_masses()
        wavenumbers, density = vibrational_density(velocities, masses, spacing, width)
        densities.append(density)
    return {
        "wavenumber_per_cm": wavenumbers.tolist(),
        "modes_per_cm": np.mean(densities, axis=0).tolist(),
        "width_per_cm": width,
    }
