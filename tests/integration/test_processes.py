"""Two processes (gloo, on the CPU) train what one trains, and end where one of them does."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import ase.calculators.singlepoint
import ase.io
import pytest
import torch

from pyg_mpnn.cli import main
from pyg_mpnn.data import ethanol, to_atoms
from pyg_mpnn.training.logs import read_history

ROOT = Path(__file__).parents[2]
TOLERANCE = 1e-8
TINY = {"hidden_channels": 8, "edge_dim": 8, "channels": 2, "l_max": 1, "num_layers": 1}

# Runs the command with gradients added up as Lightning's wrapper would: the mean of the means of the processes.
MEAN_OF_MEANS = """
import sys
from pyg_mpnn.training import PotentialModule, module
PotentialModule._count = lambda self, batch: None
total = module.sum_over_processes
module.sum_over_processes = lambda tensors: [tensor / 2 for tensor in total(tensors)]
from pyg_mpnn.cli import main
sys.exit(main())
"""

# Runs the command; the second process kills itself with SIGKILL before its ninth step.
KILLER = """
import os, signal, sys
from pyg_mpnn.training import PotentialModule
step = PotentialModule.training_step
def training_step(self, batch, batch_idx):
    if self.global_step == 8 and self.global_rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, batch, batch_idx)
PotentialModule.training_step = training_step
from pyg_mpnn.cli import main
sys.exit(main())
"""


@pytest.fixture(scope="module")
def flags(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Ethanol, pieces of it, some weighted, and crystals of Si with stresses: 11 to train, in batches of 5, 5 and 1.

    5 to validate.
    """
    crystals = ase.io.read(ROOT / "tests" / "data" / "assets" / "si.extxyz", ":")[:4]
    molecules = [to_atoms(frame) for frame in ethanol("train")[:12]]
    for k, atoms in enumerate(molecules):
        kept = list(range(9 - k % 3))
        results = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces()[kept]}
        molecules[k] = atoms[kept]
        molecules[k].calc = ase.calculators.singlepoint.SinglePointCalculator(molecules[k], **results)
        molecules[k].info["config_weight"] = 1.0 + k % 2
    data = tmp_path_factory.mktemp("data") / "mixed.extxyz"
    ase.io.write(data, [*molecules, *crystals])
    flags = ["train", "--data", str(data), "--valid-size", "5", "--batch-size", "5", "--epochs", "7"]
    flags += ["--dtype", "float64", "--device", "cpu", "--threads", "1", "--seed", "6", "--stress-weight", "1"]
    for name, value in TINY.items():
        flags += [f"--model.{name}", str(value)]
    return flags


@pytest.fixture(scope="module")
def one(flags: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The training of one process."""
    out = tmp_path_factory.mktemp("one") / "run"
    assert main([*flags, "--out", str(out)]) == 0
    return out


def _run(
    *arguments: str, program: str | None = None, script: Path | None = None, limit: float = 200
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "USE_LIBUV": "0"}
    start = ["-m", "pyg_mpnn"]
    if program is not None and script is not None:  # a file: Lightning starts it again for the second process
        script.write_text(program)
        start = [str(script)]
    return subprocess.run(
        [sys.executable, *start, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=limit,
        check=False,
    )


def _state(out: Path) -> dict[str, Any]:
    checkpoint: dict[str, Any] = torch.load(out / "last.ckpt", weights_only=True)
    return checkpoint


def _difference(one: Path, other: Path) -> float:
    a, b = _state(one), _state(other)
    pairs = [(a[name][key], b[name][key]) for name in ("state_dict", "current_model_state") for key in a[name]]
    moments = (checkpoint["optimizer_states"][0]["state"] for checkpoint in (a, b))
    for m, n in zip(*(state.values() for state in moments), strict=True):
        name = "momentum" if "momentum" in m else "exp_avg"
        pairs.append((m[name], n[name]))
    return max(float((first - second).abs().nan_to_num().max()) for first, second in pairs)


@pytest.mark.long
def test_two_processes_train_what_one_trains(flags: list[str], one: Path, tmp_path: Path) -> None:
    """Over 21 steps; in every third the second process has nothing to compute."""
    two, control = tmp_path / "two", tmp_path / "control"
    done = _run(*flags, "--out", str(two), "--devices", "2", "--accumulate", "2")
    assert done.returncode == 0, done.stderr
    assert "with 2 processes" in done.stdout
    assert done.stdout.count("Errors on 5 validation structures") == 1, "one process speaks"
    assert _state(one)["global_step"] == _state(two)["global_step"] == 21
    assert _difference(one, two) < TOLERANCE
    for first, second in zip(*(read_history(out / "metrics.csv") for out in (one, two)), strict=True):
        for name in first.keys() - {"minutes"}:
            assert first[name] == pytest.approx(second[name], rel=1e-6), name
    cards = [json.loads((out / "model_card.json").read_text()) for out in (one, two)]
    first, second = (card["errors"]["validation"] for card in cards)
    assert first["known"] == second["known"]
    for name in first.keys() - {"known", "outputs"}:
        assert first[name] == pytest.approx(second[name], rel=1e-9), name
    done = _run(
        *flags, "--out", str(control), "--devices", "2", program=MEAN_OF_MEANS, script=tmp_path / "mean_of_means.py"
    )
    assert _difference(one, control) > 1e3 * TOLERANCE, "control: the mean of the means is another training"


@pytest.mark.slow
@pytest.mark.exhaustive
@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_two_processes_train_compiled_what_one_trains_eagerly(flags: list[str], one: Path, tmp_path: Path) -> None:
    """What one process has made and proven, for molecules and for crystals, the other loads."""
    two = tmp_path / "two"
    done = _run(*flags, "--out", str(two), "--devices", "2", "--compile", "on", limit=3600)
    assert done.returncode == 0, done.stderr
    assert _difference(one, two) < TOLERANCE
    assert done.stderr.count("Compiling the training step") == 2
    assert done.stderr.count("Compiling energies and forces") == 2
    assert done.stderr.count("Loading the training step") == 2


@pytest.mark.long
def test_training_ends_where_one_process_is_killed_and_resumes(flags: list[str], one: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut"
    done = _run(*flags, "--out", str(cut), "--devices", "2", program=KILLER, script=tmp_path / "killer.py")
    assert done.returncode in (1, -signal.SIGKILL), done.stderr
    assert "Another process of the training has ended or cannot be reached" in done.stderr
    assert "repeat the command with --resume" in done.stderr
    assert _state(cut)["epoch"] == 1, "two epochs were complete"
    done = _run(*flags, "--out", str(cut), "--devices", "2", "--resume")
    assert done.returncode == 0, done.stderr
    assert _difference(one, cut) < TOLERANCE
