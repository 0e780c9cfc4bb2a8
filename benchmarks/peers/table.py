"""Tables, verdicts and picture of the cells of `run.py`.

python benchmarks/peers/table.py        prints the tables; the pictures, MOLECULE-pareto.png, go beside the cells
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.md17.train import PUBLISHED
from benchmarks.peers.recipes import CONTROL, RECIPES
from benchmarks.record import RESULTS
from pyg_mpnn.training.ablation import Difference, paired_difference

FOLDER = RESULTS / "peers"
UNDISTURBED = 0.9  # of the processor; below it another program took part of the minutes
BASE, SMALL = "ours", "ours-small"
Record = dict[str, Any]


class Results:
    """All cells of one molecule."""

    def __init__(self, molecule: str, folder: Path = FOLDER) -> None:
        self.molecule = molecule
        self.cells: dict[str, list[Record]] = {}
        self.diverged: list[Record] = []
        for path in sorted(folder.glob(f"{molecule}-*-seed*.json")):
            cell = json.loads(path.read_text())
            if "-diverged-" in path.name:
                self.diverged.append(cell)
                continue
            self.cells.setdefault(cell["model"], []).append(cell)
        path = folder / f"{molecule}-times.json"
        self.times: list[Record] = json.loads(path.read_text())["records"] if path.exists() else []
        self.models = [model for model in RECIPES if model in self.cells]
        self._tuned: dict[str, dict[float, float]] = {}  # by model: score of each rate
        for path in sorted(folder.glob(f"{molecule}-*-rate*.json")):
            cell = json.loads(path.read_text())
            if "error" not in cell:
                valid = cell["valid"]
                score = valid["forces_mae_meV_per_A"] + valid["energy_mae_meV_per_atom"]
                self._tuned.setdefault(cell["model"], {})[cell["learning_rate"]] = score

    def chose_highest(self, model: str) -> bool:
        """Whether the best of the rates tried is the highest: the best one may lie beyond."""
        scores = self._tuned.get(model, {})
        return bool(scores) and min(scores, key=scores.__getitem__) == max(scores)

    def done(self, model: str) -> list[Record]:
        """The cells without error."""
        return [cell for cell in self.cells.get(model, []) if "error" not in cell]

    def forces(self, model: str) -> dict[int, float]:
        """Force MAE in meV/A, by seed."""
        return {cell["seed"]: cell["test"]["forces_mae_meV_per_A"] for cell in self.done(model)}

    def difference(self, model: str, other: str) -> Difference | None:
        """Force MAE of a model less that of another, at equal seeds."""
        return paired_difference(self.forces(model), self.forces(other))

    def fastest(self, model: str, structures: int = 1, mode: str | None = None) -> Record | None:
        """Time of energies and forces in the fastest mode, or in the one named."""
        own = [record for record in self.times if (record["model"], record["structures"]) == (model, structures)]
        own = [record for record in own if "error" not in record and mode in (None, record["mode"])]
        return min(own, key=lambda record: record["us_per_atom"]) if own else None


def molecules(folder: Path = FOLDER) -> list[str]:
    """Molecules with results."""
    return sorted({path.name.split("-")[0] for path in folder.glob("*-seed*.json")})


def page(folder: Path = FOLDER) -> str:
    """What `benchmarks.tables` shows."""
    parts = []
    for molecule in molecules(folder):
        results = Results(molecule, folder)
        picture = f"![Errors against times](peers/{molecule}-pareto.png)"
        parts += [
            f"### {molecule}",
            caption(results),
            table(results),
            verdicts(results),
            control(results, folder),
            picture,
        ]
    return "\n\n".join(parts) if parts else "Not run yet."


def caption(results: Results) -> str:
    """How the cells were made."""
    cells = [cell for model in results.models for cell in results.done(model)]
    minutes = sorted({cell["minutes"] for cell in cells})
    threads = sorted({cell["threads"] for cell in cells})
    text = (
        f"{' and '.join(f'{value:g}' for value in minutes)} minutes of training, "
        f"{' and '.join(map(str, threads))} thread(s); the same frames, loss and schedule for all, three learning "
        "rates each, chosen on the validation frames in short trainings; test frames used once a cell. Ours is trained "
        "compiled, which is its default (compiling is not counted), the peers eagerly. Errors: mean and standard "
        "deviation over seeds."
    )
    highest = [model for model in results.models if results.chose_highest(model)]
    if highest:
        text += (
            f" The short trainings chose the highest of the three rates for {', '.join(highest)}: a still higher one "
            "might do better."
        )
    for cell in results.diverged:
        found = cell["test"]["forces_mae_meV_per_A"]
        text += (
            f" {cell['model']}, seed {cell['seed']}, diverged with the learning rate {cell['learning_rate']:g} that "
            f"short trainings had chosen (its best weights: {found:.1f} meV/A); the next lower rate took its place."
        )
    shares = [cell["cpu_seconds_per_second"] / cell["threads"] for cell in cells]
    disturbed = [share for share in shares if share < UNDISTURBED]
    if disturbed:
        text += (
            f" In {len(disturbed)} of {len(cells)} cells another program took part of the processor (lowest share "
            f"{min(disturbed):.0%}): equal minutes were not equal work there."
        )
    published = PUBLISHED.get(results.molecule, {})
    if published:
        found = ", ".join(f"{name} {value}" for name, value in published.items())
        text += (
            " Published force MAE by the same protocol (950 + 50 frames of rMD17), without a limit of minutes "
            f"(arXiv:2206.07697, table 1): {found}."
        )
    missing = [model for model in RECIPES if model not in (*results.models, CONTROL)]
    few = [model for model in results.models if len(results.done(model)) < 3]
    return f"{text} Not run: {', '.join(missing) or 'none'}; fewer than three seeds: {', '.join(few) or 'none'}."


def table(results: Results) -> str:
    """One row a model."""
    rows = [
        "| model | seeds | parameters | learning rate | batch | steps | ms/step | force MAE (meV/A) | energy MAE "
        "(meV) | E+F, one structure (µs/atom): eager | fastest mode | 32 structures, fastest |",
        "|" + "---|" * 12,
    ]
    for model in results.models:
        cells = results.done(model)
        if not cells:
            rows.append(f"| {model} | failed: {results.cells[model][0]['error']} |" + " |" * 10)
            continue
        best = results.fastest(model)
        energies = [cell["test"]["energy_mae_meV"] for cell in cells]
        row = [
            model,
            str(len(cells)),
            f"{cells[0]['parameters']:,}",
            f"{cells[0]['learning_rate']:g}",
            str(cells[0]["recipe"]["batch_size"]),
            f"{statistics.fmean(cell['steps'] for cell in cells):.0f}",
            f"{statistics.fmean(cell['mean_ms_per_step'] for cell in cells):.1f}",
            spread(list(results.forces(model).values())),
            spread(energies),
            shown(results.fastest(model, mode="eager")),
            f"{shown(best)} ({best['mode']})" if best else "",
            shown(results.fastest(model, structures=32)),
        ]
        rows.append("| " + " | ".join(row) + " |")
    return "\n".join(rows)


def verdicts(results: Results) -> str:
    """Ours against each peer, and the aims that the project set itself."""
    peers = [model for model in results.models if model not in (BASE, SMALL, CONTROL)]
    rows = ["| peer | base less peer (meV/A) | verdict | small less peer (meV/A) | verdict |", "|---|---|---|---|---|"]
    for peer in peers:
        row = [peer]
        for own in (BASE, SMALL):
            difference = results.difference(own, peer)
            row += ["not run" if difference is None else str(difference), verdict(difference)]
        rows.append("| " + " | ".join(row) + " |")
    aims = [_aim_base(results, peers), _aim_small(results), _aim_speed(results)]
    note = "Differences: means over equal seeds with their 95 % interval (Student's t). Aims of the project:"
    return "\n".join([*rows, "", note, "", *(f"- {aim}" for aim in aims)])


def control(results: Results, folder: Path = FOLDER) -> str:
    """Whether the loop that trains the peers holds them back: small trained by it and by our own program."""
    both = Results(results.molecule, folder / "control")
    own, other = both.done(SMALL), both.done(CONTROL)
    if not own or not other:
        return "Control, small trained by the peers' loop: not run."
    of_other, of_own = (spread(list(both.forces(model).values())) for model in (CONTROL, SMALL))
    steps_of_other, steps_of_own = (round(statistics.fmean(cell["steps"] for cell in cells)) for cells in (other, own))
    return (
        f"Control: small trained for {own[0]['minutes']:g} minutes, eagerly, by the loop that trains the peers reaches "
        f"{of_other} meV/A in {steps_of_other} steps, by our own program {of_own} meV/A in {steps_of_own} "
        f"({len(own)} seed(s))."
    )


def verdict(difference: Difference | None) -> str:
    """A word on a difference of errors."""
    if difference is None:
        return ""
    if difference.half_width is None:
        return "one seed: no verdict"
    if not difference.separable:
        return "not separable"
    return "ours lower" if difference.mean < 0 else "ours higher"


def _aim_base(results: Results, peers: list[str]) -> str:
    found = {peer: results.difference(BASE, peer) for peer in peers}
    known = {peer: difference for peer, difference in found.items() if difference is not None}
    if not known:
        return "base below every peer: not run."
    short = {peer: difference for peer, difference in known.items() if difference.mean >= 0}
    sure = [peer for peer, difference in known.items() if peer not in short and difference.separable]
    text = f"its mean is below that of all {len(known)} peers run"
    if short:
        text = "missed by " + ", ".join(f"{found.mean:.1f} meV/A ({peer})" for peer, found in short.items())
    return f"base below every peer: {text}; separably below {', '.join(sure) or 'none'}."


def _aim_small(results: Results) -> str:
    difference = results.difference(SMALL, "painn")
    if difference is None:
        return "small at least as accurate as PaiNN: not run."
    return f"small at least as accurate as PaiNN: {verdict(difference)}, {difference} meV/A."


def _aim_speed(results: Results) -> str:
    own, other = results.fastest(SMALL), results.fastest("schnet")
    if own is None or other is None:
        return "small twice as fast as SchNet: not run."
    ratio = other["us_per_atom"] / own["us_per_atom"]
    return f"small twice as fast as SchNet: {'reached' if ratio >= 2 else 'missed'}, {ratio:.2f} times (fastest modes)."


def spread(values: list[float]) -> str:
    """Mean and standard deviation."""
    mean = f"{statistics.fmean(values):.1f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.1f}"


def shown(record: Record | None) -> str:
    """Microseconds per atom."""
    return "" if record is None else f"{record['us_per_atom']:.0f}"


def main() -> None:
    from benchmarks.peers.picture import draw

    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    print(page(folder))
    for molecule in molecules(folder):
        draw(Results(molecule, folder), folder / f"{molecule}-pareto.png")


if __name__ == "__main__":
    main()
