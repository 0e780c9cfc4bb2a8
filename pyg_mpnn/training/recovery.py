"""Going back where a training diverged."""

from __future__ import annotations

import math
import warnings
from statistics import median
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, WeightAveraging

from pyg_mpnn.training.module import PotentialModule
from pyg_mpnn.training.skipped_steps import MAX_SKIPPED, advice

DIVERGED = 10.0
"""A validation score of so many times the typical of the best ones is a divergence, not noise."""
TYPICAL = 5
"""The median of so many of the lowest scores is typical: one alone may be low by chance, where one energy validates."""
MAX_RECOVERIES = 5
"""After so many the training stops: the learning rate is then a 32nd of what was asked for."""


class Recovery(Callback):
    """Goes back to the best checkpoint where a training diverged, and goes on with half the learning rate.

    With a learning rate that is a little too large, a training may run well for hundreds of epochs and then lose all it
    has learned within one. Where the validation score of an epoch is not finite or more than 10 times the median of the
    five lowest before it, or 10 steps in a row had a loss or gradient that is not finite, weights, averaged weights and
    optimizer are set to those of the best checkpoint, and all later learning rates are halved. Steps and time go on:
    the rest of the schedule is that of an undisturbed training. Each time is reported, and counted in the log.

    Args:
        best: Writes the best checkpoint.
        average: Averages the weights.

    Units:
        none

    Raises:
        FloatingPointError: The training diverged for the sixth time, or before there is a checkpoint.

    Source:
        own design; why and when: benchmarks/results/peers, ethanol with the learning rate 0.009.
    """

    def __init__(self, best: ModelCheckpoint, average: WeightAveraging) -> None:
        self.best = best
        self.average = average
        self.lowest: list[float] = []

    def state_dict(self) -> dict[str, Any]:
        """The lowest scores, for a training that goes on later."""
        return {"lowest": self.lowest}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take them over.

        Args:
            state_dict: of the callback.
        """
        self.lowest = list(state_dict["lowest"])

    def on_train_batch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *_: Any) -> None:
        """Go back where too many steps in a row were skipped."""
        assert isinstance(pl_module, PotentialModule)
        if pl_module.skipped.too_many:
            self._go_back(trainer, pl_module, f"{pl_module.skipped.last} and in the {MAX_SKIPPED - 1} steps before it")
            pl_module.skipped.in_a_row = 0

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Compare the validation score of the epoch with the lowest before it."""
        assert isinstance(pl_module, PotentialModule)
        score, typical = float(trainer.callback_metrics["valid_score"]), median(self.lowest or [float("inf")])
        if score <= DIVERGED * typical and math.isfinite(score):
            self.lowest = sorted([*self.lowest, score])[:TYPICAL]
            return
        found = f"the validation score is {score:.4g} after epoch {trainer.current_epoch + 1}"
        if math.isfinite(score):
            found += f", {score / typical:.3g} times that of its best ones"
        else:
            errors = {name: float(value) for name, value in trainer.callback_metrics.items() if "mae" in name}
            found += "".join(f", {name} {value:.4g}" for name, value in errors.items())
        self._go_back(trainer, pl_module, found)

    def _go_back(self, trainer: lightning.Trainer, pl_module: PotentialModule, found: str) -> None:
        settings, recoveries = pl_module.settings, pl_module.recoveries
        if recoveries == MAX_RECOVERIES or not self.best.best_model_path:
            times = (
                f", for the {recoveries + 1}th time, with 1/{2**recoveries} of 'learning_rate'" if recoveries else ""
            )
            raise FloatingPointError(f"The training diverged{times}: {found}. {advice(settings)}")
        checkpoint = torch.load(self.best.best_model_path, map_location=pl_module.device, weights_only=True)
        self.average.on_load_checkpoint(trainer, pl_module, checkpoint)
        trainer.optimizers[0].load_state_dict(checkpoint["optimizer_states"][0])
        pl_module.recoveries += 1
        if trainer.is_global_zero:
            warnings.warn(
                f"The training diverged: {found}. It goes on from the best checkpoint (epoch "
                f"{checkpoint['epoch'] + 1}) with 1/{2**pl_module.recoveries} of 'learning_rate' "
                f"{settings.highest_learning_rate:g}; start with a lower one next time.",
                RuntimeWarning,
                stacklevel=2,
            )
