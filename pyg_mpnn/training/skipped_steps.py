"""Steps that are skipped because their loss or gradient is not finite."""

from __future__ import annotations

import warnings
from pathlib import Path

from pyg_mpnn.training.settings import TrainingSettings

MAX_SKIPPED = 10
"""Steps in a row with a non-finite loss or gradient after which a training has diverged (``recovery.py``)."""


class SkippedSteps:
    """Counts and reports the skipped steps.

    Args:
        settings: What the training is told.

    Units:
        none

    Example:
        >>> SkippedSteps(TrainingSettings(data="ethanol", out="run", epochs=3)).total
        0
    """

    def __init__(self, settings: TrainingSettings) -> None:
        self.settings = settings
        self.total = 0
        self.in_a_row = 0
        self.last = ""

    @property
    def too_many(self) -> bool:
        """Whether those in a row are a divergence."""
        return self.in_a_row >= MAX_SKIPPED

    def add(self, loss: dict[str, float], where: str, *, report: bool) -> None:
        """Count one.

        Args:
            loss: The terms of its loss.
            where: The step, in words.
            report: Whether this process tells.
        """
        self.total += 1
        self.in_a_row += 1
        found = ", ".join(f"{name} {value:.3g}" for name, value in loss.items())
        self.last = f"the loss and its gradient must be finite, got {found} in {where}"
        if report:
            warnings.warn(
                f"{self.last[0].upper()}{self.last[1:]}: the step is skipped (in a row: {self.in_a_row}; "
                f"{MAX_SKIPPED} are a divergence).",
                RuntimeWarning,
                stacklevel=2,
            )


def advice(settings: TrainingSettings) -> str:
    """What is left after a divergence, and what to do."""
    last = Path(settings.out) / "last.ckpt"
    left = f"The last good checkpoint is {last}" if last.exists() else "No checkpoint had been written"
    return (
        f"{left}. Start again with a lower 'learning_rate' (was {settings.highest_learning_rate:g}) or 'clip' (was "
        f"{settings.clip:g}), or look for outliers in 'data'."
    )
