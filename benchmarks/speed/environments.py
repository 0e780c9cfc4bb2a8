"""Virtual environments for the peers, made from the pinned packages in peers/*.txt.

torch is installed first, with what it depends on, so that its build (CPU, CUDA) can be chosen; then the list of a peer
as it stands, without resolving: it is complete, and SchNetPack's stated bounds exclude a torch that it runs with.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

LISTS = Path(__file__).parent / "peers"
DEFAULT = Path.home() / ".cache" / "pyg_mpnn" / "peers"
TORCH = "torch==2.13.0"


ALLOCATOR = {"MALLOC_TRIM_THRESHOLD_": str(2**32), "MALLOC_MMAP_MAX_": "0"}
"""Freed memory is kept: what this package sets for itself, here for the processes of all models alike."""


class NotInstalledError(Exception):
    """An environment could not be made."""


def python_of(name: str, folder: Path, torch: str = TORCH, packages: Path | None = None) -> str:
    """Python of an environment, made where it is missing or its list has changed.

    Args:
        name: name of the environment and its list, "" for the environment that this runs in.
        folder: where environments are kept.
        torch: what pip installs first.
        packages: the list, where it is not peers/NAME.txt.
    """
    if not name:
        return sys.executable
    packages = packages or LISTS / f"{name}.txt"
    place = folder / name
    python, stamp = place / "bin" / "python", place / "made-from.txt"
    wanted = f"{torch}\n{packages.read_text()}"
    if stamp.exists() and stamp.read_text() == wanted:
        return str(python)
    print(f"making the environment {place}", flush=True)
    _run([sys.executable, "-m", "venv", "--clear", str(place)])
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run([*pip, *torch.split()])
    _run([*pip, "--no-deps", "-r", str(packages)])
    stamp.write_text(wanted)
    return str(python)


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip() and not line.startswith("WARNING")]
        raise NotInstalledError("not installed: " + " ".join(lines[-3:])[:300])
