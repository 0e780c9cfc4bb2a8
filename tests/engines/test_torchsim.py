"""TorchSim beside ASE: energy, forces, stress of batches, its own check, dynamics, and what is refused."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from pyg_mpnn import load_potential
from pyg_mpnn.engines.torchsim import torchsim_model
from tests.engines.charged import TRUST

with warnings.catch_warnings():  # torch_sim imports vesin under an old name
    warnings.simplefilter("ignore", DeprecationWarning)
    import torch_sim
    from torch_sim.models.interface import validate_model_outputs

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.mark.parametrize("kind", ["molecule", "crystal"])
def test_batch_equals_ase(kind, saved, by_ase, assert_forces_equal, request, capsys):
    """Two different structures in one graph; a triclinic cell shows on which side the cell vectors are."""
    atoms = request.getfixturevalue(kind)
    other = atoms[: len(atoms) // 2]
    if atoms.pbc.all():
        other = atoms.copy()
        other.set_cell(atoms.cell.array + np.array([[0, 0, 0], [1.0, 0, 0], [-0.5, 0.8, 0]]), scale_atoms=True)
    model = torchsim_model(saved)
    assert "ensemble of the integrator" in capsys.readouterr().out
    output = model(torch_sim.io.atoms_to_state([atoms, other], torch.device("cpu"), torch.float64))
    forces = output["forces"].split([len(atoms), len(other)])
    for index, structure in enumerate([atoms, other]):
        expected = by_ase(structure)
        assert output["energy"][index].item() == pytest.approx(expected.energy, rel=1e-12)
        assert_forces_equal(forces[index].numpy(), expected.forces)
        if expected.virial is not None:
            virial = -output["stress"][index].numpy() * structure.get_volume()
            np.testing.assert_allclose(virial, expected.virial, atol=1e-7)
        else:
            assert output["stress"].isnan().all()


def test_passes_the_check_of_torchsim(potential):
    potential.set_reference({14: -7870.2, 26: -34000.0}, scale=5.0, neighbors=[15.0])
    model = torchsim_model(potential)
    validate_model_outputs(model, torch.device("cpu"), torch.float64)


def test_charge_reaches_the_potential(charged, at_charge, molecule, assert_forces_equal, capsys):
    potential = load_potential(charged, trust=[TRUST])
    with pytest.raises(ValueError, match="'inputs' must hold a number for each of charge"):
        torchsim_model(potential)
    model = torchsim_model(potential, inputs={"charge": 1})
    assert "charge 1, float64" in capsys.readouterr().out
    output = model(torch_sim.io.atoms_to_state([molecule, molecule], torch.device("cpu"), torch.float64))
    energy, forces = at_charge(molecule, 1)
    assert output["energy"].tolist() == pytest.approx([energy] * 2, rel=1e-12)
    assert_forces_equal(output["forces"][: len(molecule)].numpy(), forces)


def test_dynamics_of_two_molecules_conserves_the_energy(saved, molecule):
    model = torchsim_model(saved, compute_stress=False)
    state = torch_sim.io.atoms_to_state([molecule, molecule], torch.device("cpu"), torch.float64)
    unit = torch_sim.units.MetalUnits
    start, step = torch_sim.integrators.nve(model, dt=0.0002 * unit.time, kT=300 * unit.temperature, seed=1)
    state = start(state)
    totals = []
    for _ in range(200):
        state = step(state)
        kinetic = torch_sim.quantities.calc_kinetic_energy(
            momenta=state.momenta, masses=state.masses, system_idx=state.system_idx
        )
        totals.append((state.energy + kinetic).numpy())
    assert (np.ptp(totals, axis=0) < 2e-4 * len(molecule)).all()
    assert (np.ptp(totals, axis=0) > 0).all()


def test_barostat_changes_the_cell(saved, crystal):
    unit = torch_sim.units.MetalUnits
    model = torchsim_model(saved)
    state = torch_sim.io.atoms_to_state(crystal, torch.device("cpu"), torch.float64)
    kT = torch.tensor(300.0, dtype=torch.float64) * unit.temperature
    dt = torch.tensor(0.001, dtype=torch.float64) * unit.time
    pressure = torch.tensor(1e4, dtype=torch.float64) * unit.pressure
    start, step = torch_sim.integrators.npt_langevin(model, dt=dt, kT=kT, external_pressure=pressure, seed=1)
    state = start(state)
    for _ in range(10):
        state = step(state)
    volume = state.cell.det().item()
    assert np.isfinite(volume)
    assert volume != pytest.approx(crystal.get_volume(), rel=1e-6)


def test_unknown_element_and_other_dtype_are_refused(saved, molecule):
    model = torchsim_model(saved)
    molecule.numbers[0] = 26
    with pytest.raises(ValueError, match="elements the model was trained on"):
        model(torch_sim.io.atoms_to_state(molecule, torch.device("cpu"), torch.float64))
    with pytest.raises(ValueError, match=r"'state' must be torch\.float64"):
        model(torch_sim.io.atoms_to_state(molecule, torch.device("cpu"), torch.float32))
