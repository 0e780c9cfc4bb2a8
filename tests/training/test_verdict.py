from __future__ import annotations

import pytest
import torch

from pyg_mpnn.training import Errors, Predictions
from pyg_mpnn.training.verdict import judge, relative_force_error


def passed(forces: tuple[float, float], energy: float, relative: float) -> list[bool | None]:
    errors = Errors(9, None, None, energy / 1.3, energy, *forces)
    return [verdict.passed for verdict in judge(errors, relative)]


def test_each_rule_decides_at_its_limit() -> None:
    assert passed((10.0, 13.0), 1.0, 0.1) == [True, True, True]
    assert passed((10.0, 13.0), 1.0, 0.101) == [True, True, False]
    assert passed((10.1, 13.0), 1.0, 0.05) == [True, True, False]
    assert passed((50.0, 100.0), 2.0, 0.05) == [True, True, False]
    assert passed((50.0, 100.1), 2.0, 0.05) == [True, False, False]
    assert passed((50.1, 90.0), 2.1, 0.05) == [False, False, False]


def test_sentences_have_errors_and_rules() -> None:
    texts = [str(verdict) for verdict in judge(Errors(9, None, None, 1.0, 1.5, 41.5, 60.0), 0.047)]
    assert texts[0] == "good enough for optimisation: force MAE 41.5 meV/A (at most 50)"
    assert texts[2].startswith("NOT good enough for phonons: force MAE 41.5 meV/A (at most 10), 4.7 % of the mean")
    assert [verdict.passed for verdict in judge(Errors(9, 1.0, 1.0, 1.0, 1.0), None)] == [None] * 3


def test_small_errors_of_forces_that_are_zero_are_no_praise() -> None:
    still = judge(Errors(9, None, None, 1.0, 1.5, 1e-6, 1e-6), None)
    assert [verdict.passed for verdict in still] == [None] * 3
    assert "atoms that are off their sites" in still[0].reason
    forces = torch.full((2, 3), 5e-4)
    assert relative_force_error(Predictions(torch.tensor([2]), forces=forces, forces_ref=forces)) is None
    assert relative_force_error(Predictions(torch.tensor([2]), forces=9 * forces, forces_ref=9 * forces)) == 0.0


def test_relative_error_is_one_for_a_model_that_says_zero() -> None:
    forces = torch.tensor([[1.0, -2.0, 3.0], [torch.nan] * 3], dtype=torch.float64)
    zero = torch.zeros(2, 3, dtype=torch.float64)
    sizes = torch.tensor([2])
    assert relative_force_error(Predictions(sizes, forces=zero, forces_ref=forces)) == 1.0
    assert relative_force_error(
        Predictions(sizes, forces=0.9 * forces.nan_to_num(), forces_ref=forces)
    ) == pytest.approx(0.1)
    assert relative_force_error(Predictions(sizes, forces=zero, forces_ref=zero)) is None
    assert relative_force_error(Predictions(sizes)) is None


def test_one_structure_is_too_few_for_praise_and_enough_for_blame() -> None:
    few = Errors(9, None, None, 1.0, 1.5, 41.5, 60.0, known={"forces": 1})
    optimisation, _, phonons = judge(few, 0.047)
    assert (optimisation.passed, phonons.passed) == (None, False)
    assert str(optimisation).endswith("(at most 50); 1 structure is too few to say so (at least 5)")


def test_energies_that_are_too_wrong_need_no_forces() -> None:
    for errors in (Errors(9, None, None, 3.0, 4.28), Errors(9, None, None, 3.0, 4.28, 1e-6, 1e-6)):
        optimisation, dynamics, phonons = judge(errors, None)
        assert (optimisation.passed, dynamics.passed, phonons.passed) == (None, False, None)
        assert "energy RMSE 4.3 meV/atom (at most 2), whatever the forces are" in str(dynamics)
