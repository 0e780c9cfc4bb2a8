"""The grid: every variant with every seed, in equal minutes."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch_geometric.data import Data

from pyg_mpnn.data import data_hash
from pyg_mpnn.data.read import load_frames
from pyg_mpnn.files import hold_folder, refuse_held_folder, write_json
from pyg_mpnn.models.checks import choose_device
from pyg_mpnn.training.ablation.cells import cell_path, read_cells, run_cell
from pyg_mpnn.training.ablation.report import markdown, write_report
from pyg_mpnn.training.ablation.settings import AblationSettings
from pyg_mpnn.training.ablation.timing import time_variants

# What may differ when a grid is continued.
_FREE = (  # the hashes of the data hold what the names of labels change
    *("data", "out", "test", "energy_key", "forces_key", "stress_key", "virial_key"),
    *("energy_unit", "length_unit", "types", "force_data"),
    *("seeds", "only", "budget_minutes", "threads", "device"),
)


def ablate(
    settings: AblationSettings,
    *,
    frames: Sequence[Data] | None = None,
    test: Sequence[Data] | None = None,
    note: Mapping[str, Any] | None = None,
) -> Path:
    """Train every variant with every seed for the same minutes, time them, and write a table, verdicts and a picture.

    One JSON a cell in ``settings.out``/cells. Cells that exist are not run again: an interrupted grid goes on with the
    same command, more seeds or blocks may be added. The seeds are outermost, so that every variant has one cell before
    any has two.

    Args:
        settings: What to compare on which data.
        frames: Structures in memory in place of the file ``settings.data``, which then only names them.
        test: The same for ``settings.test``.
        note: Plain values to put into every cell.

    Returns:
        The report, ``ablation.md``, beside ``pareto.png`` and ``times.json``.

    Units:
        meV, meV/A and microseconds per atom.

    Raises:
        FileNotFoundError: A file is absent.
        FileExistsError: Another process works in ``settings.out``.
        ValueError: The data are unusable, or ``settings.out`` holds cells of another comparison.

    Source:
        own design.
    """
    out = Path(settings.out)
    choose_device(settings.device)
    frames = load_frames(settings.data, labels=settings.labels) if frames is None else frames
    if test is None and settings.test is not None:
        test = load_frames(settings.test, "test", settings.labels)
    refuse_held_folder(out)
    _claim_folder(out, settings, frames, test)
    with hold_folder(out):
        jobs = [(seed, variant) for seed in range(settings.seeds) for variant in settings.variants]
        left = [job for job in jobs if not cell_path(out, job[1], job[0]).exists()]
        print(f"{len(jobs)} cells of {settings.minutes:g} minutes, {len(jobs) - len(left)} done before", flush=True)
        started = time.monotonic()
        for place, (seed, variant) in enumerate(left):
            spent = (time.monotonic() - started) / 60
            if settings.budget_minutes is not None and spent + settings.minutes > settings.budget_minutes:
                print(
                    f"{spent:.0f} of {settings.budget_minutes:g} minutes are spent, {len(left) - place} cells are left"
                )
                break
            record = run_cell(settings, variant, seed, frames, test)
            write_json(cell_path(out, variant, seed), {**(note or {}), **record})
            found = record.get("error") or (
                f"force MAE {record['forces_mae_meV_per_A']:.1f} meV/A, energy MAE {record['energy_mae_meV']:.1f} meV, "
                f"{record['steps']} steps"
            )
            print(f"{place + 1} of {len(left)}: {variant.name}, seed {seed}: {found}", flush=True)
        _measure_times(out, settings, frames, note)
        write_report(out)
    print(f"\n{markdown(out)}\n\nReport and picture: {out / 'ablation.md'}, {out / 'pareto.png'}")
    return out / "ablation.md"


def _claim_folder(out: Path, settings: AblationSettings, frames: Sequence[Data], test: Sequence[Data] | None) -> None:
    """Write what the cells have in common, or check that it is the same as before."""
    own = {name: value for name, value in asdict(settings).items() if name not in _FREE}
    own |= {"data": settings.data, "structures": len(frames), "sha256": data_hash(frames)}
    own |= {"test": settings.test, "test_sha256": None if test is None else data_hash(test)}
    path = out / "grid.json"
    if path.exists() and read_cells(out):
        before = json.loads(path.read_text())
        differing = [f"'{name}' (was {before.get(name)})" for name in own if before.get(name) != own[name]]
        differing = [text for text in differing if not text.startswith(("'data' ", "'test' "))]
        if differing:
            raise ValueError(
                f"'out' must be new or hold the same comparison, got {str(out)!r} with other values for "
                f"{', '.join(differing)}: choose another folder, or repeat the first command."
            )
        return
    if out.exists() and not path.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(
            f"'out' must be a new or empty folder, or one with a comparison to continue, got {str(out)!r}, which holds "
            "something else: choose another."
        )
    write_json(path, own)


def _measure_times(
    out: Path, settings: AblationSettings, frames: Sequence[Data], note: Mapping[str, Any] | None
) -> None:
    """Time all variants that have a cell, unless that was done."""
    path = out / "times.json"
    trained = {cell["variant"] for cell in read_cells(out)}
    known = json.loads(path.read_text())["us_per_atom"] if path.exists() else {}
    if trained <= set(known):
        return
    # Blocks of an earlier run are timed again with the new ones: times of one run only are comparable.
    everything = AblationSettings(**{**asdict(settings), "only": None}).variants
    times = time_variants(settings, [variant for variant in everything if variant.name in trained], frames)
    write_json(path, {**(note or {}), "compile": settings.compile, "us_per_atom": times})
