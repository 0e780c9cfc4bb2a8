"""The scripts of examples/engines run with a potential of that name beside them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples" / "engines"
SCRIPTS = sorted(path.name for path in EXAMPLES.glob("*.py"))


def run(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", [*SCRIPTS, "lammps.in"])
def test_example_runs(name, saved, tmp_path):
    shutil.copy(saved, tmp_path / "best.ckpt")
    shutil.copy(EXAMPLES / name, tmp_path)
    printed = run(tmp_path, *(("-m", "pyg_mpnn.engines.lammps", name) if name == "lammps.in" else (name,)))
    assert "; potential best.ckpt (names of its labels not known), float64; ensemble" in printed
