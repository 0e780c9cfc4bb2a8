from __future__ import annotations

import copy
import importlib
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from ase.calculators.lj import LennardJones
from ase.calculators.mixing import SumCalculator
from ase.optimize import BFGS
from ase.stress import voigt_6_to_full_3x3_stress

import pyg_mpnn
from pyg_mpnn import (
    ZBL,
    ChargesOutput,
    DipoleOutput,
    Potential,
    PotentialCalculator,
    ScalarOutput,
    SumPotential,
)


def tensors(atoms: Atoms) -> dict[str, torch.Tensor]:
    plain = {"data": torch.tensor(atoms.numbers, dtype=torch.long), "pos": torch.tensor(atoms.positions)}
    if not atoms.pbc.any():
        return plain
    cell = torch.tensor(np.asarray(atoms.cell.complete()))
    return {**plain, "cell": cell[None], "pbc": torch.tensor(atoms.pbc)[None]}


def calls_of(calculator: PotentialCalculator) -> list[int]:
    """A list that grows with each evaluation of the potential."""
    calls: list[int] = []
    calculator.potential.register_forward_hook(lambda *_: calls.append(1))
    return calls


@pytest.mark.parametrize("structure", ["molecule", "crystal"])
def test_results_equal_the_potential(
    structure: str, potential: Potential, dtype: torch.dtype, request: pytest.FixtureRequest
) -> None:
    atoms = request.getfixturevalue(structure)
    atoms.calc = PotentialCalculator(potential, dtype=dtype)
    expected = potential.to(dtype).eval()(**tensors(atoms), stress=bool(atoms.pbc.all()))
    assert atoms.get_potential_energy() == expected.energy.item()
    assert atoms.get_potential_energy(force_consistent=True) == expected.energy.item()
    assert (atoms.get_potential_energies() == expected.atom_energies.numpy()).all()
    assert (atoms.get_forces() == expected.forces.double().numpy()).all()
    assert atoms.get_forces().dtype == np.float64
    if expected.stress is not None:
        stress = voigt_6_to_full_3x3_stress(atoms.get_stress())
        # ASE's six numbers are the mean of the two triangles, which rounding makes differ.
        assert stress == pytest.approx(expected.stress[0].double().numpy(), rel=10 * torch.finfo(dtype).eps)


def test_float32_keeps_the_reference_energy_in_float64(potential: Potential, molecule: Atoms) -> None:
    double, single = (PotentialCalculator(potential, dtype=dtype) for dtype in (torch.float64, torch.float32))
    difference = double.get_potential_energy(molecule) - single.get_potential_energy(molecule)
    assert abs(difference) < 1e-5  # float32 resolves 2.4e-4 eV at -4180 eV


def test_forces_and_stress_are_derivatives_of_the_energy(potential: Potential, molecule: Atoms, crystal: Atoms) -> None:
    # Central differences of 1e-4 leave errors near 1e-8 here: the third derivative, and -15,700 eV in 16 digits.
    molecule.calc = crystal.calc = PotentialCalculator(potential)
    assert molecule.get_forces() == pytest.approx(calculate_numerical_forces(molecule, eps=1e-4), abs=1e-7)
    assert crystal.get_forces() == pytest.approx(calculate_numerical_forces(crystal, eps=1e-4), abs=1e-7)
    assert crystal.get_stress() == pytest.approx(calculate_numerical_stress(crystal, eps=1e-4), abs=1e-9)
    # Not equal because all is zero:
    assert np.abs(molecule.get_forces()).max() > 0.1
    assert np.abs(crystal.get_forces()).max() > 1e-3
    assert np.abs(crystal.get_stress()).max() > 1e-4


def test_forces_then_energy_is_one_evaluation(potential: Potential, molecule: Atoms) -> None:
    molecule.calc = PotentialCalculator(potential)
    calls = calls_of(molecule.calc)
    molecule.get_forces()
    molecule.get_potential_energy()
    molecule.get_potential_energies()
    molecule.set_initial_charges(np.ones(len(molecule)))  # the potential does not read charges
    molecule.get_forces()
    assert len(calls) == 1
    molecule.positions[0] += 0.01
    molecule.get_forces()
    assert len(calls) == 2


def test_direct_calls_leave_no_old_results(potential: Potential, molecule: Atoms) -> None:
    calculator = PotentialCalculator(potential)
    calculator.calculate(molecule, ["forces"])
    molecule.positions[0] += 0.1
    calculator.calculate(molecule, ["energy"])
    assert "forces" not in calculator.results


def test_any_change_is_seen(potential: Potential, crystal: Atoms) -> None:
    crystal.calc = PotentialCalculator(potential)
    calls = calls_of(crystal.calc)
    crystal.get_potential_energy()
    crystal.positions[0, 0] = np.nextafter(crystal.positions[0, 0], 1.0)
    crystal.get_potential_energy()
    crystal.numbers[0] = 6
    crystal.get_potential_energy()
    crystal.cell[2] *= 1.01
    crystal.get_potential_energy()
    crystal.pbc[2] = False
    crystal.get_potential_energy()
    assert len(calls) == 5
    crystal.info["unrelated"] = 1
    crystal.get_potential_energy()
    assert len(calls) == 5


def test_energy_forces_and_stress_are_one_evaluation_of_each_structure(potential: Potential, crystal: Atoms) -> None:
    crystal.calc = PotentialCalculator(potential)
    calls = calls_of(crystal.calc)
    for expected in (1, 2, 3):
        crystal.get_potential_energy()
        crystal.get_stress()
        crystal.get_forces()
        assert crystal.calc.results.keys() == set(PotentialCalculator.implemented_properties)
        assert len(calls) == expected
        crystal.positions[0] += 0.01


def test_forces_and_stress_only_where_they_were_asked_of_the_structure_before(
    potential: Potential, crystal: Atoms
) -> None:
    crystal.calc = PotentialCalculator(potential)
    calls = calls_of(crystal.calc)
    crystal.get_potential_energy()
    crystal.positions[0] += 0.01
    crystal.get_potential_energy()
    assert crystal.calc.results.keys() == {"energy", "free_energy", "energies"}
    crystal.get_forces()
    assert "stress" not in crystal.calc.results
    assert len(calls) == 3
    crystal.positions[0] += 0.01
    crystal.get_potential_energy()
    crystal.get_forces()
    assert len(calls) == 4


def test_failed_call_leaves_no_results(potential: Potential, molecule: Atoms) -> None:
    calculator = PotentialCalculator(potential)
    calculator.calculate(molecule, ["energy", "forces"])
    assert "energy" in calculator.results, "control"
    molecule.positions[0, 0] = np.nan
    for _ in range(2):
        with pytest.raises(ValueError, match="'atoms' must have finite positions"):
            calculator.calculate(molecule, ["energy"])
        assert not calculator.results
    with pytest.raises(ValueError, match="'atoms' must have finite positions"):
        calculator.get_property("energy", molecule)


def test_potential_given_stays_as_it_was(potential: Potential, molecule: Atoms) -> None:
    potential.train()
    molecule.calc = PotentialCalculator(potential, dtype=torch.float32)
    molecule.get_forces()
    assert potential.training
    assert potential.dtype == torch.float64
    assert all(parameter.requires_grad and parameter.grad is None for parameter in potential.parameters())


def test_calculator_keeps_its_own_weights(potential: Potential, molecule: Atoms) -> None:
    molecule.calc = PotentialCalculator(potential)
    before = molecule.get_forces()
    with torch.no_grad():
        for parameter in potential.parameters():
            parameter.zero_()
    molecule.calc.reset()
    assert (molecule.get_forces() == before).all()


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda calculator: pickle.loads(pickle.dumps(calculator))])
def test_copies_give_the_same(copied: object, potential: Potential, crystal: Atoms) -> None:
    calculator = PotentialCalculator(potential)
    expected = calculator.get_forces(crystal)
    twin = copied(calculator)
    twin.reset()
    assert (twin.get_forces(crystal) == expected).all()
    crystal.positions[0] += 0.3
    assert (twin.get_forces(crystal) == calculator.get_forces(crystal)).all()


def test_path_of_a_saved_potential(potential: Potential, saved: Path, molecule: Atoms) -> None:
    expected = PotentialCalculator(potential).get_forces(molecule)
    assert (PotentialCalculator(str(saved)).get_forces(molecule) == expected).all()
    assert (PotentialCalculator(saved).get_forces(molecule) == expected).all()


def test_skin_changes_no_bit_and_saves_searches(potential: Potential, crystal: Atoms) -> None:
    crystal = crystal * (2, 2, 2)
    with_skin, without = PotentialCalculator(potential, skin=0.6), PotentialCalculator(potential, skin=0.0)
    rng = np.random.default_rng(0)
    for _ in range(10):
        crystal.positions += rng.normal(scale=0.02, size=(len(crystal), 3))
        assert (with_skin.get_forces(crystal) == without.get_forces(crystal)).all()
    assert with_skin.skin_list.num_rebuilds < without.skin_list.num_rebuilds == 10


def test_one_calculator_for_changing_structures(potential: Potential, molecule: Atoms, crystal: Atoms) -> None:
    calculator = PotentialCalculator(potential)
    for atoms in (molecule, crystal, molecule[:3], crystal * (1, 1, 2), molecule):
        assert (calculator.get_forces(atoms) == PotentialCalculator(potential).get_forces(atoms)).all()


def test_slab_without_a_third_vector(potential: Potential, molecule: Atoms) -> None:
    slab = Atoms(molecule, cell=[20.0, 20.0, 0.0], pbc=[True, True, False])
    far = Atoms(molecule, cell=[20.0, 20.0, 20.0], pbc=True)  # beyond the cutoff of its images: the molecule alone
    calculator = PotentialCalculator(potential)
    expected = calculator.get_forces(molecule)
    assert calculator.get_forces(slab) == pytest.approx(expected, abs=1e-12)
    assert calculator.get_forces(far) == pytest.approx(expected, abs=1e-12)


def test_atoms_that_fly_away_are_no_error(potential: Potential, molecule: Atoms) -> None:
    calculator = PotentialCalculator(potential)
    calculator.get_forces(molecule)
    molecule.positions[8] += [1e5, 0.0, 0.0]
    forces = calculator.get_forces(molecule)
    assert (forces[8] == 0).all()
    assert np.isfinite(forces).all()
    assert calculator.get_potential_energy(molecule) == pytest.approx(
        calculator.get_potential_energy(molecule[:8]) + calculator.get_potential_energy(molecule[8:]), abs=1e-9
    )


def test_relaxation_lowers_the_energy(potential: Potential, molecule: Atoms) -> None:
    molecule.calc = PotentialCalculator(potential)
    before = molecule.get_potential_energy()
    BFGS(molecule, logfile=None).run(fmax=0.05, steps=5)
    assert molecule.get_potential_energy() < before


def test_stress_of_a_slab(potential: Potential, molecule: Atoms) -> None:
    """By the volume of the cell, as ASE's own calculators have it; without a height there is none."""
    slab = Atoms(molecule, cell=[[5.0, 1.0, 0.0], [0.0, 6.0, 0.0], [0.0, 0.0, 20.0]], pbc=[True, True, False])
    slab.calc = PotentialCalculator(potential, dtype=torch.float64)
    assert slab.get_stress() == pytest.approx(calculate_numerical_stress(slab, eps=1e-4), abs=1e-7)
    assert np.abs(slab.get_stress()[[0, 1, 5]]).min() > 1e-5
    slab.cell[2] = 0.0
    with pytest.raises(PropertyNotImplementedError, match="a slab needs a vector across it"):
        slab.get_stress()


def test_stress_of_a_molecule(potential: Potential, molecule: Atoms) -> None:
    molecule.calc = PotentialCalculator(potential)
    with pytest.raises(
        PropertyNotImplementedError, match=r"'stress' needs a cell that is periodic in two or three directions"
    ):
        molecule.get_stress()


def test_positions_that_are_not_finite(potential: Potential, molecule: Atoms) -> None:
    molecule.positions[3, 1] = np.nan
    with pytest.raises(ValueError, match=r"'atoms' must have finite positions, got .*nan.* for atom 3 \(H\)"):
        PotentialCalculator(potential).get_forces(molecule)


@pytest.mark.parametrize("cell", [[0.0, 5.0, 5.0], [np.inf, 5.0, 5.0]])
def test_cell_without_a_periodic_vector(cell: list[float], potential: Potential, molecule: Atoms) -> None:
    atoms = Atoms(molecule, cell=np.diag(cell), pbc=True)
    with pytest.raises(
        ValueError, match=r"'atoms' must have a finite, non-zero cell vector in each periodic direction"
    ):
        PotentialCalculator(potential).get_forces(atoms)


def test_unknown_element(potential: Potential, molecule: Atoms) -> None:
    molecule.numbers[0] = 9
    with pytest.raises(ValueError, match=r"elements? .*9"):
        PotentialCalculator(potential).get_forces(molecule)


def test_coincident_atoms(potential: Potential, molecule: Atoms) -> None:
    molecule.positions[1] = molecule.positions[0]
    with pytest.raises(ValueError, match="coincident atoms"):
        PotentialCalculator(potential).get_forces(molecule)


def test_no_structure(potential: Potential) -> None:
    with pytest.raises(ValueError, match=r"'atoms' must be given in the first call, got None"):
        PotentialCalculator(potential).calculate()


def test_wrong_potential(unchecked: None) -> None:
    with pytest.raises(TypeError, match=r"'potential' must be a Potential or the path of a saved one, got Linear"):
        PotentialCalculator(torch.nn.Linear(1, 1))


def test_wrong_dtype(potential: Potential, unchecked: None) -> None:
    with pytest.raises(TypeError, match=r"'dtype' must be torch.float32 or torch.float64, got 'float64' \(str\)"):
        PotentialCalculator(potential, dtype="float64")
    with pytest.raises(ValueError, match=r"'dtype' must be torch.float32 or torch.float64, got torch.int64"):
        PotentialCalculator(potential, dtype=torch.int64)


@pytest.mark.parametrize("device", ["gpu", "cuda:99"])
def test_device_that_is_not_there(device: str, potential: Potential) -> None:
    with pytest.raises(ValueError, match=rf"'device' must be one that torch can use here, got '{device}': \w+"):
        PotentialCalculator(potential, device=device)


def test_negative_skin(potential: Potential) -> None:
    with pytest.raises(ValueError, match="'skin' must be"):
        PotentialCalculator(potential, skin=-0.1)


def test_without_ase(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "pyg_mpnn.md.calculator")
    monkeypatch.setitem(sys.modules, "ase", None)
    with pytest.raises(ImportError, match=r'pip install "pyg_mpnn\[md\]"'):
        importlib.import_module("pyg_mpnn.md.calculator")


def test_top_level_name_is_the_same_class() -> None:
    assert pyg_mpnn.PotentialCalculator is PotentialCalculator


@pytest.mark.parametrize("structure", ["molecule", "crystal"])
def test_sums_of_potentials_run_as_one(
    structure: str, potential: Potential, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    atoms = request.getfixturevalue(structure)
    zbl = ZBL(2.5).double()
    SumPotential(potential, zbl).save(tmp_path / "sum.pt")
    parts = [PotentialCalculator(part) for part in (potential, zbl)]
    for total in (SumPotential(potential, zbl), tmp_path / "sum.pt"):
        atoms.calc = PotentialCalculator(total)
        for _ in range(2):
            expected = sum(calculator.get_potential_energy(atoms) for calculator in parts)
            assert atoms.get_potential_energy() == pytest.approx(expected, abs=1e-9)
            forces = [calculator.get_forces(atoms) for calculator in parts]
            assert atoms.get_forces() == pytest.approx(sum(forces), abs=1e-10)
            assert min(np.abs(force).max() for force in forces) > 0.01
            if atoms.pbc.all():
                stresses = [calculator.get_stress(atoms) for calculator in parts]
                assert atoms.get_stress() == pytest.approx(sum(stresses), abs=1e-12)
            atoms.rattle(0.02, seed=1)


def test_sum_with_a_calculator_of_ase(potential: Potential, crystal: Atoms) -> None:
    def baseline() -> LennardJones:
        return LennardJones(sigma=2.0, epsilon=0.1, rc=4.0, smooth=True)

    parts = [baseline(), PotentialCalculator(potential)]
    crystal.calc = SumCalculator([baseline(), PotentialCalculator(potential)])
    expected = sum(part.get_potential_energy(crystal) for part in parts)
    assert crystal.get_potential_energy() == pytest.approx(expected, abs=1e-9)
    assert crystal.get_forces() == pytest.approx(sum(part.get_forces(crystal) for part in parts), abs=1e-10)
    assert crystal.get_stress() == pytest.approx(sum(part.get_stress(crystal) for part in parts), abs=1e-12)


def test_dipole_and_charges_are_those_of_ase(unchecked) -> None:
    outputs = {"dipole": DipoleOutput(), "charges": ChargesOutput(), "gap": ScalarOutput(extensive=False)}
    potential = Potential.from_size("small", hidden_channels=8, edge_dim=8, channels=2, num_layers=1, outputs=outputs)
    atoms = molecule("H2O", calculator=PotentialCalculator(potential))
    assert atoms.get_dipole_moment().shape == (3,)
    assert atoms.get_charges().sum() == pytest.approx(0.0, abs=1e-9)
    expected = potential.eval()(torch.tensor(atoms.numbers), torch.tensor(atoms.positions)).dipole[0]
    assert atoms.get_dipole_moment() == pytest.approx(expected.detach().numpy(), rel=1e-5)
    for seed in (1, 2):  # the first new structure is evaluated for what was asked of the one before
        atoms.rattle(0.1, seed=seed)
        atoms.get_forces()
        assert ("dipole" in atoms.calc.results) == (seed == 1)
    debye = Potential.from_size("small", outputs={"dipole": DipoleOutput(unit="D")})
    assert "dipole" not in PotentialCalculator(debye).implemented_properties
    with pytest.raises(ValueError, match="'potential' must have an energy"):
        PotentialCalculator(Potential.from_size("small", energy=False, outputs={"gap": ScalarOutput()}))
