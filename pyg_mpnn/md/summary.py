"""The summary of a dynamics, in words and as JSON."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from ase import units

from pyg_mpnn.files import write_json
from pyg_mpnn.md.drift import EnergyDrift, block_mean, with_error
from pyg_mpnn.md.recorder import DynamicsLog
from pyg_mpnn.md.run import Run

__all__ = ["DynamicsSummary", "summarize", "write_settings", "write_summary"]


@dataclass(frozen=True)
class DynamicsSummary:
    """What came out of a dynamics; ``print`` says it in words. Numbers of several replicas are means over them.

    Args:
        formula: of the structure.
        num_atoms: of the structure.
        degrees_of_freedom: that share the kinetic energy.
        steps_per_second: of the whole dynamics, output included.
        neighbor_list_rebuilds: in all steps.
        mean_temperature_last_half_K: over the logged steps of the second half.
        drift_meV_per_atom_per_ps: fitted slope of what the dynamics conserves: the total energy or, with a thermostat
            or barostat, ASE's conserved quantity; None where nothing is conserved (Langevin).
        drift_error_meV_per_atom_per_ps: its standard error; None as above.
        fluctuation_meV_per_atom: RMS of that about the fitted line; None as above.
        bond_changes: bonds broken or formed and atoms that were handed over in the frames written, with the step of the
            first such frame; None if the structure is periodic.
        drift_in_words: the drift beside its error; None as above.
        mean_pressure_last_half_GPa: with its error; None where the cell rests.
        mean_volume_last_half_A3: with its error; None where the cell rests.
        density_last_half_g_per_cm3: with its error; None where the cell rests or is that of a slab.
        replicas: number of copies.
        ms_per_replica_step: time of a step over the number of copies, output included.
        ms_per_step_of_one: time of a step of one copy alone, without output; None where there is one.
        mean_temperature_last_half_of_each_K: of each copy; None where there is one.
        fraction_outside_trained_volumes: of the logged steps, denser or less dense than the training structures; None
            where the cell rests, or where their densities are not known.
    """

    formula: str
    num_atoms: int
    degrees_of_freedom: int
    steps_per_second: float
    neighbor_list_rebuilds: int
    mean_temperature_last_half_K: float
    drift_meV_per_atom_per_ps: float | None
    drift_error_meV_per_atom_per_ps: float | None
    fluctuation_meV_per_atom: float | None
    bond_changes: dict[str, int] | None
    drift_in_words: str | None = None
    mean_pressure_last_half_GPa: list[float] | None = None
    mean_volume_last_half_A3: list[float] | None = None
    density_last_half_g_per_cm3: list[float] | None = None
    replicas: int = 1
    ms_per_replica_step: float | None = None
    ms_per_step_of_one: float | None = None
    mean_temperature_last_half_of_each_K: list[float] | None = None
    fraction_outside_trained_volumes: float | None = None

    def __str__(self) -> str:
        copies = f"{self.replicas} replicas of " if self.replicas > 1 else ""
        lines = [
            f"{copies}{self.formula}, {self.num_atoms} atoms: {self.steps_per_second:.1f} steps per second, "
            f"neighbour list built {self.neighbor_list_rebuilds} times",
            f"mean temperature of the last half: {self.mean_temperature_last_half_K:.0f} K",
        ]
        if self.ms_per_step_of_one is not None:
            lines.insert(
                1,
                f"{self.ms_per_replica_step:.3g} ms per replica and step, output included; "
                f"{self.ms_per_step_of_one:.3g} ms per step of one replica alone",
            )
        if self.mean_volume_last_half_A3 and self.mean_pressure_last_half_GPa:
            text = f"volume {with_error(*self.mean_volume_last_half_A3)} A^3"
            text += f", pressure {with_error(*self.mean_pressure_last_half_GPa)} GPa"
            if self.density_last_half_g_per_cm3:
                text += f", density {with_error(*self.density_last_half_g_per_cm3)} g/cm^3"
            lines.append(f"{text} (last half)")
        if self.fraction_outside_trained_volumes:
            lines.append(
                f"WARNING: denser or less dense than the training structures in "
                f"{self.fraction_outside_trained_volumes:.0%} of the logged steps: these densities are a guess"
            )
        if self.drift_in_words is not None:
            lines.append(
                f"conserved energy: {self.drift_in_words}; RMS fluctuation {self.fluctuation_meV_per_atom:.2g} meV/atom"
            )
        if self.bond_changes is not None:
            changes = [f"{bond} at step {step}" for bond, step in self.bond_changes.items()]
            more = f" and {len(changes) - 3} more (summary.json)" if len(changes) > 3 else ""
            lines.append(f"bonds: {', '.join(changes[:3]) or 'all as at the start'}{more}")
        return "\n".join(lines)


def summarize(
    runs: Sequence[Run],
    log: DynamicsLog,
    drift: EnergyDrift | None,
    *,
    seconds_per_step: float,
    rebuilds: int,
    seconds_of_one: float | None = None,
    trained_volumes: tuple[float, float] | None = None,
) -> DynamicsSummary:
    """Draw the summary from the records of a dynamics.

    Args:
        runs: the copies.
        log: of the one, or the mean over all.
        drift: of what is conserved, in meV/atom and ps; None where nothing is.
        seconds_per_step: of all copies.
        rebuilds: of the neighbour list.
        seconds_of_one: of a step of one copy alone.
        trained_volumes: smallest and largest in A^3 that training structures give a hold for; None where not known.

    Returns:
        The summary.
    """
    atoms, half = runs[0].atoms, log.time >= log.time[-1] / 2
    recorders = [run.recorder for run in runs if run.recorder is not None]
    volume = pressure = density = None
    if log.volume is not None and log.pressure is not None:
        volume, pressure = list(block_mean(log.volume[half])), list(block_mean(log.pressure[half]))
        if atoms.pbc.all():
            grams = atoms.get_masses().sum() * units._amu * 1e3  # amu to g, A^3 to cm^3
            density = list(block_mean(grams / (log.volume[half] * 1e-24)))
    temperatures = [
        float(of.temperature[of.time >= of.time[-1] / 2].mean()) for of in (each.log() for each in recorders)
    ]
    volumes = [of.volume for of in (each.log() for each in recorders) if of.volume is not None]
    outside = None
    if trained_volumes is not None and volumes:
        every = np.concatenate(volumes)
        outside = float(((every < trained_volumes[0]) | (every > trained_volumes[1])).mean())
    changes = None
    if recorders[0].bonds is not None:
        changes = {
            f"replica {number}: {change}" if len(runs) > 1 else change: step
            for number, each in enumerate(recorders)
            for change, step in each.bond_changes.items()
        }
    return DynamicsSummary(
        formula=atoms.get_chemical_formula(),
        num_atoms=len(atoms),
        degrees_of_freedom=runs[0].degrees_of_freedom,
        steps_per_second=1 / seconds_per_step,
        neighbor_list_rebuilds=rebuilds,
        mean_temperature_last_half_K=float(log.temperature[half].mean()),
        drift_meV_per_atom_per_ps=drift.slope if drift else None,
        drift_error_meV_per_atom_per_ps=drift.slope_error if drift else None,
        fluctuation_meV_per_atom=drift.fluctuation if drift else None,
        bond_changes=changes,
        drift_in_words=drift.in_words() if drift else None,
        mean_pressure_last_half_GPa=pressure,
        mean_volume_last_half_A3=volume,
        density_last_half_g_per_cm3=density,
        replicas=len(runs),
        ms_per_replica_step=1e3 * seconds_per_step / len(runs),
        ms_per_step_of_one=None if seconds_of_one is None else 1e3 * seconds_of_one,
        mean_temperature_last_half_of_each_K=temperatures if len(runs) > 1 else None,
        fraction_outside_trained_volumes=outside,
    )


def write_summary(path: Path, summary: DynamicsSummary, settings: dict[str, Any]) -> None:
    """Write the summary as JSON, with the settings and versions that reproduce it.

    Args:
        path: of the file.
        summary: to be written.
        settings: arguments of :func:`run_dynamics`.
    """
    write_settings(path, asdict(summary), settings)


def write_settings(path: Path, numbers: dict[str, Any], settings: dict[str, Any]) -> None:
    """Write the numbers of any command as JSON, with the settings and versions that reproduce them.

    Args:
        path: of the file.
        numbers: plain values.
        settings: arguments of the command.
    """
    versions = {name: version(name) for name in ("torch", "torch-geometric", "ase", "numpy")}
    content = {
        **numbers,
        "settings": {name: str(value) if isinstance(value, Path) else value for name, value in settings.items()},
        "versions": {"python": platform.python_version(), **versions},
    }
    write_json(path, content)
