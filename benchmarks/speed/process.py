"""The other end of `benchmarks.speed.peers.worker`: a process that is asked by JSON lines."""

from __future__ import annotations

import json
import os
import select
import subprocess
from pathlib import Path
from typing import Any

from benchmarks.speed.models import Model

ROOT = Path(__file__).parents[2]
OF_ALLOCATOR = (
    "MALLOC_TRIM_THRESHOLD_",
    "MALLOC_MMAP_MAX_",
    "MALLOC_MMAP_THRESHOLD_",
    "GLIBC_TUNABLES",
)  # not inherited
GIGABYTES = 20  # what a model may use
PATIENCE = 900.0  # seconds to wait for an answer: compiling takes minutes


class Process:
    """One model in one mode; started when first asked, and again where it died.

    Args:
        python: Python of the model's environment.
        model: what to build.
        mode: how it runs.
        threads: threads of torch.
        settings: cutoff and elements.
        log: file for what the process prints.
        allocator: what the environment says to the C library.
    """

    def __init__(
        self,
        python: str,
        model: Model,
        mode: str,
        threads: int,
        settings: dict[str, Any],
        log: Path,
        allocator: dict[str, str],
    ) -> None:
        self.cutoff: float = settings["cutoff"]
        self.command = [python, "-m", "benchmarks.speed.peers.worker", "--module", model.module, "--mode", mode]
        self.command += ["--threads", str(threads), "--gigabytes", str(GIGABYTES)]
        self.command += ["--settings", json.dumps(model.settings | settings)]
        # One process compiles at a time, in its own process; all share the cache of compiled code.
        self.environment = os.environ | {"OMP_NUM_THREADS": str(threads), "TORCHINDUCTOR_COMPILE_THREADS": "1"}
        self.environment = {name: self.environment[name] for name in self.environment if name not in OF_ALLOCATOR}
        self.environment |= allocator | {"PYTHONPATH": str(ROOT)}
        self.log = log
        self.process: subprocess.Popen[str] | None = None

    def ask(self, do: str, timeout: float = PATIENCE, **request: Any) -> dict[str, Any]:
        """The answer; where there is none, a dictionary with `error`."""
        if self.process is None or self.process.poll() is not None:
            with self.log.open("a") as log:
                self.process = subprocess.Popen(
                    self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, cwd=ROOT,
                    env=self.environment,
                )  # fmt: skip
        process = self.process
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            print(json.dumps({"do": do, **request}), file=process.stdin, flush=True)
            if not select.select([process.stdout], [], [], timeout)[0]:
                self.close()
                return {"error": f"no answer to {do!r} within {timeout:.0f} s"}
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        self.close()
        last = [text for text in self.log.read_text().splitlines() if text.strip()][-1:]
        return {"error": f"the process ended with code {process.returncode}: {' '.join(last)[:300]}"}

    def close(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
