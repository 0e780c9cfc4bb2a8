"""How a training goes: metrics.csv, TensorBoard and Weights & Biases, and the line on the terminal."""

from __future__ import annotations

import csv
import importlib.util
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback, ProgressBar
from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger

from pyg_mpnn.files import write_whole
from pyg_mpnn.training.module import PotentialModule
from pyg_mpnn.training.settings import TrainingSettings

History = list[dict[str, float]]


def read_history(path: Path) -> History:
    """Read a log.

    Args:
        path: The CSV file; an absent one is an empty log.

    Returns:
        One mapping from column to value per epoch; without the columns that an older version did not write.
    """
    if not path.exists():
        return []
    with open(path, newline="") as file:
        return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]


class CsvHistory(Callback):
    """Writes ``epoch``, ``step`` and everything that was logged, one line per epoch.

    After a resumption the lines of epochs that are run again are replaced.

    Args:
        path: The CSV file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: History = []

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Read the lines of the epochs done before an interruption."""
        self.rows = [row for row in read_history(self.path) if row["epoch"] <= trainer.current_epoch]

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Add one line; the file is replaced as a whole, so it is never half written."""
        if not trainer.is_global_zero:
            return
        values: dict[str, Any] = {"epoch": trainer.current_epoch + 1, "step": trainer.global_step}
        values |= {name: float(value) for name, value in trainer.callback_metrics.items()}
        values["recoveries"] = float(getattr(pl_module, "recoveries", 0))  # those after this epoch too
        self.rows.append(values)
        with write_whole(self.path) as file:
            columns = dict.fromkeys(name for row in self.rows for name in row)  # old rows may have others
            writer = csv.DictWriter(file, fieldnames=list(columns))
            writer.writeheader()
            writer.writerows(self.rows)


def check_loggers(settings: TrainingSettings) -> None:
    """Refuse a log whose package is absent, before time is spent on the data.

    Args:
        settings: ``tensorboard`` and ``wandb`` count.

    Raises:
        ImportError: The package is not installed.
    """
    for name, wanted in (("tensorboard", settings.tensorboard), ("wandb", settings.wandb is not None)):
        if wanted and importlib.util.find_spec(name) is None:
            raise ImportError(
                f"'{name}' needs the package {name}, which is not installed: pip install {name}, or leave it out "
                "(metrics.csv has the same numbers)."
            )


def make_loggers(settings: TrainingSettings) -> list[Logger]:
    """The logs that were asked for; the columns of metrics.csv, once an epoch.

    Args:
        settings: ``tensorboard``, ``wandb`` and ``out`` count.

    Returns:
        Lightning's loggers. Weights & Biases is told the settings; offline it needs no network and no account.
    """
    loggers: list[Logger] = []
    if settings.tensorboard:
        loggers.append(TensorBoardLogger(settings.out, name="tensorboard", version=""))
    if settings.wandb is not None:
        out = Path(settings.out)
        loggers.append(
            WandbLogger(
                name=out.name,
                save_dir=out,
                project="pyg_mpnn",
                offline=settings.wandb == "offline",
                log_model=False,
                config=asdict(settings),
            )
        )
    return loggers


BAR_WIDTH = 20


def clock(seconds: float) -> str:
    """A duration as minutes and seconds, or hours, minutes and seconds.

    Args:
        seconds: The duration.

    Returns:
        The text.

    Units:
        seconds in.

    Example:
        >>> clock(102), clock(3661)
        ('1:42', '1:01:01')
    """
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class ProgressLine(ProgressBar):
    """A bar over the whole training, with the validation errors beside it.

    On a terminal one line is redrawn about twice a second. Anywhere else (a file, CI) a line is printed after the first
    epoch and then each time another twentieth of the training is done.

    Args:
        stream: Where to write, an open text file; standard error without it.
        interval: Seconds between two redraws on a terminal.
    """

    def __init__(self, stream: Any = None, interval: float = 0.5) -> None:
        super().__init__()
        self.stream = stream
        self.interval = interval
        self.enabled = True
        self._last_time = float("-inf")
        self._next_progress = 0.0

    def enable(self) -> None:
        """Show the line."""
        self.enabled = True

    def disable(self) -> None:
        """Hide the line."""
        self.enabled = False

    @property
    def _stream(self) -> Any:
        return sys.stderr if self.stream is None else self.stream

    def _text(self, trainer: lightning.Trainer, module: PotentialModule) -> str:
        progress = min(module.progress, 1.0)
        total = module.seconds / progress if progress > 0 else 0.0
        if module.settings.minutes is not None:
            total = 60 * module.settings.minutes
        filled = int(BAR_WIDTH * progress)
        parts = [
            f"{100 * progress:3.0f} % [{'#' * filled}{'.' * (BAR_WIDTH - filled)}]",
            f"epoch {trainer.current_epoch + 1}",
            f"{clock(min(module.seconds, total))} of {clock(total)}",
        ]
        metrics = trainer.callback_metrics
        shown = [
            f"{name} {metrics[key]:.{decimals}f} {unit}"
            for name, key, decimals, unit in (
                ("forces", "valid_forces_mae_meV_per_A", 1, "meV/A"),
                ("energy", "valid_energy_mae_meV_per_atom", 2, "meV/atom"),
            )
            if key in metrics
        ]
        for name, output in module.outputs.items():
            if f"valid_{name}_mae" in metrics:
                shown.append(f"{name} {metrics[f'valid_{name}_mae']:.4g} {output.unit}".rstrip())
        if shown:
            parts.append(f"validation MAE: {', '.join(shown)}")
        return "  ".join(parts)

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Redraw the line on a terminal, if it is time."""
        now = time.monotonic()
        if self.enabled and now - self._last_time >= self.interval and self._stream.isatty():
            self._last_time = now
            self._stream.write("\r\x1b[K" + self._text(trainer, pl_module))
            self._stream.flush()

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Print the line where there is no terminal, if there is news."""
        progress = pl_module.progress
        if self.enabled and not self._stream.isatty() and (progress >= self._next_progress or progress >= 1):
            self._next_progress = progress + 0.05
            print(self._text(trainer, pl_module), file=self._stream, flush=True)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Leave the last line standing."""
        if self.enabled and self._stream.isatty():
            print("\r\x1b[K" + self._text(trainer, pl_module), file=self._stream, flush=True)
