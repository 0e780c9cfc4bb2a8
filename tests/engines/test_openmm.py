"""OpenMM beside ASE: energy, forces, dynamics, and what is refused."""

from __future__ import annotations

import numpy as np
import openmm
import pytest
from ase import Atoms
from openmm import app, unit

from pyg_mpnn import load_potential
from pyg_mpnn.engines.openmm import openmm_force, openmm_simulation
from pyg_mpnn.units import KJ_PER_MOL
from tests.engines.charged import TRUST


def topology_of(atoms: Atoms) -> app.Topology:
    topology = app.Topology()
    residue = topology.addResidue("ALL", topology.addChain())
    for symbol in atoms.symbols:
        topology.addAtom(symbol, app.Element.getBySymbol(symbol), residue)
    if atoms.pbc.all():
        topology.setPeriodicBoxVectors(atoms.cell.array * 0.1 * unit.nanometer)
    return topology


def results(simulation: app.Simulation) -> tuple[float, np.ndarray]:
    state = simulation.context.getState(energy=True, forces=True)
    energy = state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole) * KJ_PER_MOL
    forces = state.getForces(asNumpy=True).value_in_unit(unit.kilojoule_per_mole / unit.nanometer)
    return energy, forces * KJ_PER_MOL / 10


def verlet(step: float = 0.0005) -> openmm.VerletIntegrator:
    return openmm.VerletIntegrator(step * unit.picosecond)


@pytest.mark.parametrize("kind", ["molecule", "crystal"])
def test_energy_and_forces_equal_ase(kind, saved, by_ase, assert_forces_equal, request, capsys):
    atoms = request.getfixturevalue(kind)
    simulation = openmm_simulation(saved, topology_of(atoms), atoms.positions * 0.1, verlet())
    energy, forces = results(simulation)
    expected = by_ase(atoms)
    assert energy == pytest.approx(expected.energy, abs=1e-7 * len(atoms), rel=1e-10)
    assert_forces_equal(forces, expected.forces)
    assert "ensemble of VerletIntegrator" in capsys.readouterr().out


def test_dynamics_conserves_the_energy(saved, molecule):
    simulation = openmm_simulation(saved, topology_of(molecule), molecule.positions * 0.1, verlet(0.0002))
    simulation.context.setVelocitiesToTemperature(300, 1)
    totals = []
    for _ in range(200):
        simulation.step(1)
        state = simulation.context.getState(energy=True)
        totals.append((state.getPotentialEnergy() + state.getKineticEnergy())._value * KJ_PER_MOL)
    assert np.ptp(totals) < 2e-4 * len(molecule)
    assert np.ptp(totals) > 0


def test_barostat_changes_the_cell(saved, crystal):
    barostat = openmm.MonteCarloBarostat(1e4 * unit.bar, 300 * unit.kelvin, 1)
    barostat.setRandomNumberSeed(1)
    integrator = openmm.LangevinMiddleIntegrator(300, 1 / unit.picosecond, 0.001)
    simulation = openmm_simulation(saved, topology_of(crystal), crystal.positions * 0.1, integrator, barostat=barostat)
    simulation.step(20)
    state = simulation.context.getState(positions=True)
    volume = state.getPeriodicBoxVolume().value_in_unit(unit.angstrom**3)
    assert volume != pytest.approx(crystal.get_volume(), rel=1e-6)


def test_force_acts_on_some_particles_of_a_system(saved, molecule, by_ase, assert_forces_equal):
    """Mixed with a classical part: the particle that is not ours feels nothing."""
    system = openmm.System()
    for mass in (*molecule.get_masses(), 40.0):
        system.addParticle(mass)
    force = openmm_force(saved, list(molecule.symbols), periodic=False)
    force.setParticles(range(len(molecule)))
    system.addForce(force)
    context = openmm.Context(system, verlet(), openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(np.concatenate([molecule.positions * 0.1, [[1.0, 1.0, 1.0]]]))
    forces = context.getState(forces=True).getForces(asNumpy=True)._value * KJ_PER_MOL / 10
    assert_forces_equal(forces[:-1], by_ase(molecule).forces)
    assert not forces[-1].any()


def test_charge_reaches_the_potential(charged, at_charge, molecule, assert_forces_equal, capsys):
    potential = load_potential(charged, trust=[TRUST])
    arguments = potential, topology_of(molecule), molecule.positions * 0.1, verlet()
    with pytest.raises(ValueError, match="'inputs' must hold a number for each of charge"):
        openmm_simulation(*arguments)
    energy, forces = results(openmm_simulation(*arguments, inputs={"charge": 1}))
    wanted = at_charge(molecule, 1)
    assert energy == pytest.approx(wanted[0], rel=1e-10)
    assert_forces_equal(forces, wanted[1])
    assert "charge 1, float64" in capsys.readouterr().out
    assert openmm_force(potential, list(molecule.symbols), periodic=False, inputs={"charge": 1})


def test_unknown_element_is_refused(saved):
    with pytest.raises(ValueError, match=r"elements the model was trained on .* \[26\]"):
        openmm_force(saved, ["H", "Fe"], periodic=False)


def test_atom_without_element_is_refused(saved, molecule):
    topology = topology_of(molecule)
    topology.addAtom("M", None, next(topology.residues()))
    with pytest.raises(ValueError, match="atoms with an element, got none for M"):
        openmm_simulation(saved, topology, np.zeros((10, 3)), verlet())


def test_barostat_without_box_and_unknown_platform_are_refused(saved, molecule):
    arguments = (saved, topology_of(molecule), molecule.positions * 0.1, verlet())
    with pytest.raises(ValueError, match="'barostat' needs a topology with box vectors"):
        openmm_simulation(*arguments, barostat=openmm.MonteCarloBarostat(1.0, 300.0))
    with pytest.raises(ValueError, match="'platform' must be one of Reference"):
        openmm_simulation(*arguments, platform="Abacus")


def test_error_inside_the_force_stops_the_dynamics(saved, molecule):
    simulation = openmm_simulation(saved, topology_of(molecule), molecule.positions * 0.1, verlet())
    simulation.context.setPositions(molecule.positions * 0.0)
    with pytest.raises(Exception, match="coincident"):
        simulation.step(1)
