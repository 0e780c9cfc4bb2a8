"""The order in which structures are seen."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler


class EpochSampler(Sampler[int]):
    """A random order that is a pure function of the seed and the epoch, so that a resumed training repeats it.

    It holds no generator that advances; Lightning calls :meth:`set_epoch` before each epoch.

    Args:
        length: Number of structures.
        seed: Any integer from 0.

    Units:
        none

    Source:
        own design, after ``torch.utils.data.DistributedSampler``; NumPy's PCG64, whose stream is the same in all
        versions (NumPy Enhancement Proposal 19) and which takes both numbers (PyTorch's takes 32 bits of a seed).

    Example:
        >>> sampler = EpochSampler(4, seed=0)
        >>> list(sampler) == list(sampler), sorted(sampler)
        (True, [0, 1, 2, 3])
    """

    def __init__(self, length: int, seed: int) -> None:
        self.length = length
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order is given next.

        Args:
            epoch: Number of the epoch, from 0.
        """
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        yield from np.argsort(np.random.PCG64([self.seed, self.epoch]).random_raw(self.length), kind="stable").tolist()

    def __len__(self) -> int:
        return self.length
