"""Error bars from trainings: of the last layer of one, or of the spread of several."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from torch_geometric.data import Data

from pyg_mpnn.files import write_json
from pyg_mpnn.models import Committee, UncertainPotential, load_potential
from pyg_mpnn.models.checks import choose_device
from pyg_mpnn.models.files import read_content
from pyg_mpnn.models.potential import Potential
from pyg_mpnn.models.sizes import compose
from pyg_mpnn.training.evaluate import label_shapes
from pyg_mpnn.training.settings import TrainingSettings
from pyg_mpnn.training.train import train
from pyg_mpnn.training.training_data import load_training_data
from pyg_mpnn.training.uncertainty import (
    QUANTITIES,
    Reliability,
    calibrate,
    deviations,
    fit_last_layer,
    plot_reliability,
    reliability,
    reliability_table,
)


@dataclass(frozen=True)
class UncertainResult:
    """A model with error bars, and what they are worth.

    Args:
        model: The model, as in the file.
        validation: Judgement on the structures that set the factors of the error bars.
        test: Judgement on the test structures; None where there were none.
        path: The file.
    """

    model: UncertainPotential
    validation: dict[str, Reliability]
    test: dict[str, Reliability] | None
    path: Path


def train_committee(
    settings: TrainingSettings,
    *,
    frames: Sequence[Data] | None = None,
    valid: Sequence[Data] | None = None,
    test: Sequence[Data] | None = None,
) -> UncertainResult:
    """Train the members of a committee, one after the other, and calibrate their spread.

    Member k is trained as by :func:`train`, with the seed ``settings.seed`` + k and the validation structures of
    ``settings.split_seed`` (or ``settings.seed``), in the folder ``member-k`` of ``settings.out``. A member that is
    complete is not trained again with ``resume``. Where ``start_from`` is the folder of a committee, each member starts
    from its own predecessor.

    Args:
        settings: What to train on and how; ``committee`` is the number of members.
        frames: As for :func:`train`.
        valid: As for :func:`train`.
        test: As for :func:`train`.

    Returns:
        The committee, also in ``settings.out``/committee.pt.

    Units:
        A and eV in the data; meV and meV/A in the reports.

    Raises:
        FileExistsError: ``settings.out`` holds something already and ``resume`` is off, or a finished committee.
        FileNotFoundError: ``resume`` is on and there is no member.
        ValueError: As for :func:`train`, or fewer than two members.

    Source:
        see :class:`~pyg_mpnn.models.Committee`.
    """
    if settings.committee < 2:
        raise ValueError(f"'committee' must be at least 2 to have a spread, got {settings.committee}")
    out = Path(settings.out)
    if not settings.resume and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(f"'out' must be a new or empty folder, got {out}: choose another, or say 'resume'")
    if (out / "committee.pt").exists():
        raise FileExistsError(f"'out' must hold no finished committee, got {out}: remove committee.pt to make it anew")
    if settings.resume and not any(out.glob("member-*")):
        raise FileNotFoundError(f"'out' must hold members to resume, got {out} without: start again without 'resume'")
    split_seed = settings.seed if settings.split_seed is None else settings.split_seed
    runs = [out / f"member-{number}" for number in range(settings.committee)]
    for number, run in enumerate(runs):
        print(f"\nMember {number + 1} of {settings.committee}, in {run}", flush=True)
        started = settings.resume and (run / "last.ckpt").is_file()
        if started and (run / "model_card.md").is_file() and _same_length(run, settings):
            print("is trained already")
            continue
        own = replace(
            settings,
            committee=1,
            out=str(run),
            seed=settings.seed + number,
            split_seed=split_seed,
            resume=started,
            start_from=_start_of(settings.start_from, number),
        )
        train(own, frames=frames, valid=valid, test=test)
    _, typed = compose(settings.size, {**settings.model, "outputs": settings.outputs})
    trust = [*settings.trust, *typed]
    return add_error_bars(
        runs, out / "committee.pt", frames=frames, valid=valid, test=test, device=settings.device, trust=trust
    )


def _start_of(start_from: str | None, number: int) -> str | None:
    """What a member starts from: the file of all, or the member of this number in the folder of a committee."""
    if start_from is None or not Path(start_from).is_dir():
        return start_from
    own = Path(start_from) / f"member-{number}" / "best.ckpt"
    if not own.is_file():
        raise FileNotFoundError(
            f"'start_from' must hold as many members as are trained, got {start_from} without {own}"
        )
    return str(own)


def _same_length(run: Path, settings: TrainingSettings) -> bool:
    """Whether a training that is complete was asked for no less than now."""
    kept = json.loads((run / "settings.json").read_text())
    return bool(kept["epochs"] == settings.epochs and kept["minutes"] == settings.minutes)


def add_error_bars(
    runs: Sequence[str | Path],
    out: str | Path,
    *,
    test_data: str | Sequence[str] | None = None,
    frames: Sequence[Data] | None = None,
    valid: Sequence[Data] | None = None,
    test: Sequence[Data] | None = None,
    num_draws: int = 8,
    device: str | None = None,
    trust: Sequence[str] = (),
) -> UncertainResult:
    """Make a model with calibrated error bars of one training or of several.

    One training gets those of its last layer (:class:`~pyg_mpnn.models.LastLayer`), several become a
    :class:`~pyg_mpnn.models.Committee`. The data are read again as the settings in the folder say; the structures that
    validated the training calibrate the error bars. Beside the file there are a picture and the judgement as JSON.

    Args:
        runs: Folders of trainings, with the same validation structures.
        out: File to write, by convention ``*.pt``.
        test_data: Structures to judge the error bars by, in place of those of the training.
        frames: As for :func:`train`, where the training had structures in memory.
        valid: The same.
        test: The same.
        num_draws: As of :class:`~pyg_mpnn.models.LastLayer`.
        device: Where to compute: ``auto``, ``cpu``, ``cuda`` or ``cuda:0``; the CPU without it. The model is returned
            there.
        trust: Code of the user's that may run.

    Returns:
        The model and the judgement of its error bars.

    Units:
        A and eV in the data; meV and meV/A in the report.

    Raises:
        FileExistsError: The file exists.
        FileNotFoundError: A folder without a training.
        ValueError: Trainings with other data, or other validation structures, or a device that torch does not have.
    """
    target = Path(out)
    if target.exists():
        raise FileExistsError(f"'out' must be a new file, got {target}: choose another name")
    if not runs:
        raise ValueError("'runs' must name at least one folder of a training, got none")
    place = choose_device(device)
    folders = [Path(run) for run in runs]
    settings = [_settings(folder) for folder in folders]
    _check_alike(folders)
    potentials = [_potential(folder, trust).to(place) for folder in folders]
    first = settings[0] if test_data is None else replace(settings[0], test=test_data)
    data = load_training_data(
        first, potentials[0].cutoffs, frames, test, valid=valid, energy=True, labels=label_shapes(potentials[0])
    )
    _check_same_data(folders[0], data.provenance)
    model: UncertainPotential
    if len(potentials) == 1:
        print(f"Fitting the last layer of {folders[0]} to its {len(data.train)} training structures ...", flush=True)
        model = fit_last_layer(potentials[0], data.train, num_draws=num_draws)
    else:
        model = Committee(*potentials).eval()
        model.compositions, model.record = potentials[0].compositions, dict(potentials[0].record)
    found = calibrate(model, data.valid)
    missing = [name for name in QUANTITIES if name not in found]
    if missing:
        print(f"Note: no references of {' or '.join(missing)} to calibrate on: factor of energies taken")
    model.save(target)
    judged, tested = reliability(model, found), None
    kind = f"{len(data.valid)} validation structures, which set the factors"
    print(f"\nError bars on {kind}:\n\n{reliability_table(judged)}")
    if data.test is not None:
        kind = f"{len(data.test)} test structures"
        found = deviations(model, data.test)
        tested = reliability(model, found)
        print(f"\nError bars on {kind}:\n\n{reliability_table(tested)}")
    picture, report = target.with_suffix(".png"), target.with_suffix(".json")
    plot_reliability(found, picture, kind)
    parts = {"validation": judged, "test": tested}
    numbers = {name: {k: asdict(v) for k, v in part.items()} for name, part in parts.items() if part is not None}
    write_json(report, {"model": type(model).__name__, "runs": [str(folder) for folder in folders], **numbers})
    print(f"\nWritten to {target}, with {picture} and {report}")
    return UncertainResult(model, judged, tested, target)


def _settings(folder: Path) -> TrainingSettings:
    path = folder / "settings.json"
    if not (folder / "best.ckpt").is_file() or not path.is_file():
        raise FileNotFoundError(
            f"'runs' must be folders of trainings, got {folder} without settings.json and best.ckpt in it"
        )
    known = {field.name for field in fields(TrainingSettings)}
    kept = {name: value for name, value in json.loads(path.read_text()).items() if name in known}
    return TrainingSettings(**{**kept, "resume": False})


def _potential(folder: Path, trust: Sequence[str]) -> Potential:
    potential = load_potential(folder / "best.ckpt", trust=trust)
    if not isinstance(potential, Potential) or not potential.has_energy:
        raise ValueError(f"'runs' must be trainings of an energy, got {folder} without one")
    return potential


def _provenance(folder: Path) -> dict[str, object]:
    found: dict[str, object] = read_content(folder / "best.ckpt", "cpu", "a checkpoint of pyg-mpnn train")["pyg_mpnn"][
        "provenance"
    ]
    return found


def _check_alike(folders: Sequence[Path]) -> None:
    first = _provenance(folders[0])
    for folder in folders[1:]:
        own = _provenance(folder)
        for name, what in (("sha256", "data"), ("validation_indices_sha256", "validation structures")):
            if own[name] != first[name]:
                raise ValueError(
                    f"'runs' must have the same {what}, got others in {folder} than in {folders[0]}: what one member "
                    "was trained on cannot calibrate it; train with the same --split-seed"
                )


def _check_same_data(folder: Path, provenance: dict[str, object]) -> None:
    kept = _provenance(folder)
    for name in ("sha256", "validation_indices_sha256"):
        if kept[name] != provenance[name]:
            raise ValueError(
                f"'runs' must be trainings whose data are still there, got {folder}, whose data have changed since"
            )
