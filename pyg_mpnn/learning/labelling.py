"""Teachers at work: several processes, a limit of time, and failures that are kept apart."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import connection, get_context, parent_process
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from ase import Atoms

from pyg_mpnn.arguments import check_whole
from pyg_mpnn.learning.teacher import Label, NoLabel, Teacher, label

_START = 120.0  # s that the import of a teacher may take beyond the limit of a structure


@dataclass
class _Worker:
    process: Any
    pipe: Connection
    task: int | None  # None while it starts
    until: float


class Labeller:
    """Processes that each have a teacher of their own, while the context lasts.

    What the teachers print goes to a file. A structure that takes too long ends its process, and another is started.

    Args:
        teacher: The teacher.
        log: File for what the teachers print; added to.
        processes: Their number.
        seconds: Longest time for one structure.

    Raises:
        ValueError: A number that is not positive.
    """

    def __init__(self, teacher: Teacher, log: Path, *, processes: int = 1, seconds: float = 600.0) -> None:
        check_whole(processes=processes)
        if not 0 < seconds < float("inf"):
            raise ValueError(f"'label_seconds' must be positive and finite, got {seconds}")
        self.teacher, self.log, self.processes, self.seconds = teacher, log, processes, seconds
        self._idle: list[_Worker] = []
        self._busy: list[_Worker] = []

    def __enter__(self) -> Labeller:
        return self

    def __exit__(self, *error: object) -> None:
        for worker in (*self._idle, *self._busy):
            _end(worker)
        self._idle, self._busy = [], []

    def label(self, structures: Sequence[Atoms]) -> Iterator[tuple[int, Label | str]]:
        """Ask for the labels of structures.

        Args:
            structures: in the order in which they are handed out.

        Yields:
            the place of a structure and its label, or why it has none, as soon as it is known.

        Raises:
            ValueError: no teacher can be made.
        """
        waiting = deque(range(len(structures)))
        try:
            while waiting or any(worker.task is not None for worker in self._busy):
                while waiting and self._idle:
                    self._give(self._idle.pop(), waiting.popleft(), structures)
                starting = sum(worker.task is None for worker in self._busy)
                while len(waiting) > starting and len(self._busy) < self.processes:
                    self._busy.append(self._start())
                    starting += 1
                yield from self._collect()
        finally:  # also where nobody asks for the rest
            for worker in [worker for worker in self._busy if worker.task is not None]:
                self._busy.remove(worker)
                _end(worker)

    def _collect(self) -> Iterator[tuple[int, Label | str]]:
        """Wait until something comes or time is up."""
        rest = min(worker.until for worker in self._busy) - time.monotonic()
        ready = connection.wait([worker.pipe for worker in self._busy], max(0.0, rest))
        for worker in list(self._busy):
            late = time.monotonic() > worker.until
            if worker.pipe not in ready and not late:
                continue
            self._busy.remove(worker)
            if worker.pipe in ready:
                try:
                    kind, found = worker.pipe.recv()
                except (EOFError, OSError):
                    worker.process.join(5)
                    kind, found = "dead", f"the teacher's process died (exit code {worker.process.exitcode})"
            else:
                kind, found = "dead", f"no result within {self.seconds:g} s"
            if worker.task is None and kind != "ready":
                _end(worker)
                raise ValueError(found if kind == "failed" else f"'teacher' must start: {found}; see {self.log}")
            if worker.task is not None:
                yield worker.task, found
            if kind == "dead":
                _end(worker)
            else:
                self._idle.append(worker)

    def _give(self, worker: _Worker, task: int, structures: Sequence[Atoms]) -> None:
        worker.task, worker.until = task, time.monotonic() + self.seconds
        self._busy.append(worker)
        with contextlib.suppress(OSError):  # of a process that died meanwhile: its pipe says so at once
            worker.pipe.send(structures[task])

    def _start(self) -> _Worker:
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(self.teacher, theirs, self.log), daemon=True)
        process.start()
        theirs.close()
        return _Worker(process, ours, None, time.monotonic() + _START + self.seconds)


def _end(worker: _Worker) -> None:
    worker.process.kill()
    worker.process.join()
    worker.pipe.close()


def _serve(teacher: Teacher, pipe: Connection, log: Path) -> None:
    """What a process of a teacher does until its parent ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's Ctrl-C: it ends us
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with open(log, "ab", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    try:
        calculator = teacher.make()
    except Exception as error:
        pipe.send(("failed", str(error)))
        return
    pipe.send(("ready", None))
    while True:
        try:
            atoms = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send(("label", label(calculator, atoms)))
        except NoLabel as error:
            pipe.send(("none", str(error)))
            calculator = teacher.make()  # one that failed may be in any state


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)
