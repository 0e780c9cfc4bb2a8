"""The order in which structures are seen, and how a batch is divided."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from torch.utils.data import Sampler
from torch_geometric.data import Batch, Data


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


@runtime_checkable
class Batches(Protocol):
    """Batches of indices, and the order that they are made of: torch's ``BatchSampler``, or one by atoms or edges."""

    @property
    def sampler(self) -> Iterable[int]:
        """The order, whose epoch Lightning sets."""

    def __iter__(self) -> Iterator[list[int]]:
        """The indices of each batch."""

    def __len__(self) -> int:
        """Number of batches."""


class BatchShare(Sampler[list[int]]):
    """The structures of each batch that one of several processes computes: every n-th, none of them twice.

    A batch with fewer structures than processes leaves some with an empty list, so that all take the same number of
    steps.

    Args:
        batches: Gives the indices of each batch; its ``sampler`` may have ``set_epoch``.
        rank: Number of the process, from 0.
        processes: Number of processes.

    Units:
        none

    Source:
        own design: unlike ``torch.utils.data.DistributedSampler`` it pads nothing and drops nothing.

    Example:
        >>> from torch.utils.data import BatchSampler
        >>> batches = BatchSampler(EpochSampler(5, seed=0), batch_size=4, drop_last=False)
        >>> [len(batch) for batch in BatchShare(batches, rank=1, processes=2)]
        [2, 0]
    """

    def __init__(self, batches: Batches, rank: int = 0, processes: int = 1) -> None:
        self.batches = batches
        self.rank = rank
        self.processes = processes

    @property
    def sampler(self) -> Iterable[int]:
        """What Lightning tells the epoch."""
        return self.batches.sampler

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self.batches:
            yield batch[self.rank :: self.processes]

    def __len__(self) -> int:
        return len(self.batches)


def divide(structures: Sequence[Data], parts: int) -> list[Batch]:
    """Structures as batches to be computed one after the other.

    Args:
        structures: Structures with the same fields.
        parts: Number of batches at most, positive.

    Returns:
        Batches of nearly equal size, in order; none is empty.

    Example:
        >>> from pyg_mpnn.data import ethanol
        >>> [batch.num_graphs for batch in divide(ethanol("test")[:5], parts=2)]
        [3, 2]
    """
    indices = np.array_split(np.arange(len(structures)), parts)
    return [Batch.from_data_list([structures[index] for index in part]) for part in indices if len(part)]
