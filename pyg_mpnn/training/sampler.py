"""The order of structures and their batches, by number of structures, atoms or edges: a resumed training repeats it."""

from __future__ import annotations

from collections import defaultdict
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


_STEPS = 16  # classes of sizes between a power of two and the next


def fill_batches(sizes: Sequence[int], budget: int, name: str = "budget") -> list[list[int]]:
    """Consecutive structures in batches whose sizes sum up to at most the budget, for evaluation.

    Args:
        sizes: number of atoms, or of edges, of each structure.
        budget: largest sum in a batch.
        name: what the budget is called in the message.

    Returns:
        indices of the structures of each batch, in order.

    Raises:
        ValueError: a structure is larger than the budget.

    Example:
        >>> fill_batches([3, 3, 4, 5, 1], budget=6)
        [[0, 1], [2], [3, 4]]
    """
    batches: list[list[int]] = []
    room = 0
    for index, size in enumerate(sizes):
        if size > budget:
            raise ValueError(
                f"'{name}' must be at least the size of the largest structure ({max(sizes)}), got {budget}, which "
                f"structure {index} ({size}) exceeds: raise it."
            )
        if not batches or size > room:
            batches.append([])
            room = budget
        batches[-1].append(index)
        room -= size
    return batches


class BudgetBatchSampler(Sampler[list[int]]):
    r"""Random batches whose sizes (atoms or edges) sum up to at most a budget, the same number of them in every epoch.

    Structures of nearly the same size (within 1/16 of a power of two, rounded up) are one class. Once, classes are
    packed into batches in an order drawn with the seed; in each epoch the structures of a class are shuffled over the
    places of their class and the batches are shuffled. Every structure comes once an epoch. The order is a pure
    function of the seed and the epoch, so that a resumed training repeats it, and the number of batches is constant, as
    schedules and progress need it. As classes are rounded up, a batch may stay some percent below the budget.

    Args:
        sizes: number of atoms, or of edges, of each structure.
        budget: largest sum in a batch; at least the size of the largest structure.
        seed: any integer from 0.
        name: what the budget is called in the message.

    Units:
        none

    Raises:
        ValueError: a structure is larger than the budget.

    Source:
        own design; batches of variable length after PyG's ``DynamicBatchSampler``, whose number of batches varies.

    Example:
        >>> sampler = BudgetBatchSampler([3, 3, 4, 5, 1], budget=8, seed=0)
        >>> sorted(index for batch in sampler for index in batch), len(sampler) == len(list(sampler))
        ([0, 1, 2, 3, 4], True)
    """

    def __init__(self, sizes: Sequence[int], budget: int, seed: int, name: str = "budget") -> None:
        self.sizes = list(map(int, sizes))
        self.budget = budget
        fill_batches(self.sizes, budget, name)  # refuses what is too large
        self.sampler = EpochSampler(len(self.sizes), seed)  # Lightning sets its epoch
        self._classes = [min(_round_up(size), budget) for size in self.sizes]
        # an order of its own, which no epoch has
        first = EpochSampler(len(self.sizes), seed)
        first.set_epoch(2**31)
        order = list(first)
        filled = fill_batches([self._classes[index] for index in order], budget)
        self._places = [[self._classes[order[place]] for place in batch] for batch in filled]

    def __iter__(self) -> Iterator[list[int]]:
        waiting: dict[int, list[int]] = defaultdict(list)
        for index in self.sampler:
            waiting[self._classes[index]].append(index)
        shuffle = EpochSampler(len(self._places), self.sampler.seed)
        shuffle.set_epoch(self.sampler.epoch)
        for batch in shuffle:
            yield [waiting[size].pop() for size in self._places[batch]]

    def __len__(self) -> int:
        return len(self._places)


def _round_up(size: int) -> int:
    step: int = max(1, 2 ** max(size - 1, 0).bit_length() // (2 * _STEPS))
    return -(-size // step) * step
