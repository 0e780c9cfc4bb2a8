"""What every result file says about how it came about."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from pyg_mpnn.files import write_json

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("torch", "torch-geometric", "e3nn", "vesin", "numpy", "lightning", "ase")


def provenance() -> dict[str, Any]:
    """Commit, versions, machine and threads of this process."""
    return {
        "commit": commit(),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
        "device": f"cpu ({platform.machine()}, {torch.backends.cpu.get_cpu_capability()})",
        "threads": torch.get_num_threads(),
    }


def commit() -> str:
    """Commit of the working tree, marked where the tree differs from it in more than result files."""
    git = ["git", "-C", str(Path(__file__).parent)]
    name = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    changed = [*git, "diff", "--quiet", "HEAD", "--", ":(top)", ":(top,exclude)benchmarks/results"]
    return name if subprocess.run(changed, check=False).returncode == 0 else f"{name}-dirty"


def write(path: Path, record: dict[str, Any]) -> None:
    """Write a record as JSON; a write that is cut off leaves no broken file."""
    write_json(path, record)
    print(f"written to {path}")
