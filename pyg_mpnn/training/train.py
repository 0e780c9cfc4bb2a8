"""From a file of structures to a tested potential, with pictures and a model card."""

from __future__ import annotations

import copy
import dataclasses
import functools
import logging
import signal
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import lightning
import torch
from lightning.pytorch.callbacks import EarlyStopping, WeightAveraging
from torch.utils.data import DataLoader
from torch_geometric.data import Batch, Data

from pyg_mpnn.data import shortest_distances
from pyg_mpnn.data.dataset import PreparedStructures, as_prepared
from pyg_mpnn.data.record import make_record
from pyg_mpnn.deploy import threads_for
from pyg_mpnn.files import write_json
from pyg_mpnn.models import Potential
from pyg_mpnn.models.checks import choose_device
from pyg_mpnn.training.checkpoint import AtomicCheckpointIO, MovableCheckpoint
from pyg_mpnn.training.distributed import SumStrategy, launched_rank
from pyg_mpnn.training.evaluate import batching, evaluate_batch, label_shapes, shuffled_batching
from pyg_mpnn.training.fine_tuning import correct_reference, load_start
from pyg_mpnn.training.logs import CsvHistory, ProgressLine, check_loggers, make_loggers
from pyg_mpnn.training.metrics import Errors
from pyg_mpnn.training.module import PotentialModule
from pyg_mpnn.training.optimizer import find_optimizer
from pyg_mpnn.training.output_reference import fit_output, target_output
from pyg_mpnn.training.random_state import seed_generators
from pyg_mpnn.training.recovery import Recovery
from pyg_mpnn.training.replay import add_replay, check_replay, freeze, report_forgotten
from pyg_mpnn.training.report import final_errors, write_report
from pyg_mpnn.training.resumption import check_folder, read_last, training_folder, why_finished
from pyg_mpnn.training.sampler import BatchShare, divide
from pyg_mpnn.training.schedule import moving_average
from pyg_mpnn.training.settings import TrainingSettings
from pyg_mpnn.training.training_data import TrainingData, check_batches, check_elements, load_training_data

VALID_BATCH_SIZE = 32
_NOISE = (  # warnings of Lightning that a user of this package can do nothing about
    "The '.*_dataloader' does not have many workers",
    "Checkpoint directory .* exists and is not empty",
    "You're resuming from a checkpoint that ended before the epoch ended",
    "GPU available but not used",
    ".*isinstance\\(treespec, LeafSpec\\)",
    "It is recommended to use .*sync_dist=True",  # the values are those of all processes already
)


@dataclass(frozen=True)
class TrainingResult:
    """What a training leaves.

    Args:
        potential: The best potential, as in best.ckpt.
        errors: Its errors on the test structures, or on the validation structures where there are none.
        trivial: The errors of the trivial predictor there: the mean training energy per composition, no forces.
        out: The folder with the results.
    """

    potential: Potential
    errors: Errors
    trivial: Errors
    out: Path


def train(
    settings: TrainingSettings,
    potential: Potential | None = None,
    *,
    frames: Sequence[Data] | None = None,
    valid: Sequence[Data] | None = None,
    test: Sequence[Data] | None = None,
    report: bool = True,
) -> TrainingResult:
    """Train a model, test it, and write the results to ``settings.out``.

    What is learned is what the model gives: energies and forces, other outputs from the fields of their names, or both;
    each from the structures that have a reference of it. With ``settings.target`` it is one property of QM9.

    Muon, or another optimizer, under Lightning's Trainer, with averaged weights, gradient clipping, warm-up and
    cosine decay. ``best.ckpt`` holds the averaged weights with the lowest sum of validation force MAE (meV/A) and
    energy MAE (meV per atom), to which the errors of other outputs are added in units of their spread (``score`` in
    ``metrics.py``); ``last.ckpt`` is written after every epoch and holds all that ``resume`` needs. Where the
    training diverges, it goes back to ``best.ckpt`` with half the learning rate (``recovery.py``). Python's, NumPy's
    and PyTorch's global generators are seeded with ``settings.seed``.

    Args:
        settings: What to train on and how.
        potential: A potential to train in place of the one that ``settings`` describes by size, cutoff and model; its
            reference energies are fitted here.
        frames: Structures in memory in place of the file ``settings.data``, which then only names them; PyG's own MD17
            and QM9 are understood.
        valid: Structures in memory to validate, in place of a part of ``frames``.
        test: The same for ``settings.test``.
        report: Whether report, pictures and model card are written; without them the training ends with its errors.

    Returns:
        The best potential and its errors.

    Units:
        A and eV in the data; meV and meV/A in the reports; other outputs in their own units.

    Raises:
        ImportError: A log was asked for whose package is not installed.
        FileExistsError: ``settings.out`` holds something already and ``resume`` is off.
        FileNotFoundError: A file is absent, or ``resume`` is on and there is no last.ckpt.
        TypeError: ``potential`` is none that can be trained, for instance a sum.
        ValueError: The data are unusable, several potentials are asked for (:func:`train_committee`), or a setting
            differs from those of the interrupted training.
        ConnectionError: Another process of the training is gone.
        FloatingPointError: The training diverged (10 steps in a row or validation errors that are not finite, or errors
            that rose tenfold) for the sixth time, or before there is a checkpoint.

    Source:
        optimizer: see :class:`~pyg_mpnn.training.Muon`; loss, schedule and averaging: own design, measured on
        rMD17.
    """
    if potential is not None and not isinstance(potential, Potential):
        raise TypeError(
            f"'potential' must be a Potential, got {type(potential).__name__}: train the part that is to learn, on the "
            "difference to the others (pyg_mpnn.data.subtract_baseline), and sum them afterwards (SumPotential)."
        )
    if settings.committee > 1:
        raise ValueError(f"'committee' must be 1 for one potential, got {settings.committee}: call train_committee")
    out = Path(settings.out)
    first = launched_rank(settings.devices, settings.num_nodes) == 0
    last = check_folder(out, settings.resume) if first else out / "last.ckpt" if settings.resume else None
    check_loggers(settings)
    find_optimizer(settings.optimizer)
    choose_device(settings.device)
    seed_generators(settings.seed)
    potential = _build(settings) if potential is None else _checked(potential, settings)
    if settings.replay is not None:
        check_replay(potential)
    shapes = label_shapes(potential)
    data = load_training_data(
        settings, potential.cutoffs, frames, test, valid=valid, energy=potential.has_energy, labels=shapes
    )
    mode, why_eager = settings.compile_mode(len(data.train))
    if mode == "auto" and potential.why_eager is not None:
        mode, why_eager = "off", potential.why_eager
    threads = threads_for(mode, settings.threads)
    if threads is not None:
        torch.set_num_threads(threads)
    old = {} if potential.atomwise is None else {z: float(potential.atomwise.reference[z]) for z in potential.elements}
    data, spreads = _fit_references(potential, settings, data)
    replay = None
    if settings.replay is not None:
        data, replay = add_replay(data, settings, potential, old)
    if settings.freeze:
        freeze(potential, settings.freeze)
    check_batches(data, settings, potential.cutoffs)
    check_elements(data, potential.elements)
    potential.compile(mode)
    module = PotentialModule(potential, settings, data.provenance, spreads)
    checkpoint = None if last is None else read_last(last, module)
    with training_folder(out, settings.resume) if first else nullcontext():
        if first:
            write_json(out / "settings.json", asdict(settings))
            _announce(module, data, why_eager)
        finished = None if checkpoint is None else why_finished(checkpoint, settings)
        if finished is not None:
            print(f"{finished} Writing the report again.")
        else:
            with _quiet_lightning():
                _fit(module, data, last)
        _load_best(module, out / "best.ckpt")
        judge = write_report if report and first else final_errors
        errors, trivial = judge(potential, settings, data)
        if replay is not None and first:
            report_forgotten(replay, potential, settings)
    return TrainingResult(potential.compile("off"), errors, trivial, out)


def _build(settings: TrainingSettings) -> Potential:
    """The model that the settings describe."""
    dtype = getattr(torch, settings.dtype)
    if settings.start_from is not None:
        return load_start(settings.start_from, dtype, settings.trust)
    options = {
        "zbl": settings.zbl and not settings.without_energy,
        "outputs": settings.outputs,
        "energy": not settings.without_energy,
    }
    options |= settings.model
    if settings.target is not None:
        options = {**settings.model, "energy": False, "outputs": {settings.target: target_output(settings.target)}}
    return Potential.from_size(settings.size, cutoff=settings.cutoff, **options).to(dtype)


def _checked(potential: Potential, settings: TrainingSettings) -> Potential:
    """A model that was given, which must be what the settings say."""
    if settings.start_from is not None:
        raise ValueError(f"'potential' must be None with 'start_from' {settings.start_from!r}: give one of them.")
    if settings.target is not None and (potential.has_energy or list(potential.outputs) != [settings.target]):
        given = ", ".join([*(["energy"] if potential.has_energy else []), *potential.outputs])
        raise ValueError(f"'potential' must have the output {settings.target!r} alone, as 'target' says, got {given}.")
    return potential


def _fit_references(
    potential: Potential, settings: TrainingSettings, data: TrainingData
) -> tuple[TrainingData, dict[str, float]]:
    """Set what is taken from the training structures and not trained; the spreads of the other outputs."""
    unknown = sorted(set(settings.output_weights) - set(potential.outputs))
    if unknown:
        raise ValueError(
            f"'output_weights' must name outputs ({', '.join(potential.outputs) or 'none'}), got {unknown}."
        )
    reference = data.reference
    if not potential.has_energy:
        potential.set_neighbors(reference.neighbors)
    elif settings.start_from is not None:
        same_level = settings.replay is not None and settings.replay_labels == "same"
        reference = correct_reference(potential, data.train, reference, same_level)
        potential.set_reference(reference.energies, reference.scale)
    else:
        potential.set_reference(reference.energies, reference.scale, reference.neighbors)
    if potential.has_energy:
        potential.compositions = list(reference.compositions)  # at the level of theory of the data
    distances = shortest_distances(data.train, potential.cutoff)
    potential.record = make_record(data.train, distances, data.provenance["labels"])
    if potential.zbl is not None and settings.start_from is None:
        potential.zbl.set_distances(distances)
    spreads = {}
    for name, output in potential.all_outputs().items():
        kept = copy.deepcopy(output.state_dict())
        spreads[name] = fit_output(output, name, data.train)
        if settings.start_from is not None:  # what its weights go with
            output.load_state_dict(kept)
    return dataclasses.replace(data, reference=reference), spreads


def _announce(module: PotentialModule, data: TrainingData, why_eager: str | None = None) -> None:
    settings, potential = module.settings, module.potential
    length = f"{settings.epochs} epochs" if settings.epochs is not None else f"{settings.minutes:g} minutes"
    length = length.removesuffix("s") if length.startswith("1 ") else length
    parameters = sum(parameter.numel() for parameter in potential.parameters())
    frozen = sum(parameter.numel() for parameter in potential.parameters() if not parameter.requires_grad)
    of_them = f", {frozen:,} of them frozen" if frozen else ""
    processes = f" with {settings.processes} processes" if settings.processes > 1 else ""
    print(
        f"Training {type(potential).__name__} ({parameters:,} parameters{of_them}, {settings.dtype}) for {length} on "
        f"{len(data.train)} structure{'s' * (len(data.train) != 1)}, validating on {len(data.valid)}{processes}",
        flush=True,
    )
    if potential.zbl is not None and settings.start_from is None:
        print(
            "Nuclei repel inside 0.9 times the shortest distances of the training structures (ZBL; --no-zbl)",
            flush=True,
        )
    for note in data.notes:
        print(note, flush=True)
    if why_eager is not None:
        print(f"Not compiled: {why_eager} (--compile)", flush=True)


def _fit(module: PotentialModule, data: TrainingData, last: Path | None) -> None:
    settings = module.settings
    out, dtype, cutoffs = Path(settings.out), getattr(torch, settings.dtype), module.potential.cutoffs
    shapes = label_shapes(module.potential)
    seen = as_prepared(data.train, cutoffs, dtype, shapes)
    held_out = as_prepared(data.valid, cutoffs, dtype, shapes)
    trainer = _trainer(module, out)
    if module.potential.compiler is not None:
        _compile(module.to(trainer.strategy.root_device), seen)
    # A generator of its own: otherwise each new iterator would draw from the global one.
    generator = torch.Generator().manual_seed(settings.seed)
    sizes = settings.batch_size, settings.batch_atoms, settings.batch_edges
    order = shuffled_batching(seen, *sizes, seed=settings.seed)
    part = torch.arange(len(held_out)).tensor_split(trainer.world_size)[trainer.global_rank].tolist()
    handler = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(
            module,
            DataLoader(
                seen,  # type: ignore[arg-type]
                batch_sampler=BatchShare(order, trainer.global_rank, trainer.world_size),
                collate_fn=functools.partial(divide, parts=settings.accumulate),
                generator=generator,
                num_workers=settings.workers,
                persistent_workers=settings.workers > 0,
            ),
            DataLoader(
                held_out,  # type: ignore[arg-type]
                batch_sampler=batching(held_out, VALID_BATCH_SIZE, *sizes[1:], places=part),
                collate_fn=Batch.from_data_list,
                generator=generator,
            ),
            ckpt_path=last,
            weights_only=True,
        )
        module.to(trainer.strategy.root_device)  # Lightning has moved it to the CPU
    except SystemExit as stop:  # Lightning's answer to Ctrl-C, after which it ignores further ones
        signal.signal(signal.SIGINT, handler)
        raise KeyboardInterrupt from stop


def _compile(module: PotentialModule, seen: PreparedStructures) -> None:
    """Compile before the clock starts, by one evaluation for training and one for validation."""
    batch = Batch.from_data_list([seen[k % len(seen)] for k in range(3)]).to(module.device)
    for training in (False, True):  # and leave it in training mode, which Lightning keeps
        module.potential.train(training)
        evaluate_batch(module.potential, batch, stress=not training or module.settings.stress_weight > 0)


def _load_best(module: PotentialModule, path: Path) -> None:
    checkpoint = torch.load(path, map_location=module.device, weights_only=True)
    module.load_state_dict(checkpoint["state_dict"])
    module.potential.eval()


def _trainer(module: PotentialModule, out: Path) -> lightning.Trainer:
    settings = module.settings
    place = choose_device(settings.device)
    assert place is not None
    threads = threads_for("off" if module.potential.compiler is None else "on", settings.threads)
    # best before last: last.ckpt then knows the best score of its own epoch.
    best = MovableCheckpoint(
        out, "best", monitor="valid_score", enable_version_counter=False, save_on_train_epoch_end=True
    )
    last = MovableCheckpoint(out, "last", enable_version_counter=False, save_on_train_epoch_end=True)
    rule = moving_average(settings.ema_decay, lambda: module.global_step)
    average = WeightAveraging(use_buffers=False, multi_avg_fn=rule)
    callbacks = [ProgressLine(), average, Recovery(best, average), CsvHistory(out / "metrics.csv")]
    if settings.patience is not None:
        callbacks.append(
            EarlyStopping("valid_score", patience=settings.patience, check_finite=False, check_on_train_epoch_end=True)
        )
    return lightning.Trainer(
        accelerator=place.type,
        devices=settings.devices if place.index is None else [place.index],
        num_nodes=settings.num_nodes,
        strategy="auto" if settings.processes == 1 else SumStrategy(threads),
        max_epochs=-1 if settings.epochs is None else settings.epochs,
        callbacks=[*callbacks, best, last],
        plugins=[AtomicCheckpointIO(module.potential)],
        default_root_dir=out,
        logger=make_loggers(settings),
        log_every_n_steps=1,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        inference_mode=False,
    )


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Hide what Lightning says about hardware, tips and its own defaults; other warnings stay."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            for message in _NOISE:
                warnings.filterwarnings("ignore", message)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
