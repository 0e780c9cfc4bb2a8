"""The model card of a potential that is shipped, from the record of its test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def card(record: Mapping[str, Any]) -> str:
    """Markdown: what it is, what it was trained on, its errors, the laws it keeps, what it is not for."""
    labels, test = record["labels"], record["test"]
    counts = ", ".join(f"{labels['frames'][part]} of {labels['molecules'].get(part, 0)}" for part in PARTS)
    broken = [name for name, verdict in record["laws"].items() if verdict == "fail"]
    held = sum(verdict == "pass" for verdict in record["laws"].values())
    lines = [
        f"# {record['name']}",
        "",
        f"A potential for neutral closed-shell molecules of H, C, N, O and F in vacuum, size "
        f"`{record['size']}`, {record['parameters']:,} parameters in float32, {record['bytes'] / 1e6:.2f} MB. "
        f"It is a start for training at "
        f"a better level of theory (`pyg-mpnn train --start-from {record['name']}`), not a replacement for one.",
        "",
        "- Level of theory: GFN2-xTB (Bannwarth, Ehlert and Grimme, J. Chem. Theory Comput. 15, 1652, 2019), by "
        "tblite; energies are total energies in eV, those of isolated atoms in their ground states are exact: "
        + ", ".join(f"{name} {energy:.4f}" for name, energy in labels["isolated_atoms_eV"].items())
        + ".",
        "- Structures: geometries of QM9 (Ramakrishnan et al., Sci. Data 1, 140022, 2014, CC0) with at most nine heavy "
        "atoms, one in six with one to three hydrogens then replaced by fluorine, half with a single bond turned, in "
        f"walks at 200 to 1200 K ({labels['walks']:,} walks of 4 frames). Frames to train on, to validate, to test, "
        f"of as many "
        f"molecules, each molecule in one part only: {counts}.",
        f"- Walks that ended early: {'; '.join(labels['walks_that_ended_early']) or 'none'}.",
        "- Left out: the ten molecules of rMD17 and all isomers of them.",
        f"- Training: {record['training']['minutes_done']:g} minutes on one CPU core, "
        f"{record['training']['epochs_done']} epochs, batches of {record['training']['batch_size']}.",
        "- Licence: weights as the package (MIT); they were made from CC0 data.",
        "- The file holds weights, their description, four training structures, the shortest distance of each pair of "
        "elements, and independent compositions it was trained on; no optimizer state.",
        "- Made by `python -m benchmarks.learn.organic`; all numbers are in "
        f"`benchmarks/results/learn/organic-{record['size']}.json`.",
        "",
        "## Errors",
        "",
        f"On {test['n_structures']} frames of molecules that were not trained on, at the level of GFN2-xTB: energy MAE "
        f"{test['energy_mae_meV_per_atom']:.1f} meV/atom, force MAE {test['forces_mae_meV_per_A']:.0f} meV/Å (the mean "
        f"absolute force component is {record['mean_absolute_force_meV_per_A']:.0f} meV/Å).",
        "",
        *_table("atoms of", record["by_element"]),
        "",
        *_table("molecules with", sorted(record["by_kind"], key=_number)),
        "",
        "rMD17's molecules, 50 frames of its test file each (500 K), labelled by GFN2-xTB; aspirin is larger than any "
        "molecule that was trained on:",
        "",
        "| molecule | energy MAE (meV/atom) | force MAE (meV/Å) |",
        "|---|---|---|",
        *(
            f"| {name} | {one['energy_mae_meV_per_atom']:.1f} | {one['forces_mae_meV_per_A']:.0f} |"
            for name, one in record["unseen"].items()
        ),
        "",
        "## Laws",
        "",
        f"`pyg-mpnn check --model {record['name']}` (float64): {held} laws hold, "
        f"{', '.join(broken) if broken else 'none'} broken. "
        + (
            "Finding: nearer than in any training structure some pairs of atoms attract each other (the result file "
            "lists them), so dynamics far above 1200 K may end there."
            if record["warnings"]
            else "No findings."
        ),
        "",
        "## Not for",
        "",
        "Ions, radicals, excited states, bonds that break, condensed matter, other elements; energies of reactions "
        "beyond the errors above; conclusions at the level of GFN2-xTB, which has errors of its own.",
        "",
    ]
    return "\n".join(lines)


PARTS = ("train", "valid", "test")


def _number(group: Mapping[str, Any]) -> int:
    first = group["name"].split()[0]
    return int(first) if first.isdecimal() else 1000  # those with fluorine last


def _table(title: str, groups: Sequence[Mapping[str, Any]]) -> list[str]:
    """A Markdown table of errors."""
    energies = any(group["energy"] is not None for group in groups)
    lines = [f"| {title} | number |{' energy MAE (meV/atom) |' if energies else ''} force MAE (meV/Å) |"]
    lines.append("|---|---|---|---|" if energies else "|---|---|---|")
    for group in groups:
        energy = f" {group['energy']:.1f} |" if energies else ""
        lines.append(f"| {group['name'].removeprefix('with ')} | {group['number']} |{energy} {group['forces']:.0f} |")
    return lines
