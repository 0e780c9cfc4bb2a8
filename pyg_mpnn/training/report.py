"""What a training leaves beside its checkpoints: the table, the pictures, the model card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch_geometric.data import Data

from pyg_mpnn.data import Reference
from pyg_mpnn.models import Potential
from pyg_mpnn.training.evaluate import predict
from pyg_mpnn.training.history import History, read_history
from pyg_mpnn.training.metrics import Errors, Predictions, compute_errors
from pyg_mpnn.training.model_card import package_versions, write_model_card
from pyg_mpnn.training.plots import plot_learning_curve, plot_parity
from pyg_mpnn.training.settings import TrainingSettings
from pyg_mpnn.training.table import error_table
from pyg_mpnn.training.training_data import TrainingData

UNITS = {"length": "A", "energy": "eV", "forces": "eV/A", "stress": "eV/A^3, the sign of ASE", "errors": "in the names"}


def trivial_predictions(predictions: Predictions, frames: Sequence[Data], reference: Reference) -> Predictions:
    """The predictor to beat: the energy of the composition as fitted to the training data, no forces, no stress.

    Args:
        predictions: Any predictions for the same structures; its references are kept.
        frames: The structures.
        reference: Reference energies fitted to the training structures, without isolated atoms.

    Returns:
        The predictions of the trivial predictor.

    Units:
        eV, eV/A, eV/A^3.
    """
    energy = [sum(reference.energies[int(z)] for z in frame.z) for frame in frames]
    stress = None if predictions.stress is None else torch.zeros_like(predictions.stress)
    return predictions._replace(
        energy=torch.tensor(energy, dtype=torch.float64), forces=torch.zeros_like(predictions.forces), stress=stress
    )


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
        meV and meV/A.
    """
    _, _, errors, trivial = _test(potential, settings, data)
    return errors, trivial


def _test(
    potential: Potential, settings: TrainingSettings, data: TrainingData
) -> tuple[Predictions, Predictions, Errors, Errors]:
    frames = data.valid if data.test is None else data.test
    predictions = predict(potential, frames, batch_atoms=settings.batch_atoms, batch_edges=settings.batch_edges)
    baseline = trivial_predictions(predictions, frames.structures, data.trivial)
    return predictions, baseline, compute_errors(predictions), compute_errors(baseline)


def write_report(potential: Potential, settings: TrainingSettings, data: TrainingData) -> tuple[Errors, Errors]:
    """Test the potential and write parity.png, learning_curve.png, model_card.md and model_card.json.

    Args:
        potential: The trained potential.
        settings: What the training was told.
        data: What it was trained and is tested on.

    Returns:
        What :func:`final_errors` returns.

    Units:
        meV and meV/A in the table and the card.
    """
    out, frames = Path(settings.out), data.valid if data.test is None else data.test
    kind = "validation" if data.test is None else "test"
    predictions, baseline, errors, trivial = _test(potential, settings, data)
    columns = {kind: errors, "trivial predictor": trivial}
    history = read_history(out / "metrics.csv")
    plot_parity(predictions, baseline.energy, out / "parity.png", f"{len(frames)} {kind} structures")
    plot_learning_curve(history, out / "learning_curve.png")
    card = _card(potential, settings, data, history)
    card["warnings"] = _warnings(data, kind, errors, trivial)
    write_model_card(out, card, columns)
    print(f"\nErrors on {len(frames)} {kind} structures; the trivial predictor knows the mean energy and no forces:\n")
    print(error_table(columns))
    for warning in card["warnings"]:
        print(f"\nNote: {warning}")
    print(f"\nPictures and model card: {out / 'parity.png'}, {out / 'learning_curve.png'}, {out / 'model_card.md'}")
    return errors, trivial


def _card(potential: Potential, settings: TrainingSettings, data: TrainingData, history: History) -> dict[str, Any]:
    best = min(history, key=lambda row: row["valid_score"])
    reference = data.reference
    left_out = {"data", "test", "out", "resume", "model", "isolated"}
    source = "least squares on the training structures"
    if settings.isolated or "isolated_atoms_eV" in data.provenance:
        source = "isolated atoms" + (" as given" if settings.isolated else " of the data")
    if settings.start_from is not None:
        left_out |= {"size", "cutoff"}
        source = "those of 'start_from', corrected by least squares to what it leaves on the training structures"
    given = {k: v for k, v in asdict(settings).items() if k not in left_out}
    return {
        "model": {
            "class": type(potential).__name__,
            "parameters": sum(parameter.numel() for parameter in potential.parameters()),
            "elements": list(potential.elements),
            "dtype": settings.dtype,
            "config": potential.config,
        },
        "data": data.provenance,
        "reference_energies": {
            "rank": reference.rank,
            "num_elements": reference.num_elements,
            "energies_eV": reference.energies,
            "from": source,
            "force_scale_eV_per_A": reference.scale,
            "mean_neighbors": list(reference.neighbors),
        },
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
            "best_by": "validation force MAE (meV/A) + energy MAE (meV/atom) of the averaged weights",
        },
        "units": UNITS,
        "versions": package_versions(),
    }


def _warnings(data: TrainingData, kind: str, errors: Errors, trivial: Errors) -> list[str]:
    warnings = []
    both = errors.energy_mae_meV, trivial.energy_mae_meV
    if None not in both and both[0] >= both[1]:  # type: ignore[operator]
        warnings.append(
            "the energies are no better than those of the trivial predictor, the mean energy: train for longer, or "
            "look at the learning curve."
        )
    if data.reference.rank < data.reference.num_elements:
        warnings.append(data.reference.describe())
    if kind == "validation":
        warnings.append("the errors are those of the validation structures, which chose the best checkpoint.")
    shared = data.provenance.get("test_structures_also_in_data", 0)
    if shared:
        warnings.append(f"{shared} of the test structures are also in the training file: the errors are too small.")
    return warnings
