"""The page that judges a potential: what its errors are, where they are, and what they are good enough for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_mpnn.data import shortest_distances
from pyg_mpnn.data.dataset import PreparedStructures
from pyg_mpnn.data.frames import CheckedFrames
from pyg_mpnn.data.record import kept_distances
from pyg_mpnn.data.reference import fit_energies
from pyg_mpnn.data.stream import StreamedFrames
from pyg_mpnn.models import EnergyModel
from pyg_mpnn.training.breakdown import MOST_GROUPS, Breakdown, Group
from pyg_mpnn.training.chemiscope import write_chemiscope
from pyg_mpnn.training.logs import History
from pyg_mpnn.training.metrics import Errors, Predictions, compute_errors
from pyg_mpnn.training.page import Page
from pyg_mpnn.training.plots import draw_learning_curve, draw_parity, draw_structure
from pyg_mpnn.training.table import error_rows
from pyg_mpnn.training.verdict import CAUTION, Verdict, judge, plain, relative_force_error

PAGE = "report.html"
STRUCTURES = "structures.chemiscope.json.gz"
_PAIRS = 40  # pairs of elements that are listed


@dataclass(frozen=True)
class JudgedSet:
    """Structures with what a potential says of them.

    Args:
        name: of the set, such as ``test``.
        predictions: of its structures.
        structures: the same ones, in this order.
        zero: what parity subtracts from the energies, in eV; a fit to the compositions of these structures without it.
    """

    name: str
    predictions: Predictions
    structures: PreparedStructures
    zero: Tensor | None = None

    @property
    def frames(self) -> Sequence[Data]:
        """The structures without edges."""
        return self.structures.structures

    @cached_property
    def parts(self) -> Breakdown:
        """The errors, to be split."""
        return Breakdown(self.predictions, self.frames)

    def energy_zero(self) -> Tensor | None:
        """What parity subtracts from the energies, in eV."""
        if self.zero is not None or self.predictions.energy_ref is None:
            return self.zero
        known = [frame for frame in self.frames if "energy" in frame and not bool(frame.energy.isnan().any())]
        if not known:
            return None
        of_elements, _ = fit_energies(known, {})
        sums = [sum(of_elements.get(z, 0.0) for z in frame.z.tolist()) for frame in self.frames]
        return torch.tensor(sums, dtype=torch.float64)

    def origin(self, place: int) -> str:
        """File of a structure and its number there, counted from 0."""
        frames = self.frames
        if isinstance(frames, CheckedFrames) and frames.origins:
            file, index = frames.origins[place]
            return f"frame {index} of {Path(file).name}"
        if isinstance(frames, StreamedFrames):
            return f"frame {frames.indices[place]} of {frames.dataset.path.name}"
        return f"structure {place} of the {self.name} set"


def write_judgement(
    folder: Path,
    title: str,
    potential: EnergyModel,
    sets: Sequence[JudgedSet],
    *,
    units: Mapping[str, str],
    columns: Mapping[str, Errors] | None = None,
    history: History | None = None,
    train: PreparedStructures | None = None,
    notes: Sequence[str] = (),
) -> list[str]:
    """Write report.html and structures.chemiscope.json.gz.

    Args:
        folder: Where to.
        title: Of the page.
        potential: What made the predictions.
        sets: Structures with predictions; the first one is judged. Where it has no forces, the verdicts are those of
            the validation structures, and say so.
        units: Of other outputs by name.
        columns: Errors for the first table, in place of those of the sets.
        history: Of the training.
        train: Structures that were trained on, where they are at hand.
        notes: What else is to be said.

    Returns:
        The verdicts, one sentence each.
    """
    judged = sets[0]
    relative = relative_force_error(judged.predictions)
    verdicts = judge_sets(sets, units) if potential.has_energy else []
    page = Page(title)
    page.text(
        f"{_counted(len(judged.frames), judged.name)}, {type(potential).__name__}.",
        soft=True,
    )
    if verdicts:
        page.heading("Is it good enough?")
        for verdict in verdicts:
            head, _, text = str(verdict).partition(": ")
            rule = f" Rule of thumb: {verdict.source}." if verdict.source else ""
            page.verdict(f"{head[0].upper()}{head[1:]}", f"{text}.{rule}", verdict.passed)
        page.text(CAUTION, soft=True)
    page.heading("Errors")
    page.table(error_rows(columns or {found.name: compute_errors(found.predictions, units) for found in sets}))
    if relative is not None:
        page.text(f"Relative error of the forces: MAE over their mean absolute component is {100 * relative:.1f} %.")
    if notes:
        page.bullets(notes)
    page.heading("Predicted against reference")
    for found in sets:
        heading = _counted(len(found.frames), found.name)
        page.picture(draw_parity(found.predictions, found.energy_zero(), heading, units), f"parity of {heading}")
    if verdicts:
        _split(page, judged.parts)
        _show_worst(page, judged)
    if history:
        page.heading("Learning curve")
        page.picture(draw_learning_curve(history, units), "errors after each epoch of the training")
    page.heading("What the data lack")
    page.bullets(_lacks(potential, judged, train))
    written = write_chemiscope(folder / STRUCTURES, judged.frames, _properties(judged.parts), title)
    page.text(
        f"{_counted(written, judged.name)} with errors to turn and to click through: open {STRUCTURES} at "
        "chemiscope.org, where it stays in your browser, or by chemiscope.show_input of the Python package.",
        soft=True,
    )
    page.write(folder / PAGE)
    return [str(verdict) for verdict in verdicts]


def judge_sets(sets: Sequence[JudgedSet], units: Mapping[str, str]) -> list[Verdict]:
    """Verdicts on the first set, or where it has no forces on the validation structures, if there are any with forces.

    Args:
        sets: Structures with predictions.
        units: Of other outputs by name.

    Returns:
        One verdict for each purpose, which says of what it is where that is not the first set.
    """
    first = sets[0]
    for found in (first, *(found for found in sets[1:] if found.name == "validation")):
        errors = compute_errors(found.predictions, units)
        if errors.forces_mae_meV_per_A is not None:
            verdicts = judge(errors, relative_force_error(found.predictions))
            of = f"; of {_counted(len(found.frames), 'validation')}, as the {first.name} structures have no forces"
            return [verdict._replace(reason=verdict.reason + of * (found is not first)) for verdict in verdicts]
    return judge(compute_errors(first.predictions, units), None)


def _split(page: Page, parts: Breakdown) -> None:
    tables = [
        ("Errors by element", "element", "atoms", parts.by_element()),
        ("Errors by kind of structure (config_type)", "config_type", "structures", parts.by_kind()),
        ("Errors by composition", "composition", "structures", parts.by_composition()),
        ("Errors by size of the force", "force", "atoms", parts.by_force()),
    ]
    for title, name, unit, groups in tables:
        if not groups:
            continue
        page.heading(title)
        if len(groups) == MOST_GROUPS:
            page.text(f"The {MOST_GROUPS} most frequent ones; there may be more.", soft=True)
        head = [name, "force MAE (meV/A)", "of the mean force", "energy MAE (meV/atom)", unit]
        rows = [head, *map(_row, groups)]
        used = [column for column in range(len(head)) if any(row[column] for row in rows[1:])]
        page.table([[row[column] for column in used] for row in rows], [group.forces for group in groups])
    if not parts.by_kind():
        page.text("No structure says its kind (config_type), so errors are not split by it.", soft=True)


def _row(group: Group) -> list[str]:
    share = "" if group.relative is None else f"{100 * group.relative:.1f} %"
    return [group.name, _number(group.forces), share, _number(group.energy), str(group.number)]


def _number(value: float | None) -> str:
    return "" if value is None else plain(value)


def _counted(count: int, name: str) -> str:
    return f"{count} {name} structure{'s' * (count != 1)}"


def _signed(value: float) -> str:
    sign = "+" if value >= 0 else "-"
    return sign + plain(abs(value), digits=2)


def _show_worst(page: Page, judged: JudgedSet) -> None:
    page.heading("Worst structures")
    page.text(
        "By the largest error of one force, whose atom is drawn in magenta; those without forces by the error of the "
        "energy. Frames are counted from 0.",
        soft=True,
    )
    shown = []
    for worst in judged.parts.worst():
        errors = [] if worst.forces is None else [f"force {plain(worst.forces)} meV/A off at atom {worst.atom}"]
        errors += [] if worst.energy is None else [f"energy {_signed(worst.energy)} meV/atom off"]
        text = f"{judged.origin(worst.place)}: {', '.join(errors)}"
        shown.append((draw_structure(judged.frames[worst.place], worst.atom), text))
    page.gallery(shown)


def _lacks(potential: EnergyModel, judged: JudgedSet, train: PreparedStructures | None) -> list[str]:
    """What the training structures do not have, as far as it is known; one sentence each."""
    from ase.data import chemical_symbols

    known = kept_distances(potential.record)
    if not known:
        return ["The file of the potential does not say how near atoms came to each other in training."]
    texts = []
    named = {
        pair: "-".join(chemical_symbols[z] for z in pair)
        for pair in combinations_with_replacement(sorted({z for pair in known for z in pair}), 2)
    }
    near = [f"{named[pair]} {known[pair]:.2f}" for pair in named if pair in known]
    more = f" and {len(near) - _PAIRS} more pairs" if len(near) > _PAIRS else ""
    texts.append(f"In training, atoms are never nearer than (A): {', '.join(near[:_PAIRS])}{more}.")
    apart = [name for pair, name in named.items() if pair not in known]
    if apart:
        texts.append(f"Never within the cutoff of {potential.cutoff:g} A in training: {', '.join(apart[:_PAIRS])}.")
    nearer = []
    for pair, distance in shortest_distances(judged.structures, potential.cutoff).items():
        if distance < known.get(pair, float("inf")) - 1e-4:
            name, there = (
                "-".join(chemical_symbols[z] for z in pair),
                f"{known[pair]:.2f}" if pair in known else "never",
            )
            nearer.append(f"{name} at {distance:.2f} A (training: {there})")
    if nearer:
        texts.append(f"The {judged.name} structures have pairs nearer than any in training: {', '.join(nearer)}.")
    return [*texts, *(_ranges(potential, train) if train is not None else [])]


def _ranges(potential: EnergyModel, train: PreparedStructures) -> list[str]:
    frames = train.structures
    every = [train.structures[place] for place in range(0, len(frames), -(-len(frames) // 2000))]
    texts = []
    forces = [
        float(frame.forces.norm(dim=1).nan_to_num().max()) for frame in every if "forces" in frame and len(frame.z)
    ]
    if forces:
        texts.append(f"The largest force in training is {max(forces):.3g} eV/A: structures with larger ones are new.")
    elif potential.has_energy:
        texts.append("There are no forces in training.")
    volumes = [
        float(frame.cell.double().det().abs() / max(len(frame.z), 1))
        for frame in every
        if "pbc" in frame and bool(frame.pbc.all())
    ]
    if volumes:
        low, high = min(volumes), max(volumes)
        stresses = any("stress" in frame and bool(frame.stress.isfinite().any()) for frame in every)
        if high - low < 1e-3 * high:
            lack = "pressures elsewhere" if stresses else "pressures"
            texts.append(
                f"Crystals and liquids in training have {low:.3g} A^3 an atom, one volume alone: {lack} and other "
                "densities are not learned."
            )
        else:
            texts.append(f"Crystals and liquids in training have {low:.3g} to {high:.3g} A^3 an atom.")
        if not stresses:
            texts.append("No structure in training has a stress: do not let the cell move (NPT) without testing it.")
    compositions = {tuple(sorted(frame.z.tolist())) for frame in every}
    known = getattr(potential, "compositions", None) or compositions  # isolated atoms among them
    if len(compositions) == 1 and len(known) < len(set(*compositions)) and potential.has_energy:
        texts.append("All training structures have one composition: energies of other compositions mean nothing.")
    texts.append(
        "Temperatures are not in the files: a dynamics at a higher one than that of the data is extrapolation."
    )
    return texts


def _properties(parts: Breakdown) -> dict[str, tuple[str, list[Any]]]:
    found: dict[str, tuple[str, list[Any]]] = {}
    if parts.energy is not None:
        found["energy error"] = ("meV/atom", [None if value != value else value for value in parts.energy.tolist()])
    if parts.forces is not None and parts.size is not None:
        count = len(parts.frames)
        for title, values in (("force MAE", parts.forces.abs().mean(1)), ("mean force", parts.size.norm(dim=1))):
            atoms = torch.bincount(parts.structure, minlength=count).clamp(min=1)
            sums = torch.zeros(count, dtype=values.dtype).index_add(0, parts.structure, values) / atoms
            found[title] = ("meV/A", [None if value != value else value for value in sums.tolist()])
    return found
