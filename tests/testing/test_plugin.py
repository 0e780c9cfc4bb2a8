"""A downstream project in a folder of its own, tested by the plugin."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = 'pytest_plugins = ["pyg_mpnn.testing.plugin"]\n'
TESTS = """
import torch
from pyg_mpnn.testing import Healthy
from pyg_mpnn.testing.plugin import PotentialLaws

class Leaning(Healthy):
    def _atomic(self, s, e):
        return super()._atomic(s, e) + 1e-3 * s.pos[:, 2]

class TestSound(PotentialLaws):
    def potential(self):
        return Healthy()

class TestLeaning(PotentialLaws):
    adapter = {"lacks": {"invariance": "leans"}}
    def potential(self):
        return Leaning()

def test_fixtures(molecule, crystal):
    assert len(molecule.z) == 9 and bool(crystal.pbc.all())
"""


@pytest.mark.long
def test_three_lines_test_a_model(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_mine.py").write_text(TESTS)
    chosen = "fixtures or rotation or translation or forces"
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "-k", chosen, str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "1 failed, 5 passed, 1 skipped" in done.stdout, done.stdout + done.stderr
    assert "law broken: translation: fail. energy (moved" in done.stdout
    assert "invariance: leans" in done.stdout
