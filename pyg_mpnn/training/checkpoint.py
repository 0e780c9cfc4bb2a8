"""Writing checkpoints so that an interruption never costs the previous one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn

from pyg_mpnn.files import write_tensors
from pyg_mpnn.models.files import seal


class MovableCheckpoint(ModelCheckpoint):
    """Lightning's, which also knows its best score after the folder was moved or copied.

    Lightning forgets the best score of a resumed training whose folder has another name than before; the next epoch
    would then replace the best checkpoint, however bad it is.
    """

    @property
    def state_key(self) -> str:
        """As of Lightning's own, so that its checkpoints are understood."""
        return super().state_key.replace(type(self).__qualname__, ModelCheckpoint.__qualname__)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the state, with the names of files in the folder of today."""
        state = dict(state_dict, dirpath=self.dirpath)
        for name in ("best_model_path", "kth_best_model_path", "last_model_path"):
            state[name] = self._here(state[name])
        state["best_k_models"] = {self._here(path): score for path, score in state["best_k_models"].items()}
        super().load_state_dict(state)

    def _here(self, path: str) -> str:
        return str(Path(str(self.dirpath)) / Path(path).name) if path else path


class AtomicCheckpointIO(TorchCheckpointIO):
    """Seals, writes beside the target, flushes to the disk, then renames; reads with ``weights_only=True``.

    Lightning's own writer goes through the system's temporary folder, and a move from there to another file system is a
    copy that can be interrupted. A rename within one folder happens entirely or not at all.

    Args:
        model: The model in training, whose checkpoints get the digest and the probe energy of their own weights; none
            for other checkpoints.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "last.ckpt"
        >>> AtomicCheckpointIO().save_checkpoint({"epoch": 3}, path)
        >>> AtomicCheckpointIO().load_checkpoint(path)
        {'epoch': 3}
    """

    def __init__(self, model: nn.Module | None = None) -> None:
        super().__init__()
        self.model = model

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint."""
        if self.model is not None:
            seal(checkpoint, self.model)
        write_tensors(path, checkpoint)

    def load_checkpoint(self, path: str | Path, map_location: Any = "cpu", weights_only: bool | None = True) -> Any:
        """Read a checkpoint, weights only whatever is asked: it cannot run code."""
        return torch.load(path, map_location=map_location, weights_only=True)
