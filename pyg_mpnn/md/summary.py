"""The summary of a dynamics, in words and as JSON."""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pyg_mpnn.files import write_json
from pyg_mpnn.md.drift import EnergyDrift
from pyg_mpnn.md.recorder import Recorder

__all__ = ["DynamicsSummary", "summarize", "write_settings", "write_summary"]


@dataclass(frozen=True)
class DynamicsSummary:
    """What came out of a dynamics; ``print`` says it in words.

    Args:
        formula: of the structure.
        num_atoms: of the structure.
        degrees_of_freedom: that share the kinetic energy.
        steps_per_second: of the whole dynamics, output included.
        neighbor_list_rebuilds: in all steps.
        mean_temperature_last_half_K: over the logged steps of the second half.
        drift_meV_per_atom_per_ps: fitted slope of the total energy; None with a thermostat.
        drift_error_meV_per_atom_per_ps: its standard error; None with a thermostat.
        fluctuation_meV_per_atom: RMS of the total energy about the fitted line; None with a thermostat.
        bond_changes: bonds broken or formed in the frames written, with the step of the first such frame; None if the
            structure is periodic.
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

    def __str__(self) -> str:
        lines = [
            f"{self.formula}, {self.num_atoms} atoms: {self.steps_per_second:.1f} steps per second, "
            f"neighbour list built {self.neighbor_list_rebuilds} times",
            f"mean temperature of the last half: {self.mean_temperature_last_half_K:.0f} K",
        ]
        if self.drift_meV_per_atom_per_ps is not None:
            lines.append(
                f"total energy: drift {self.drift_meV_per_atom_per_ps:.2g} +- "
                f"{self.drift_error_meV_per_atom_per_ps:.1g} meV/atom/ps, "
                f"RMS fluctuation {self.fluctuation_meV_per_atom:.2g} meV/atom"
            )
        if self.bond_changes is not None:
            changes = [f"{bond} at step {step}" for bond, step in self.bond_changes.items()]
            more = f" and {len(changes) - 3} more (summary.json)" if len(changes) > 3 else ""
            lines.append(f"bonds: {', '.join(changes[:3]) or 'all as at the start'}{more}")
        return "\n".join(lines)


def summarize(recorder: Recorder, steps_per_second: float, drift: EnergyDrift | None) -> DynamicsSummary:
    """Draw the summary from the record of a dynamics.

    Args:
        recorder: that has followed the dynamics.
        steps_per_second: as measured.
        drift: of the total energy in meV/atom and ps; None with a thermostat.

    Returns:
        The summary.
    """
    atoms, log = recorder.atoms, recorder.log()
    return DynamicsSummary(
        formula=atoms.get_chemical_formula(),
        num_atoms=len(atoms),
        degrees_of_freedom=recorder.degrees_of_freedom,
        steps_per_second=steps_per_second,
        neighbor_list_rebuilds=atoms.calc.skin_list.num_rebuilds,
        mean_temperature_last_half_K=float(log.temperature[log.time >= log.time[-1] / 2].mean()),
        drift_meV_per_atom_per_ps=drift.slope if drift else None,
        drift_error_meV_per_atom_per_ps=drift.slope_error if drift else None,
        fluctuation_meV_per_atom=drift.fluctuation if drift else None,
        bond_changes=None if recorder.bonds is None else recorder.bond_changes,
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
