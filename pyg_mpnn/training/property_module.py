"""The Lightning module of a property: its loss and its validation; the rest is that of a potential."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Batch

from pyg_mpnn.models import PropertyModel
from pyg_mpnn.training.module import PotentialModule
from pyg_mpnn.training.settings import TrainingSettings


class PropertyModule(PotentialModule):
    r"""A property model in training: clock, learning rate, averaging and checkpoints as for a potential.

    .. math:: L = \Big\langle w \, \frac{|\hat y - y|}{s} \Big\rangle

    over structures, with the weight w of a structure (1 where it has none) and the spread s of the targets.

    Args:
        model: The model, with its reference set.
        settings: What the training is told; weights of forces and energies have no effect.
        spread: The number s.
        unit: Unit of the target, for the progress line.
        provenance: Plain values kept in the checkpoint, such as the hash of the data.

    Shapes:
        batches of PyG structures with ``target`` in, a scalar loss out.

    Units:
        A; ``spread`` and logged errors in the unit of the target; the loss has none.

    Source:
        own design; L1 because the mean absolute error is what is reported.

    Example:
        >>> settings = TrainingSettings(data="qm9", out="run", epochs=3, target="gap")
        >>> PropertyModule(PropertyModel.from_size("small", kind="intensive"), settings, 1.0, "eV").rotate
        False
    """

    def __init__(
        self,
        model: PropertyModel,
        settings: TrainingSettings,
        spread: float,
        unit: str,
        provenance: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(model, settings, provenance)
        self.spread = spread
        self.unit = unit
        self._errors: list[Tensor] = []

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss of one batch.

        Args:
            batch: The structures of this step.
            batch_idx: Number of the step within the epoch.

        Returns:
            The loss.
        """
        error = (self.potential(batch) - batch.target).abs() / self.spread
        sums = error.mean().detach()
        self._epoch_sums = sums if self._epoch_sums is None else self._epoch_sums + sums
        self._epoch_steps += 1
        loss: Tensor = (error * batch.weight).mean() if "weight" in batch else error.mean()
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Keep the errors of one batch.

        Args:
            batch: Validation structures.
            batch_idx: Number of the batch.
        """
        self._errors.append((self.potential(batch) - batch.target).abs())

    def on_validation_epoch_end(self) -> None:
        """Log the mean absolute errors: training (as the weights were at each step) and validation (averaged weights).

        Raises:
            FloatingPointError: The loss is not finite.
        """
        valid = torch.cat(self._errors).mean().item()
        self._errors.clear()
        values = {"valid_mae": valid, "valid_score": valid}
        if self._epoch_sums is not None:
            seen = self._epoch_sums.item() / self._epoch_steps
            if not math.isfinite(seen):
                raise FloatingPointError(
                    f"The loss must be finite, got {seen} in epoch {self.current_epoch + 1}: lower 'learning_rate' "
                    f"({self.settings.learning_rate:g}) or 'clip' ({self.settings.clip:g}), or look for outliers."
                )
            values["minutes"] = self.seconds / 60
            values["learning_rate"] = self.trainer.optimizers[0].param_groups[0]["lr"]
            values["train_mae"] = seen * self.spread
        self.log_dict(values)
