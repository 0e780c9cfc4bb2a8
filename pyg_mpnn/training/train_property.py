"""From molecules with one property to a tested property model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader

from pyg_mpnn.data import QM9, QM9_TARGETS, StructureDataset, data_hash
from pyg_mpnn.data.frames import check_frame
from pyg_mpnn.files import write_json
from pyg_mpnn.models import PropertyModel
from pyg_mpnn.models.checks import check_device
from pyg_mpnn.training.evaluate import batching
from pyg_mpnn.training.history import read_history
from pyg_mpnn.training.loggers import check_loggers
from pyg_mpnn.training.model_card import package_versions
from pyg_mpnn.training.property_module import PropertyModule
from pyg_mpnn.training.property_reference import design_matrix, fit_property_reference
from pyg_mpnn.training.random_state import seed_generators
from pyg_mpnn.training.resumption import check_folder, read_last, training_folder, why_finished
from pyg_mpnn.training.settings import TrainingSettings
from pyg_mpnn.training.train import _announce, _fit, _load_best, _quiet_lightning
from pyg_mpnn.training.training_data import TrainingData, check_batches


@dataclass(frozen=True)
class PropertyResult:
    """What a training of a property leaves.

    Args:
        model: The best model, as in best.ckpt.
        mae: Its mean absolute error on the test molecules.
        composition_mae: That of the fit with one number for each element (for a dipole: of the mean training target).
        mean_mae: That of the mean training target.
        unit: Unit of the errors.
        out: The folder with the results.
    """

    model: PropertyModel
    mae: float
    composition_mae: float
    mean_mae: float
    unit: str
    out: Path


def train_property(
    settings: TrainingSettings,
    model: PropertyModel | None = None,
    *,
    parts: tuple[Sequence[Data], Sequence[Data], Sequence[Data]] | None = None,
) -> PropertyResult:
    """Train a property model, test it, and write the results to ``settings.out``.

    The same loop as :func:`train` (Adam, averaged weights, warm-up and cosine, resumption, checkpoints), with the loss
    of :class:`PropertyModule`. ``best.ckpt`` has the lowest mean absolute error on the validation molecules;
    ``result.json`` the errors, settings and hashes.

    Args:
        settings: ``target`` names the property, ``data`` the folder of QM9; ``valid_size`` and what concerns energies
            and forces has no effect.
        model: A model to train in place of the one that ``settings`` describes by target, size, cutoff and model.
        parts: Molecules with ``target`` to train on, to validate and to test, in place of those of QM9's own split.

    Returns:
        The best model and its errors.

    Units:
        those of the target, see ``QM9_TARGETS``.

    Raises:
        ImportError: A log was asked for whose package is not installed.
        FileExistsError: ``settings.out`` holds something already and ``resume`` is off.
        FileNotFoundError: QM9 is not there, or ``resume`` is on and there is no last.ckpt.
        ValueError: An unknown target, unusable molecules, or a setting that differs from the interrupted training.
        FloatingPointError: The training diverged.

    Source:
        as for :func:`train`.
    """
    target = settings.target
    if target not in QM9_TARGETS:
        raise ValueError(f"'target' must be one of {', '.join(QM9_TARGETS)}, got {target!r}.")
    if parts is None and Path(str(settings.data)).is_file():
        raise ValueError(
            f"'data' must be a folder with QM9, or an empty one for it, where 'target' is given, got the file "
            f"{str(settings.data)!r}: leave 'target' out to learn energies and forces from a file."
        )
    if settings.compile == "on":
        raise ValueError("'compile' must be 'off' or 'auto' for a property, got 'on': properties are not compiled.")
    out = Path(settings.out)
    last = check_folder(out, settings.resume)
    check_loggers(settings)
    if settings.device == "cuda":
        check_device(settings.device)
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    seed_generators(settings.seed)
    info = QM9_TARGETS[target]
    if model is None:
        model = PropertyModel.from_size(settings.size, kind=info.kind, cutoff=settings.cutoff or 5.0, **settings.model)
        model = model.to(getattr(torch, settings.dtype))
    data, spread = _load(settings, parts, model)
    check_batches(data, settings, model.cutoffs)
    reference = data.reference
    model.set_reference(reference.energies, reference.scale, reference.neighbors)
    module = PropertyModule(model, settings, spread, info.unit, provenance=data.provenance)
    checkpoint = None if last is None else read_last(last, module)
    with training_folder(out, settings.resume):
        write_json(out / "settings.json", asdict(settings))
        _announce(module, data)
        finished = None if checkpoint is None else why_finished(checkpoint, settings)
        if finished is not None:
            print(f"{finished} Writing the result again.")
        else:
            with _quiet_lightning():
                _fit(module, data, last)
        _load_best(module, out / "best.ckpt")
        return _report(model, settings, data)


def predict_property(
    model: PropertyModel,
    frames: Sequence[Data],
    *,
    batch_size: int = 32,
    batch_atoms: int | None = None,
    batch_edges: int | None = None,
) -> torch.Tensor:
    """Predict the property of molecules.

    Args:
        model: The model; it is used on the device and in the precision that it has.
        frames: Molecules.
        batch_size: Molecules per batch; it changes the speed and the memory, not the result.
        batch_atoms: Atoms per batch at most, in place of ``batch_size``.
        batch_edges: Edges per batch at most, in place of ``batch_size``.

    Returns:
        One value a molecule, float64, on the CPU.

    Units:
        that of the target.
    """
    dataset = StructureDataset(frames, model.cutoffs, dtype=model.dtype)
    was_training, device = model.training, next(model.parameters()).device
    model.eval()
    with torch.no_grad():
        loader = DataLoader(dataset, batch_sampler=batching(dataset, batch_size, batch_atoms, batch_edges))
        values = [model(batch.to(device)).cpu() for batch in loader]
    model.train(was_training)
    return torch.cat(values)


def _load(
    settings: TrainingSettings, parts: Sequence[Sequence[Data]] | None, model: PropertyModel
) -> tuple[TrainingData, float]:
    split_hash = None
    if parts is None:
        molecules = QM9(str(settings.data), settings.target)
        split = molecules.split(0)
        split_hash = split.sha256
        parts = [[molecules[place] for place in places] for places in (split.train, split.valid, split.test)]
    for name, part in zip(("train", "valid", "test"), parts, strict=True):
        if not len(part):
            raise ValueError(f"'parts' must hold molecules to train on, to validate and to test, got none for {name}.")
        for index, frame in enumerate(part):
            check_frame(frame, f"molecule {index} of {name}", ("target",))
    train, valid, test = (list(part) for part in parts)
    fitted = fit_property_reference(train, model.kind, model.cutoffs)
    provenance: dict[str, Any] = {"file": settings.data, "split_sha256": split_hash, "sha256": data_hash(train)}
    for name, part in (("training", train), ("validation", valid), ("test", test)):
        provenance |= {f"{name}_structures": len(part), f"{name}_indices_sha256": data_hash(part)}
    return TrainingData(train, valid, test, fitted.reference, fitted.reference, provenance), fitted.spread


def _report(model: PropertyModel, settings: TrainingSettings, data: TrainingData) -> PropertyResult:
    unit, out = QM9_TARGETS[str(settings.target)].unit, Path(settings.out)
    truth = np.array([float(frame.target) for frame in data.test])
    mean = float(np.mean([float(frame.target) for frame in data.train]))
    numbers = data.reference.energies
    fit = design_matrix(data.test, model.kind, list(numbers)) @ np.array(list(numbers.values()))
    composition = np.full(len(truth), mean) if model.kind == "dipole" else fit
    predicted = predict_property(
        model, data.test, batch_atoms=settings.batch_atoms, batch_edges=settings.batch_edges
    ).numpy()
    mae, composition_mae, mean_mae = (float(np.abs(values - truth).mean()) for values in (predicted, composition, mean))
    history = read_history(out / "metrics.csv")
    record = {
        "target": settings.target,
        "unit": unit,
        "test_mae": mae,
        "test_mae_of_composition": composition_mae,
        "test_mae_of_mean": mean_mae,
        "validation_mae": min(row["valid_mae"] for row in history),
        "epochs_done": int(history[-1]["epoch"]),
        "steps_done": int(history[-1]["step"]),
        "steps_skipped": int(history[-1]["skipped_steps"]),
        "recoveries": int(history[-1].get("recoveries", 0)),
        "minutes_done": history[-1]["minutes"],
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "config": model.config,
        "data": data.provenance,
        "settings": asdict(settings),
        "versions": package_versions(),
    }
    write_json(out / "result.json", record)
    print(
        f"\nMean absolute error of {settings.target} on {len(truth)} test molecules: {mae:.4g} {unit} (composition "
        f"alone: {composition_mae:.4g}, mean: {mean_mae:.4g})\nWritten to {out / 'result.json'}"
    )
    return PropertyResult(model, mae, composition_mae, mean_mae, unit, out)
