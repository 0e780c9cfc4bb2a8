from __future__ import annotations

import math
from dataclasses import replace

import ase.units
import pytest
import torch
from torch_geometric.data import Batch, Data

from pyg_mpnn.models import PotentialOutput
from pyg_mpnn.training import Errors, Predictions, compute_errors
from pyg_mpnn.training.metrics import compare, join, score


def _predictions(stress: bool = False) -> Predictions:
    """Two structures of 2 and 4 atoms; energies are off by 0.01 and -0.03 eV, one force component by 0.6 eV/A."""
    forces = torch.zeros(6, 3, dtype=torch.float64)
    forces[0, 1] = 0.6
    known = torch.full((2, 3, 3), torch.nan, dtype=torch.float64)
    known[0] = 0.0
    return Predictions(
        num_atoms=torch.tensor([2, 4]),
        energy=torch.tensor([1.01, 4.97], dtype=torch.float64),
        energy_ref=torch.tensor([1.0, 5.0], dtype=torch.float64),
        forces=forces,
        forces_ref=torch.zeros_like(forces),
        stress=torch.full((2, 3, 3), 0.002, dtype=torch.float64) if stress else None,
        stress_ref=known if stress else None,
    )


def test_errors_equal_hand_computed_values() -> None:
    found = compute_errors(_predictions())
    assert found.n_structures == 2
    assert found.energy_mae_meV == pytest.approx(20.0)
    assert found.energy_rmse_meV == pytest.approx(math.sqrt((10**2 + 30**2) / 2))
    assert found.energy_mae_meV_per_atom == pytest.approx((10 / 2 + 30 / 4) / 2)
    assert found.energy_rmse_meV_per_atom == pytest.approx(math.sqrt((5**2 + 7.5**2) / 2))
    assert found.forces_mae_meV_per_A == pytest.approx(600 / 18)
    assert found.forces_rmse_meV_per_A == pytest.approx(600 / math.sqrt(18))
    assert found.stress_mae_meV_per_A3 is None


def test_stress_errors_leave_unknown_components_out() -> None:
    found = compute_errors(_predictions(stress=True))
    assert found.stress_mae_meV_per_A3 == pytest.approx(2.0)
    assert found.stress_rmse_meV_per_A3 == pytest.approx(2.0)
    assert [found.stress_mae_GPa, found.stress_rmse_GPa] == pytest.approx([2e-3 / ase.units.GPa] * 2)
    unknown = _predictions(stress=True)._replace(stress_ref=torch.full((2, 3, 3), torch.nan, dtype=torch.float64))
    nothing = compute_errors(unknown)
    assert nothing.stress_mae_meV_per_A3 is nothing.stress_mae_GPa is nothing.stress_rmse_GPa is None


def test_summary_has_exactly_the_promised_names() -> None:
    names = [
        "n_structures",
        "energy_mae_meV",
        "energy_rmse_meV",
        "energy_mae_meV_per_atom",
        "forces_mae_meV_per_A",
        "forces_rmse_meV_per_A",
    ]
    found = compute_errors(_predictions())
    assert list(found.summary()) == names
    with_stress = replace(found, stress_mae_meV_per_A3=1.0).summary()
    assert list(with_stress) == [*names, "stress_mae_meV_per_A3", "stress_mae_GPa"]
    assert with_stress["stress_mae_GPa"] == pytest.approx(0.1602177, rel=1e-6)


def test_errors_of_batches_equal_errors_of_all(dtype: torch.dtype) -> None:
    whole = _predictions(stress=True)
    parts = [
        Predictions(*(None if x is None else x[rows] for x, rows in zip(whole, slices, strict=False)))
        for slices in (
            (slice(0, 1), slice(0, 1), slice(0, 1), slice(0, 2), slice(0, 2), slice(0, 1), slice(0, 1)),
            (slice(1, 2), slice(1, 2), slice(1, 2), slice(2, 6), slice(2, 6), slice(1, 2), slice(1, 2)),
        )
    ]
    assert compute_errors(join(parts)) == compute_errors(whole)


def test_compare_takes_float64_energies_and_detached_values(dtype: torch.dtype) -> None:
    frame = Data(z=torch.tensor([1, 1]), pos=torch.zeros(2, 3), energy=torch.tensor([-17600.0001], dtype=torch.float64))
    frame.forces = torch.ones(2, 3)
    forces = torch.ones(2, 3, requires_grad=True)
    energy = torch.tensor([-17600.0003], dtype=torch.float64)
    output = PotentialOutput(energy, forces, None, torch.zeros(2).double())
    pair = compare(output, Batch.from_data_list([frame]))
    assert not pair.forces.requires_grad
    assert pair.forces.dtype == torch.float64
    assert compute_errors(pair).energy_mae_meV == pytest.approx(0.2, rel=1e-6)


def test_no_structure_is_an_error() -> None:
    empty, forces = torch.zeros(0, dtype=torch.float64), torch.zeros(0, 3, dtype=torch.float64)
    with pytest.raises(ValueError, match="'predictions' must hold at least one structure, got none"):
        compute_errors(Predictions(torch.zeros(0, dtype=torch.int64), empty, empty, forces, forces))


def test_errors_without_atoms_are_zero() -> None:
    one, none = torch.zeros(1, dtype=torch.float64), torch.zeros(0, 3, dtype=torch.float64)
    assert compute_errors(Predictions(torch.tensor([0]), one, one, none, none)) == Errors(1, 0, 0, 0, 0, 0, 0)


def test_score_is_force_error_plus_energy_error_per_atom() -> None:
    assert score(Errors(1, 90.0, 90.0, 10.0, 10.0, 25.0, 30.0)) == 35.0


def test_structures_without_a_reference_are_not_compared_and_the_others_are_counted() -> None:
    found = _predictions(stress=True)
    energy, forces = found.energy_ref.clone(), found.forces_ref.clone()
    energy[1], forces[:2] = torch.nan, torch.nan
    errors = compute_errors(found._replace(energy_ref=energy, forces_ref=forces))
    assert errors.known == {"energy": 1, "forces": 1, "stress": 1}
    assert errors.energy_mae_meV == pytest.approx(10.0)
    assert errors.forces_mae_meV_per_A == 0.0
    assert errors.summary()["n_structures_with_forces"] == 1
    assert compute_errors(_predictions()).known == {}, "control"


def test_errors_of_outputs_are_over_their_known_components() -> None:
    values = torch.tensor([[1.0, 2.0, 4.0], [5.0, 5.0, 5.0]], dtype=torch.float64)
    references = torch.tensor([[1.0, 1.0, 1.0], [torch.nan] * 3], dtype=torch.float64)
    one = Predictions(torch.tensor([2, 3]), others={"dipole": values}, others_ref={"dipole": references})
    found = compute_errors(one, {"dipole": "e*A"})
    assert (found.energy_mae_meV, found.forces_mae_meV_per_A) == (None, None)
    errors = found.outputs["dipole"]
    assert (errors.mae, errors.count, errors.unit) == (pytest.approx(4 / 3), 3, "e*A")
    assert errors.rmse == pytest.approx(math.sqrt(10 / 3))
    own = {"dipole_mae": errors.mae, "dipole_rmse": errors.rmse}
    assert found.summary() == {"n_structures": 2, "n_structures_with_dipole": 1, **own}
    assert compute_errors(join([one, one])).outputs["dipole"].count == 6
    assert compute_errors(one._replace(others={"dipole": values * math.nan})).outputs["dipole"].mae != errors.mae, "NaN"
    assert score(found, {"dipole": 0.5}) == pytest.approx(8 / 3)
    both = replace(found, forces_mae_meV_per_A=20.0, energy_mae_meV_per_atom=3.0)
    assert score(both, {"dipole": 0.5}, scale=0.1) == pytest.approx(23.0 + 100 * 8 / 3)
    charges = torch.tensor([torch.nan, 0.1, torch.nan, torch.nan, torch.nan], dtype=torch.float64)
    of_atoms = one._replace(others={"q": 0 * charges.nan_to_num()}, others_ref={"q": charges})
    assert compute_errors(of_atoms).known == {"q": 1}
    nothing = compute_errors(one._replace(others_ref={"dipole": references * math.nan}))
    assert nothing.outputs == {}
