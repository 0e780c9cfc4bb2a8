"""The Lightning module: one training step, one validation, what a checkpoint holds."""

from __future__ import annotations

import math
import time
from dataclasses import asdict
from typing import Any

import lightning
import torch
from torch import Tensor
from torch_geometric.data import Batch

from pyg_mpnn.models import Potential
from pyg_mpnn.models.files import FILE_FORMAT
from pyg_mpnn.training.evaluate import evaluate_batch
from pyg_mpnn.training.loss import LossTerms, loss_terms
from pyg_mpnn.training.metrics import Errors, Predictions, compare, compute_errors, join
from pyg_mpnn.training.random_state import get_random_state, set_random_state
from pyg_mpnn.training.rotation import rotate_batch
from pyg_mpnn.training.schedule import energy_weight_at, learning_rate_factor
from pyg_mpnn.training.settings import TrainingSettings


def score(errors: Errors) -> float:
    """The number by which the best checkpoint is chosen: force MAE in meV/A plus energy MAE in meV per atom.

    Forces decide while the two are of different size; once the energy weight is raised, a model that trades a little
    of the forces for much better energies wins.

    Args:
        errors: Validation errors of the averaged weights.

    Returns:
        The number to minimise.
    """
    return errors.forces_mae_meV_per_A + errors.energy_mae_meV_per_atom


class PotentialModule(lightning.LightningModule):
    """A potential in training.

    The loss is ``force_weight`` L_F + ``energy_weight`` L_E + ``stress_weight`` L_W of
    :func:`~pyg_mpnn.training.loss.loss_terms`. Learning rate and energy weight follow the fraction of the training that
    is done, counted in steps where ``settings.epochs`` is given and in seconds where ``settings.minutes`` is.

    Args:
        potential: The potential, with its reference energies set.
        settings: What the training is told.
        provenance: Plain values kept in the checkpoint, such as the hash of the data.

    Shapes:
        batches of PyG structures in, a scalar loss out.

    Units:
        A, eV, eV/A in the batches; the loss has none.

    Source:
        own design; the loop is that of Lightning, https://lightning.ai.

    Example:
        >>> potential = Potential.from_size("small")
        >>> module = PotentialModule(potential, TrainingSettings(data="ethanol", out="run", epochs=3))
        >>> module.rotate  # an invariant potential needs no random rotations
        False
    """

    def __init__(
        self,
        potential: Potential,
        settings: TrainingSettings,
        provenance: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.potential = potential
        self.settings = settings
        self.provenance = provenance or {}
        self.rotate = settings.rotate if settings.rotate is not None else potential.symmetry == "unconstrained"
        self.scale = float(potential.atomwise.scale)
        self.seconds_before = 0.0
        self.random_state: dict[str, Any] | None = None
        self._started: float | None = None
        self._energy_weight = settings.energy_weight
        self._epoch_sums: Tensor | None = None
        self._epoch_steps = 0
        self._predictions: list[Predictions] = []

    @property
    def seconds(self) -> float:
        """Seconds of training so far, those before an interruption included."""
        return self.seconds_before + (0.0 if self._started is None else time.monotonic() - self._started)

    @property
    def progress(self) -> float:
        """Fraction of the training that is done."""
        if self.settings.minutes is not None:
            return self.seconds / (60 * self.settings.minutes)
        assert self.settings.epochs is not None
        return self.global_step / (self.settings.epochs * self.trainer.num_training_batches)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam; the learning rate is set before each step."""
        return torch.optim.Adam(self.parameters(), lr=self.settings.learning_rate, fused=True)

    def on_train_start(self) -> None:
        """Start the clock."""
        self._started = time.monotonic()

    def on_train_epoch_start(self) -> None:
        """Forget the sums of the last epoch; after a resumption restore the random generators."""
        if self.random_state is not None:
            set_random_state(self.random_state)
            self.random_state = None
        self._epoch_sums, self._epoch_steps = None, 0

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Set the learning rate and the energy weight.

        Args:
            batch: The structures of this step.
            batch_idx: Number of the step within the epoch.
        """
        settings, progress = self.settings, self.progress
        learning_rate = settings.learning_rate * learning_rate_factor(progress, settings.warmup)
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = learning_rate
        self._energy_weight = energy_weight_at(progress, settings.energy_weight, settings.final_energy_weight)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The weighted loss of one batch.

        Args:
            batch: The structures of this step.
            batch_idx: Number of the step within the epoch.

        Returns:
            The loss.
        """
        if self.rotate:
            batch = rotate_batch(batch)
        settings = self.settings
        stress = settings.stress_weight > 0
        output = evaluate_batch(self.potential, batch, stress=stress)
        terms = loss_terms(output, batch, self.scale)
        sums = torch.stack(terms).detach()
        self._epoch_sums = sums if self._epoch_sums is None else self._epoch_sums + sums
        self._epoch_steps += 1
        loss = settings.force_weight * terms.forces + self._energy_weight * terms.energy
        return loss + settings.stress_weight * terms.stress if stress else loss

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """Stop when the time is over.

        Args:
            outputs: Unused.
            batch: Unused.
            batch_idx: Unused.
        """
        if self.settings.minutes is not None and self.progress >= 1:
            self.trainer.should_stop = True

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Keep the predictions of one batch.

        Args:
            batch: Validation structures.
            batch_idx: Number of the batch.
        """
        self._predictions.append(compare(evaluate_batch(self.potential, batch), batch))

    def on_validation_epoch_end(self) -> None:
        """Log the errors of the epoch: training (as the weights were at each step) and validation (averaged weights).

        Raises:
            FloatingPointError: The loss is not finite.
        """
        found = compute_errors(join(self._predictions))
        self._predictions.clear()
        values = {f"valid_{name}": value for name, value in asdict(found).items() if value is not None}
        del values["valid_n_structures"]
        self.log_dict({**self._training_log(), **values, "valid_score": score(found)})

    def _training_log(self) -> dict[str, float]:
        if self._epoch_sums is None:
            return {}
        terms = LossTerms(*(self._epoch_sums / self._epoch_steps).tolist())
        if not all(math.isfinite(term) for term in terms):
            raise FloatingPointError(
                f"The loss must be finite, got {terms} in epoch {self.current_epoch + 1}: lower 'learning_rate' "
                f"({self.settings.learning_rate:g}) or 'clip' ({self.settings.clip:g}), or look for outliers in 'data'."
            )
        return {
            "minutes": self.seconds / 60,
            "learning_rate": self.trainer.optimizers[0].param_groups[0]["lr"],
            "energy_weight": self._energy_weight,
            "train_forces_rmse_meV_per_A": 1e3 * self.scale * math.sqrt(terms.forces),
            "train_energy_rmse_meV_per_atom": 1e3 * self.scale * math.sqrt(terms.energy),
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what rebuilds the potential and what an exact resumption needs.

        Args:
            checkpoint: The dictionary to be written.
        """
        checkpoint["pyg_mpnn"] = {
            "format": FILE_FORMAT,
            "config": self.potential.config,
            "prefix": "potential.",
            "settings": asdict(self.settings),
            "provenance": self.provenance,
            "seconds": self.seconds,
            "random_state": get_random_state(),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Read back the clock and the random states.

        Args:
            checkpoint: The dictionary that was read.
        """
        self.seconds_before = checkpoint["pyg_mpnn"]["seconds"]
        self.random_state = checkpoint["pyg_mpnn"]["random_state"]
