from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.io import read, write

from pyg_mpnn import Potential, PotentialCalculator
from pyg_mpnn.cli.main import main
from pyg_mpnn.md.replicas import Batch, run_in_turn


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "structure"),
    [
        ("--ensemble nve", "ethanol"),
        ("--ensemble nvt --friction 0.05", "ethanol"),
        ("--ensemble nvt --integrator Bussi --tdamp 10", "ethanol"),
        ("--ensemble nvt --integrator NoseHooverChainNVT --tdamp 10 --fix 0", "ethanol"),
        ("--ensemble npt --tdamp 10 --pdamp 40 --timestep 2", "crystal"),
    ],
)
def test_each_replica_is_the_single_run_of_its_seed(
    flags: str, structure: str, saved: Path, crystal: Atoms, tmp_path: Path, unchecked: None
) -> None:
    write(tmp_path / "crystal.extxyz", crystal * (2, 1, 1))
    file = tmp_path / "crystal.extxyz" if structure == "crystal" else "ethanol"
    command = f"md --model {saved} --structure {file} {flags} --steps 20 --threads 1 --trajectory-interval 5".split()
    out = tmp_path / "copies"
    assert main([*command, "--seed", "4", "--replicas", "3", "--out", str(out)]) == 0
    ends = []
    for number in range(3):
        single = tmp_path / f"single{number}"
        if number < 2:
            assert main([*command, "--seed", str(4 + number), "--out", str(single)]) == 0
            pair = [read(of / "trajectory.traj", ":") for of in (out / f"replica_{number:03d}", single)]
            assert len(pair[0]) == len(pair[1]) == 5
            for a, b in zip(*pair, strict=True):
                assert a.positions == pytest.approx(b.positions, abs=1e-9)
                assert a.get_momenta() == pytest.approx(b.get_momenta(), abs=1e-8)
                assert a.cell.array == pytest.approx(b.cell.array, abs=1e-9)
                assert a.get_potential_energy() == pytest.approx(b.get_potential_energy(), abs=1e-7)
        ends.append(read(out / f"replica_{number:03d}" / "trajectory.traj").positions)
    assert np.abs(ends[0] - ends[1]).max() > 1e-3, "control: another seed is another run"
    summary = json.loads((out / "summary.json").read_text())
    assert summary["replicas"] == 3
    assert summary["ms_per_replica_step"] > 0
    assert summary["ms_per_step_of_one"] > 0
    assert len(summary["mean_temperature_last_half_of_each_K"]) == 3
    assert (out / "energy_drift.png").exists()


@pytest.mark.parametrize("periodic", [False, True])
def test_one_call_gives_what_single_calls_give(
    periodic: bool, potential: Potential, molecule: Atoms, crystal: Atoms, monkeypatch: pytest.MonkeyPatch
) -> None:
    atoms = crystal * (2, 1, 1) if periodic else molecule
    calls = []
    forward = Potential.forward
    monkeypatch.setattr(Potential, "forward", lambda *args, **names: calls.append(1) or forward(*args, **names))
    copies = [atoms.copy() for _ in range(4)]
    for number, copy in enumerate(copies):
        copy.rattle(0.02, seed=number)
        if periodic:
            copy.set_cell(copy.cell.array * (1 + 0.01 * number), scale_atoms=True)
    batch = Batch(potential.eval(), atoms, 4, stress=periodic)
    for _ in range(2):
        found = batch(copies)
        for copy, result in zip(copies, found, strict=True):
            copy.calc = PotentialCalculator(potential)
            count = len(calls)
            assert result["energy"] == pytest.approx(copy.get_potential_energy(), abs=1e-8)
            assert result["forces"] == pytest.approx(copy.get_forces(), abs=1e-8)
            if periodic:
                assert result["stress"] == pytest.approx(copy.get_stress(), abs=1e-9)
            assert len(calls) == count + 1, "control: a single call is counted"
            copy.positions[0] += 0.4  # out of the skin
        del calls[:]
        batch(copies)
        assert len(calls) == 1


def test_tasks_take_turns_in_order() -> None:
    order: list[str] = []

    def task(name: str) -> Callable[[Callable[[Any], Any]], None]:
        def run(ask: Callable[[Any], Any]) -> None:
            for step in range(2):
                order.append(f"{name}{ask(step)}")

        return run

    run_in_turn([task("a"), task("b")], lambda asked: [asked[0] * 10, asked[1] * 10 + 1])
    assert order == ["a0", "b1", "a10", "b11"]


def test_error_of_one_ends_all() -> None:
    ends: list[str] = []

    def good(ask: Callable[[Any], Any]) -> None:
        try:
            for _ in range(9):
                ask(None)
        finally:
            ends.append("good")

    def bad(ask: Callable[[Any], Any]) -> None:
        ask(None)
        raise ArithmeticError("exploded")

    before = threading.active_count()
    with pytest.raises(ArithmeticError, match="exploded"):
        run_in_turn([good, bad, good], lambda asked: asked)
    assert ends == ["good", "good"]
    assert threading.active_count() == before

    def fail(asked: list[Any]) -> list[Any]:
        raise ValueError("no energy")

    with pytest.raises(ValueError, match="no energy"):
        run_in_turn([good, good], fail)
    assert len(ends) == 4
    with pytest.raises(RuntimeError, match="must ask equally often"):
        run_in_turn([good, lambda ask: None], lambda asked: asked)


@pytest.mark.slow
@pytest.mark.exhaustive
def test_compiled_replicas_equal_eager_ones(saved: Path, tmp_path: Path, unchecked: None) -> None:
    command = f"md --model {saved} --structure ethanol --steps 10 --threads 1 --replicas 3 --trajectory-interval 5"
    ends = []
    for mode in ("on", "off"):
        assert main([*command.split(), "--compile", mode, "--out", str(tmp_path / mode)]) == 0
        ends.append(np.array([read(of / "trajectory.traj").positions for of in sorted((tmp_path / mode).glob("rep*"))]))
    assert ends[0] == pytest.approx(ends[1], abs=1e-9)
    assert torch.get_num_threads() == 1
