"""TensorBoard and Weights & Biases, beside metrics.csv."""

from __future__ import annotations

import importlib.util
from dataclasses import asdict
from pathlib import Path

from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger

from pyg_mpnn.training.settings import TrainingSettings


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
