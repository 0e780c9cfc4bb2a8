"""The CSV log: one line per epoch, kept across interruptions."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback

from pyg_mpnn.files import write_whole

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
