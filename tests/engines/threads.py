"""Threads that stand in for the processes of MPI."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np


class Shared:
    """What the threads of one run have in common."""

    def __init__(self, size: int) -> None:
        self.size, self.barrier, self.slots = size, threading.Barrier(size, timeout=60), [None] * size

    def gather(self, rank: int, value: Any) -> list[Any]:
        self.barrier.wait()
        self.slots[rank] = value
        self.barrier.wait()
        return list(self.slots)


class Comm:
    """The calls of mpi4py that a halo makes."""

    def __init__(self, shared: Shared, rank: int) -> None:
        self.shared, self.rank, self.size = shared, rank, shared.size

    def allreduce(self, value: int) -> int:
        return sum(self.shared.gather(self.rank, value))

    def Allreduce(self, values: np.ndarray, result: np.ndarray) -> None:
        result[:] = np.sum(self.shared.gather(self.rank, values), axis=0)

    def Alltoall(self, values: np.ndarray, result: np.ndarray) -> None:
        result[:] = [row[self.rank] for row in self.shared.gather(self.rank, values)]

    def Alltoallv(self, sent: list[np.ndarray], received: list[np.ndarray]) -> None:
        rows, counts = sent
        parts = np.split(rows.ravel(), np.cumsum(counts)[:-1])
        pieces = [parts[self.rank] for parts in self.shared.gather(self.rank, parts)]
        assert [len(piece) for piece in pieces] == list(received[1])
        received[0].ravel()[:] = np.concatenate(pieces)


def in_threads(size: int, work: Callable[[Comm], Any]) -> list[Any]:
    shared, results, errors = Shared(size), [None] * size, []

    def run(rank: int) -> None:
        try:
            results[rank] = work(Comm(shared, rank))
        except BaseException as error:
            errors.append(error)
            shared.barrier.abort()

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise next((error for error in errors if not isinstance(error, threading.BrokenBarrierError)), errors[0])
    return results
