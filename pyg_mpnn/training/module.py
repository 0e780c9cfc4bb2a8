"""The Lightning module: one training step, one validation, what a checkpoint holds."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import lightning
import torch
from torch import Tensor
from torch_geometric.data import Batch

from pyg_mpnn.models import Output, Potential, PotentialOutput
from pyg_mpnn.models.files import make_header
from pyg_mpnn.models.rebuild import check_rebuilds
from pyg_mpnn.training.distributed import count_processes, gather, share_from_first, sum_over_processes
from pyg_mpnn.training.evaluate import evaluate_batch
from pyg_mpnn.training.loss import LossTerms, count_known, loss_terms, output_losses
from pyg_mpnn.training.metrics import Predictions, compare, compute_errors, join, score
from pyg_mpnn.training.optimizer import make_optimizer
from pyg_mpnn.training.random_state import get_random_state, set_random_state
from pyg_mpnn.training.rotation import random_rotation, rotate_batch
from pyg_mpnn.training.schedule import learning_rate_factor, weight_at
from pyg_mpnn.training.settings import TrainingSettings
from pyg_mpnn.training.skipped_steps import SkippedSteps


class PotentialModule(lightning.LightningModule):
    """A potential in training.

    The loss is ``force_weight`` L_F + ``energy_weight`` L_E + ``stress_weight`` L_W of
    :func:`~pyg_mpnn.training.loss.loss_terms` where the model has an energy, plus ``output_weights`` (1 by default)
    times L_o of :func:`~pyg_mpnn.training.loss.output_losses` for each other output, with means over all known
    references of a step, whatever the parts and processes that they are computed in. Learning rate and weights follow
    the fraction of the training that is done, counted in steps where ``settings.epochs`` is given and in seconds where
    ``settings.minutes`` is.

    A step whose loss or gradient is not finite is skipped with a warning: weights, averaged weights, optimizer and sums
    of the epoch stay as they were. 10 in a row are a divergence. The learning rate is halved with each of its
    recoveries from a divergence (``recovery.py``).

    Args:
        potential: The potential, with its reference energies set.
        settings: What the training is told.
        provenance: Plain values kept in the checkpoint, such as the hash of the data.
        spreads: What errors of the other outputs are divided by, from their ``fit``; 1 without it.

    Raises:
        TypeError: The potential is not what its description says, so that its checkpoints would be of another one.

    Shapes:
        lists of batches of PyG structures in, which together are one step.

    Units:
        A, eV, eV/A in the batches, other outputs in their own; the loss has none.

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
        spreads: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False  # a step may have several parts, or be skipped
        self.potential: Any = potential
        self.settings = settings
        self.description = check_rebuilds(potential)
        self.provenance = provenance or {}
        self.rotate = settings.rotate if settings.rotate is not None else potential.symmetry == "unconstrained"
        self.scale = 1.0 if potential.atomwise is None else float(potential.atomwise.scale)
        self.outputs: dict[str, Output] = dict(potential.outputs.items())  # type: ignore[arg-type]
        self.spreads = dict.fromkeys(self.outputs, 1.0) | dict(spreads or {})
        self.term_names = (*(LossTerms._fields if potential.has_energy else ()), *self.outputs)
        self.seconds_before = 0.0
        self.random_state: dict[str, Any] | None = None
        self.steps = 0
        self.skipped = SkippedSteps(settings)
        self.recoveries = 0
        self._started: float | None = None
        self._weights = self._weights_at(0.0)
        self._epoch_sums: Tensor | None = None
        self._epoch_steps = 0
        self._predictions: list[Predictions] = []

    @property
    def seconds(self) -> float:
        """Seconds of training so far, those before an interruption included."""
        return self.seconds_before + (0.0 if self._started is None else time.monotonic() - self._started)

    @property
    def progress(self) -> float:
        """Fraction of the training that is done, by the clock of this process where the time is limited."""
        if self.settings.minutes is not None:
            return self.seconds / (60 * self.settings.minutes)
        assert self.settings.epochs is not None
        return self.steps / (self.settings.epochs * self.trainer.num_training_batches)

    def _shared_progress(self) -> float:
        """The same for all processes: the first tells the time."""
        return self.progress if self.settings.minutes is None else share_from_first(self.progress, self.device)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The optimizer of the settings; the learning rate is set before each step."""
        settings = self.settings
        return make_optimizer(settings.optimizer, self, settings.highest_learning_rate, settings.weight_decay)

    def on_train_start(self) -> None:
        """Start the clock."""
        self._started = time.monotonic()

    def on_train_epoch_start(self) -> None:
        """Forget the sums of the last epoch; after a resumption restore the random generators."""
        if self.random_state is not None:
            set_random_state(self.random_state)
            self.random_state = None
        self._epoch_sums, self._epoch_steps = None, 0

    def on_train_batch_start(self, batch: list[Batch], batch_idx: int) -> None:
        """Set the learning rate and the weights of the loss."""
        progress = self._shared_progress()
        learning_rate = self.settings.highest_learning_rate * learning_rate_factor(progress, self.settings.warmup)
        learning_rate /= 2**self.recoveries
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = learning_rate
        self._weights = self._weights_at(progress)

    def _weights_at(self, progress: float) -> tuple[float, float, float]:
        """Weights of forces, energy and stress."""
        settings = self.settings
        return (
            weight_at(progress, settings.force_weight, settings.final_force_weight),
            weight_at(progress, settings.energy_weight, settings.final_energy_weight),
            weight_at(progress, settings.stress_weight, settings.final_stress_weight),
        )

    def training_step(self, batch: list[Batch], batch_idx: int) -> None:
        """One step: the gradient of the loss over all parts of the batch in all processes, unless it is not finite.

        The batch comes in parts, which are computed one after the other; in none where there are fewer structures than
        processes.
        """
        optimizer = self.trainer.optimizers[0]
        optimizer.zero_grad()
        counts = self._count(batch)
        if self.rotate:
            matrix = random_rotation()  # also where there is nothing to rotate: all processes draw the same numbers
            batch = [rotate_batch(part, matrix) for part in batch]
        terms = torch.zeros(len(self.term_names), dtype=self.potential.dtype, device=self.device)
        for part in batch:
            loss, squared = self.weighted_loss(part, counts)
            loss.backward()  # type: ignore[no-untyped-call]
            terms += squared
        terms = self._sum_gradients(terms)
        norm = torch.nn.utils.clip_grad_norm_(self.parameters(), self.settings.clip)
        if bool(torch.isfinite(norm) & torch.isfinite(terms).all()):
            self.optimizers().step()  # type: ignore[union-attr]
            self._epoch_sums = terms if self._epoch_sums is None else self._epoch_sums + terms
            self._epoch_steps += 1
            self.skipped.in_a_row = 0
        else:
            optimizer.zero_grad()
            found = dict(zip(self.term_names, terms.tolist(), strict=True))
            where = f"step {self.steps + 1} (epoch {self.current_epoch + 1})"
            self.skipped.add(found, where, report=self.trainer.is_global_zero)

    def count(self, batch: Batch) -> Tensor:
        """What the means of the loss are over.

        Args:
            batch: Structures.

        Returns:
            The number of known references for each term of the loss.
        """
        return torch.stack([count_known(batch, name) for name in self.term_names])

    def weighted_loss(self, batch: Batch, counts: Iterable[Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """The loss of some structures.

        Args:
            batch: The structures.
            counts: What the means are over, where ``batch`` is a part of it: sums of :meth:`count`.

        Returns:
            The loss, to be differentiated, and the mean squared errors of forces, energy and stress and the mean
            penalties of the other outputs, in which all structures count alike.
        """
        known = dict(zip(self.term_names, self.count(batch) if counts is None else counts, strict=True))
        output = evaluate_batch(self.potential, batch, stress=self.settings.stress_weight > 0)
        loss, plain = torch.zeros((), dtype=torch.float64, device=batch.pos.device), []
        if self.potential.has_energy:
            of_energy, squared = self._energy_loss(output, batch, LossTerms(*(known[k] for k in LossTerms._fields)))
            loss, plain = of_energy, list(squared)
        if self.outputs:
            delta = self.settings.huber_delta
            terms = output_losses(output, batch, self.outputs, self.spreads, delta=delta, counts=known)
            weights = self.settings.output_weights
            loss = loss + torch.stack([weights.get(name, 1.0) * term for name, term in terms.items()]).sum()
            with torch.no_grad():
                if "weight" in batch:
                    options: dict[str, Any] = {"delta": delta, "counts": known, "weighted": False}
                    terms = output_losses(output, batch, self.outputs, self.spreads, **options)
                plain += [term.to(self.potential.dtype) for term in terms.values()]
        return loss, torch.stack(plain).detach()

    def _energy_loss(self, output: PotentialOutput, batch: Batch, counts: LossTerms) -> tuple[Tensor, LossTerms]:
        """Loss of energies, forces and stress, and their mean squared errors."""
        penalty, delta = self.settings.loss, self.settings.huber_delta
        terms = loss_terms(output, batch, self.scale, penalty=penalty, delta=delta, counts=counts)
        force_weight, energy_weight, stress_weight = self._weights
        loss = force_weight * terms.forces + energy_weight * terms.energy
        loss = loss + stress_weight * terms.stress if self.settings.stress_weight > 0 else loss
        with torch.no_grad():
            plain = penalty == "mse" and "weight" not in batch
            return loss, terms if plain else loss_terms(output, batch, self.scale, counts=counts, weighted=False)

    def _count(self, batch: Sequence[Batch]) -> Tensor:
        """What the means of a step are over: all parts, in all processes."""
        zero = torch.zeros(len(self.term_names), dtype=torch.float64, device=self.device)
        return sum_over_processes([sum(map(self.count, batch), zero)])[0]

    def _sum_gradients(self, terms: Tensor) -> Tensor:
        """Add up the gradients of all processes, and the terms of the loss with them."""
        if count_processes() == 1:
            return terms
        parameters = [parameter for parameter in self.parameters() if parameter.requires_grad]
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        *gradients, terms = sum_over_processes([*(p.grad for p in parameters if p.grad is not None), terms])
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        return terms

    def on_train_batch_end(self, outputs: Any, batch: list[Batch], batch_idx: int) -> None:
        """Count the step, and stop when the time is over."""
        self.steps += 1
        if self.settings.minutes is not None and self._shared_progress() >= 1:
            self.trainer.should_stop = True

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Keep the predictions of one batch."""
        self._predictions.append(compare(evaluate_batch(self.potential, batch), batch))

    def on_validation_epoch_end(self) -> None:
        """Log the errors of the epoch: training (weights as they were at each step) and validation (averaged ones)."""
        units = {name: output.unit for name, output in self.outputs.items()}
        found = compute_errors(join(gather(join(self._predictions))), units)
        self._predictions.clear()
        value = score(found, self.spreads, self.scale)
        values = {
            f"valid_{name}": value for name, value in found.plain().items() if not name.startswith("n_structures")
        }
        self.log_dict({**self._training_log(), **values, "valid_score": value})

    def _training_log(self) -> dict[str, float]:
        values = {
            "minutes": self.seconds / 60,
            "learning_rate": self.trainer.optimizers[0].param_groups[0]["lr"],
            "energy_weight": self._weights[1],
            "skipped_steps": float(self.skipped.total),
        }
        means = [math.nan] * len(self.term_names)  # unknown where every step was skipped
        if self._epoch_sums is not None:
            means = (self._epoch_sums / self._epoch_steps).tolist()
        found = dict(zip(self.term_names, means, strict=True))
        if self.potential.has_energy:
            values["train_forces_rmse_meV_per_A"] = 1e3 * self.scale * math.sqrt(found["forces"])
            values["train_energy_rmse_meV_per_atom"] = 1e3 * self.scale * math.sqrt(found["energy"])
        for name, output in self.outputs.items():
            if output.loss == "l1":
                values[f"train_{name}_mae"] = self.spreads[name] * found[name]
            else:  # of the Huber loss, which follows large errors less, a lower bound
                values[f"train_{name}_rmse"] = self.spreads[name] * math.sqrt(found[name])
        return values

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what rebuilds the potential and what an exact resumption needs."""
        checkpoint["pyg_mpnn"] = {
            **make_header(self.potential, "potential.", self.description),
            "settings": asdict(self.settings),
            "provenance": self.provenance,
            "seconds": self.seconds,
            "steps": [self.steps, self.skipped.total, self.skipped.in_a_row],
            "recoveries": self.recoveries,
            "random_state": get_random_state(),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Read back the clock, the counters and the random states."""
        self.seconds_before = checkpoint["pyg_mpnn"]["seconds"]
        self.steps, self.skipped.total, self.skipped.in_a_row = checkpoint["pyg_mpnn"]["steps"]
        self.recoveries = checkpoint["pyg_mpnn"].get("recoveries", 0)  # older checkpoints have none
        self.random_state = checkpoint["pyg_mpnn"]["random_state"]
