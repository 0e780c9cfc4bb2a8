"""What a student is worth, where that was tested, and what it has not seen: a model card."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.data import chemical_symbols

from pyg_mpnn.data import to_data
from pyg_mpnn.data.record import kept_distances
from pyg_mpnn.files import write_json
from pyg_mpnn.learning.labels import LabelStore
from pyg_mpnn.learning.settings import LearnSettings
from pyg_mpnn.models import Committee
from pyg_mpnn.models.rebuild import rebuild
from pyg_mpnn.testing import Report, check_potential
from pyg_mpnn.training import compute_errors, predict
from pyg_mpnn.training.model_card import package_versions, write_model_card


def write_certificate(
    out: Path,
    settings: LearnSettings,
    state: Mapping[str, Any],
    model: Committee,
    store: LabelStore,
    frames: Sequence[Atoms],
) -> None:
    """Write model_card.md and .json, and laws.json with the whole report.

    Args:
        out: folder.
        settings: of the run.
        state: what state.json holds.
        model: the student.
        store: all labels.
        frames: labelled structures of the certificate's dynamics.
    """
    last = state["rounds"][-1]
    certificate = last["certificate"]
    data = [to_data(atoms) for atoms in frames]
    laws = check_laws(model, store, str(out / "potential.pt"))
    write_json(out / "laws.json", laws.to_dict())
    target = settings.target_force_error
    rmse = certificate["forces_rmse_meV_per_A"]
    met = "below" if rmse <= target else "ABOVE"
    ended = certificate["ended"]
    dynamics = [
        f"{certificate['ps']:.3g} ps of its own dynamics (Langevin, {settings.temperature:g} K, {settings.timestep:g} "
        f"fs), {len(frames)} structures labelled by the teacher; nothing was fitted to these labels",
        f"force RMSE {rmse:.1f} meV/A, {met} the target of {target:g}",
    ]
    dynamics += beginning_of(state)
    dynamics += [f"THE DYNAMICS ENDED EARLY: {ended}"] if ended else []
    card = {
        "teacher": {
            "name": settings.as_teacher.name,
            "arguments": dict(settings.as_teacher.arguments),
            "noise of its forces (meV/A)": state["noise_meV_per_A"],
            "doubts about its units": "; ".join(state["doubts"]) or "none",
        },
        "labels": labels_of(store),
        "where it was tested": dynamics,
        "error bars there": error_bars(certificate),
        "rounds": [round_of(found) for found in state["rounds"]],
        "what it has seen, and what not": limits_of(store, settings),
        "laws": laws_of(laws),
        "run": {
            "stopped because": state["stopped"],
            "minutes": state["seconds"] / 60,
            "members": len(model.potentials),
            **{name: value for name, value in state["settings"].items() if name not in ("teacher", "committee")},
        },
        "versions": package_versions(),
    }
    title = f"{len(frames)} structures of its own dynamics"
    write_model_card(out, card, {title: compute_errors(predict(model, data))})


def beginning_of(state: Mapping[str, Any]) -> list[str]:
    """Which of several start structures the dynamics of the certificate began at.

    Args:
        state: what state.json holds.

    Returns:
        A sentence; none where there is one start structure.
    """
    count = len(state["settings"]["starts"])
    if count == 1:
        return []
    place = state["rounds"][-1]["round"] % count
    return [
        f"it began at start structure {place} of 0 to {count - 1}; what lies around the others was not tested by it"
    ]


def check_laws(model: Committee, store: LabelStore, name: str) -> Report:
    """Hold a student to the laws of physics, on two of the labelled structures.

    Args:
        model: the student.
        store: all labels.
        name: for the report.

    Returns:
        The report, in float64.
    """
    frames = store.frames(["displaced"])
    chosen = [to_data(atoms) for atoms in (frames[0], frames[-1])]
    distances = kept_distances(model.record)
    rebuilt = functools.partial(rebuild, model)
    return check_potential(model, chosen, dtype=torch.float64, distances=distances, rebuild=rebuilt, name=name)


def labels_of(store: LabelStore) -> dict[str, Any]:
    """How many labels there are of each kind, and why structures have none.

    Args:
        store: all labels.

    Returns:
        Numbers and words, by title.
    """
    kinds = Counter(frame.info["config_type"] for frame in store.frames())
    reasons = Counter(frame.info["reason"] for frame in store.failed)
    return {
        "asked for": len(store) + len(store.failed),
        **dict(kinds),
        "without a label, set aside": len(store.failed),
        **{f"for {reason}": count for reason, count in reasons.most_common(5)},
    }


def error_bars(certificate: Mapping[str, Any]) -> list[str]:
    """What error bars are worth along the certificate's dynamics.

    Args:
        certificate: as in state.json.

    Returns:
        Sentences.
    """
    lines = []
    for name, unit in (("energy", "meV"), ("forces", "meV_per_A"), ("stress", "meV_per_A3")):
        if f"{name}_coverage" not in certificate:
            continue
        shares = ", ".join(f"{share:.1%} in {level}" for level, share in certificate[f"{name}_coverage"].items())
        lines.append(
            f"{name}: {shares}; RMSE {certificate[f'{name}_rmse_{unit}']:.3g}, error bar "
            f"{certificate[f'{name}_std_{unit}']:.3g} {unit.replace('_per_', '/')}, rank correlation "
            f"{certificate[f'{name}_rank_correlation']:.2f}"
        )
    return [*lines, "far from these structures error bars say that something is wrong, not how much"]


def round_of(found: Mapping[str, Any]) -> str:
    """One round in a sentence.

    Args:
        found: as in state.json.

    Returns:
        The sentence.
    """
    error = found["error_meV_per_A"]
    told = "no test" if error is None else f"error {error:.1f} meV/A along its own dynamics"
    stopped = sum(of["ended"] is not None for of in found["walks"])
    walks = f", {stopped} of {len(found['walks'])} dynamics stopped" if found["walks"] else ""
    return (
        f"{found['round']}: {found['selected']} of {found['candidates']} structures selected{walks}; trained on "
        f"{found['trained_on']}; {told}; {found['labels']} labels and {found['failures']} failures so far"
    )


def limits_of(store: LabelStore, settings: LearnSettings) -> list[str]:
    """What the labels reach, beyond which nothing is known.

    Args:
        store: all labels.
        settings: of the run.

    Returns:
        Sentences.
    """
    frames = [frame for frame in store.frames() if frame.info["config_type"] != "probe"]
    formulas = Counter(frame.get_chemical_formula() for frame in frames)
    elements = sorted({int(z) for frame in frames for z in frame.numbers})
    forces = max(float(np.abs(frame.get_forces()).max()) for frame in frames)
    lines = [
        f"elements: {', '.join(chemical_symbols[z] for z in elements)}; no other is known",
        f"compositions: {', '.join(sorted(formulas))}; no others, no surfaces, defects or larger systems than these",
        f"dynamics tested at {settings.temperature:g} K; not hotter, though labels come from hotter ones too",
        f"forces up to {forces:.3g} eV/A",
    ]
    volumes = [frame.get_volume() / len(frame) for frame in frames if frame.pbc.all()]
    if volumes:
        lines.append(
            f"volumes from {min(volumes):.4g} to {max(volumes):.4g} A^3 per atom, by random strains; the dynamics "
            "were at constant cells, so no other pressure or phase"
        )
    else:
        lines.append("no reaction or conformation but those that these dynamics came to")
    return lines


def laws_of(report: Report) -> list[str]:
    """The report on the laws in sentences.

    Args:
        report: of all laws.

    Returns:
        Sentences; the numbers are in laws.json.
    """
    passed = [name for name, result in report.results.items() if result.verdict == "pass"]
    lines = [f"hold: {', '.join(passed)}"] if passed else []
    lines += [f"BROKEN: {report.results[name]}" for name in report.failed]
    lines += [f"does not apply: {name} ({report.results[name].reason})" for name in report.not_applicable]
    return [*lines, *(f"WARNING: {report.findings[name]}" for name in report.warnings), "numbers in laws.json"]
