"""The Lightning module of a property: its loss and its validation; the rest is that of a potential."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Batch

from pyg_mpnn.models import PropertyModel
from pyg_mpnn.training.module import PotentialModule
from pyg_mpnn.training.settings import TrainingSettings
from pyg_mpnn.training.skipped_steps import advice


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
        as for a potential, structures with ``target``.

    Units:
        A; ``spread`` and logged errors in the unit of the target; the loss has none.

    Source:
        own design; L1 because the mean absolute error is what is reported.

    Example:
        >>> settings = TrainingSettings(data="qm9", out="run", epochs=3, target="gap")
        >>> PropertyModule(PropertyModel.from_size("small", kind="intensive"), settings, 1.0, "eV").rotate
        False
    """

    term_names = ("error",)

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

    def count(self, batch: Batch) -> Tensor:
        """What the mean of the loss is over.

        Args:
            batch: Structures.

        Returns:
            The number of structures, ``(1,)``.
        """
        return torch.full((1,), float(batch.num_graphs), dtype=torch.float64, device=batch.target.device)

    def weighted_loss(self, batch: Batch, counts: Iterable[Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """The loss of some structures.

        Args:
            batch: The structures.
            counts: What the mean is over, where ``batch`` is a part of it: sums of :meth:`count`.

        Returns:
            The loss, to be differentiated, and the mean absolute error over the spread, in which all structures count
            alike.
        """
        (number,) = self.count(batch) if counts is None else counts
        error = (self.potential(batch) - batch.target).abs() / self.spread
        loss: Tensor = (error * batch.weight if "weight" in batch else error).sum() / number
        return loss, (error.detach().sum(dim=0, keepdim=True) / number).to(self.potential.dtype)

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
            FloatingPointError: The validation errors are not finite.
        """
        valid = torch.cat(self._errors).mean().item()
        self._errors.clear()
        if not math.isfinite(valid):
            raise FloatingPointError(
                f"The validation errors must be finite, got {valid} {self.unit} in epoch {self.current_epoch + 1}. "
                f"{advice(self.settings)}"
            )
        seen = math.nan if self._epoch_sums is None else self._epoch_sums.item() / self._epoch_steps
        self.log_dict(
            {
                "minutes": self.seconds / 60,
                "learning_rate": self.trainer.optimizers[0].param_groups[0]["lr"],
                "skipped_steps": float(self.skipped.total),
                "train_mae": seen * self.spread,
                "valid_mae": valid,
                "valid_score": valid,
            }
        )
