"""The one line that tells how the training goes."""

from __future__ import annotations

import sys
import time
from typing import Any

import lightning
from lightning.pytorch.callbacks import ProgressBar

from pyg_mpnn.training.module import PotentialModule

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
