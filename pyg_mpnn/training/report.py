"""What a training leaves beside its checkpoints: the table, the pictures, the model card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_mpnn.data import Reference
from pyg_mpnn.models import AtomwiseOutput, Output, Potential
from pyg_mpnn.training.evaluate import predict, units
from pyg_mpnn.training.judgement import PAGE, JudgedSet, write_judgement
from pyg_mpnn.training.logs import History, read_history
from pyg_mpnn.training.metrics import Errors, Predictions, compute_errors
from pyg_mpnn.training.model_card import package_versions, write_model_card
from pyg_mpnn.training.output_reference import guess_output
from pyg_mpnn.training.plots import plot_learning_curve, plot_parity
from pyg_mpnn.training.settings import TrainingSettings
from pyg_mpnn.training.table import error_table, kinds_table
from pyg_mpnn.training.training_data import TrainingData
from pyg_mpnn.training.verdict import FEWEST

MOST_TRAINING = 500  # structures for the parity of what was trained on
UNITS = {"length": "A", "energy": "eV", "forces": "eV/A", "stress": "eV/A^3, the sign of ASE", "errors": "in the names"}


def trivial_predictions(
    predictions: Predictions, frames: Sequence[Data], reference: Reference, others: Mapping[str, Tensor] | None = None
) -> Predictions:
    """The predictor to beat: the energy of the composition as fitted to the training data, no forces, no stress.

    Args:
        predictions: Any predictions for the same structures; its references are kept.
        frames: The structures.
        reference: Reference energies fitted to the training structures, without isolated atoms.
        others: Trivial predictions of the other outputs.

    Returns:
        The predictions of the trivial predictor.

    Units:
        eV, eV/A, eV/A^3.
    """
    energy = None
    if predictions.energy is not None:
        sums = [sum(reference.energies[int(z)] for z in frame.z) for frame in frames]
        energy = torch.tensor(sums, dtype=torch.float64)
    forces = None if predictions.forces is None else torch.zeros_like(predictions.forces)
    stress = None if predictions.stress is None else torch.zeros_like(predictions.stress)
    return predictions._replace(energy=energy, forces=forces, stress=stress, others=dict(others or {}))


def final_errors(potential: Potential, settings: TrainingSettings, data: TrainingData) -> tuple[Errors, Errors]:
    """Test the potential.

    Args:
        potential: The trained potential.
        settings: What the training was told; its limits of atoms or edges per batch count here too.
        data: What it was trained and is tested on.

    Returns:
        The errors of the potential and of the trivial predictor, on the test structures or, where there are none, on
        the validation structures.

    Units:
        meV and meV/A, and those of the other outputs.
    """
    _, _, errors, trivial = _test(potential, settings, data)
    return errors, trivial


def _test(
    potential: Potential, settings: TrainingSettings, data: TrainingData
) -> tuple[Predictions, Predictions, Errors, Errors]:
    frames = data.test or data.valid
    predictions = predict(potential, frames, batch_atoms=settings.batch_atoms, batch_edges=settings.batch_edges)
    others = {
        name: guess_output(potential.outputs[name], name, frames, data.train)  # type: ignore[arg-type]
        for name in predictions.others
    }
    baseline, of = trivial_predictions(predictions, frames.structures, data.trivial, others), units(potential)
    return predictions, baseline, compute_errors(predictions, of), compute_errors(baseline, of)


def write_report(potential: Potential, settings: TrainingSettings, data: TrainingData) -> tuple[Errors, Errors]:
    """Test the potential and write report.html, parity.png, learning_curve.png, model_card.md and model_card.json.

    The page has the parity of at most 500 evenly spaced training structures.

    Args:
        potential: The trained potential.
        settings: What the training was told.
        data: What it was trained and is tested on.

    Returns:
        What :func:`final_errors` returns.

    Units:
        meV and meV/A in the table and the card.
    """
    out, frames = Path(settings.out), data.test or data.valid
    kind = "test" if data.test else "validation"
    predictions, baseline, errors, trivial = _test(potential, settings, data)
    columns = {kind: errors, "trivial predictor": trivial}
    history = read_history(out / "metrics.csv")
    plot_parity(
        predictions,
        baseline.energy,
        out / "parity.png",
        f"{len(frames)} {kind} structure{'s' * (len(frames) != 1)}",
        units(potential),
    )
    plot_learning_curve(history, out / "learning_curve.png", units(potential))
    card = _card(potential, settings, data, history)
    card["warnings"] = _warnings(data, kind, errors, trivial)
    tested = JudgedSet(kind, predictions, frames, baseline.energy)
    card["verdict"] = write_judgement(
        out,
        f"Training of {out.name}",
        potential,
        [tested, *_seen(potential, settings, data)],
        units=units(potential),
        columns=columns,
        history=history,
        train=data.train,
        notes=card["warnings"],
    )
    write_model_card(out, card, columns)
    knows = "the mean energy and no forces" if potential.has_energy else "the elements alone"
    print(
        f"\nErrors on {len(frames)} {kind} structure{'s' * (len(frames) != 1)}; the trivial predictor knows {knows}:\n"
    )
    print(error_table(columns))
    if kinds := kinds_table(tested.parts.by_kind()):
        print(f"\n{kinds}")
    for warning in card["warnings"]:
        print(f"\nNote: {warning}")
    if card["verdict"]:
        print("\nBy rules of thumb (report.html says whose):\n" + "\n".join(f"- {text}" for text in card["verdict"]))
    print(f"\nReport: {out / PAGE}")
    print(f"Pictures and model card: {out / 'parity.png'}, {out / 'learning_curve.png'}, {out / 'model_card.md'}")
    return errors, trivial


def _seen(potential: Potential, settings: TrainingSettings, data: TrainingData) -> list[JudgedSet]:
    """Predictions of validation structures, where they are not the test, and of some training structures."""
    places = range(0, len(data.train), -(-len(data.train) // MOST_TRAINING))
    train = data.train if len(places) == len(data.train) else data.train.subset(places)
    some = "training" if train is data.train else f"(of {len(data.train)}) training"
    found = [("validation", data.valid)] if data.test else []
    return [
        JudgedSet(
            name,
            predict(potential, frames, batch_atoms=settings.batch_atoms, batch_edges=settings.batch_edges),
            frames,
        )
        for name, frames in [*found, (some, train)]
    ]


def _card(potential: Potential, settings: TrainingSettings, data: TrainingData, history: History) -> dict[str, Any]:
    best = min(history, key=lambda row: row["valid_score"])
    reference = data.reference
    left_out = {"data", "test", "out", "resume", "model", "isolated"}
    source = "least squares on the training structures"
    if settings.isolated or "isolated_atoms_eV" in data.provenance:
        source = "isolated atoms " + ("as given" if settings.isolated else "of the data")
    if settings.start_from is not None:
        left_out |= {"size", "cutoff"}
        source = "those of 'start_from'"
        if settings.replay is None or settings.replay_labels != "same":
            source += ", corrected by least squares to what it leaves on the training structures"
    given = {k: v for k, v in asdict(settings).items() if k not in left_out}
    energies = {
        "rank": reference.rank,
        "num_elements": reference.num_elements,
        "energies_eV": reference.energies,
        "from": source,
        "force_scale_eV_per_A": reference.scale,
    }
    outputs = {name: {"unit": part.unit, **_numbers(part)} for name, part in potential.outputs.items()}  # type: ignore[arg-type]
    return {
        "model": {
            "class": type(potential).__name__,
            "parameters": sum(parameter.numel() for parameter in potential.parameters()),
            "elements": list(potential.elements),
            "dtype": settings.dtype,
            "mean_neighbors": list(reference.neighbors),
            "config": potential.config,
        },
        "data": data.provenance,
        **({"reference_energies": energies} if potential.has_energy else {}),
        **({"outputs": outputs} if outputs else {}),
        "training": {
            **given,
            "device": next(potential.parameters()).device.type,
            "threads": torch.get_num_threads(),
            "epochs_done": int(history[-1]["epoch"]),
            "steps_done": int(history[-1]["step"]),
            "steps_skipped": int(history[-1]["skipped_steps"]),
            "recoveries": int(history[-1].get("recoveries", 0)),
            "minutes_done": round(history[-1]["minutes"], 2),
            "best_epoch": int(best["epoch"]),
            "best_by": _best_by(potential),
        },
        "units": UNITS,
        "versions": package_versions(),
    }


def _numbers(output: Output) -> dict[str, Any]:
    """What an output took from the training structures."""
    if not isinstance(output, AtomwiseOutput):
        return {}
    reference = output.atomwise.reference
    return {"numbers_of_elements": {z: float(reference[z]) for z in output.atomwise.elements}}


def _best_by(potential: Potential) -> str:
    energy = "force MAE (meV/A) + energy MAE (meV/atom)" if potential.has_energy else ""
    others = " + ".join(f"{name} MAE over its spread" for name in potential.outputs)
    between = " + 1000 x force scale x (" if energy and others else ""
    return f"validation {energy}{between}{others}{')' if between else ''} of the averaged weights"


def _warnings(data: TrainingData, kind: str, errors: Errors, trivial: Errors) -> list[str]:
    warnings = []
    enough = errors.n_structures >= FEWEST
    if enough and errors.energy_mae_meV is not None and errors.energy_mae_meV >= (trivial.energy_mae_meV or 0.0):
        warnings.append(
            "the energies are no better than those of the trivial predictor, the mean energy: train for longer, or "
            "look at the learning curve."
        )
    for name, found in errors.outputs.items():
        if found.mae >= trivial.outputs[name].mae:
            warnings.append(f"{name} is no better than the trivial predictor's: train for longer.")
    if data.reference.rank < data.reference.num_elements:
        warnings.append(data.reference.describe())
    if kind == "validation":
        warnings.append("the errors are those of the validation structures, which chose the best checkpoint.")
    shared = data.provenance.get("test_structures_also_in_data", 0)
    if shared:
        warnings.append(f"{shared} of the test structures are also in the training file: the errors are too small.")
    return warnings
