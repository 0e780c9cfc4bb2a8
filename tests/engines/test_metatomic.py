"""A metatomic file beside ASE: energy, forces, stress, atoms chosen by the engine, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase.md.verlet import VelocityVerlet
from ase.units import fs
from metatensor.torch import Labels
from metatomic.torch import ModelEvaluationOptions, ModelOutput, load_atomistic_model, systems_to_torch
from metatomic_ase import MetatomicCalculator

from pyg_mpnn import MPNN, ZBL, Potential, SumPotential, load_potential
from pyg_mpnn.engines.metatomic import export_metatomic
from pyg_mpnn.md import PotentialCalculator
from tests.engines.charged import TRUST

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
    pytest.mark.filterwarnings("ignore:.compute_requested_neighbors. is deprecated:UserWarning"),
]


@pytest.mark.parametrize("kind", ["molecule", "crystal"])
def test_energy_forces_and_stress_equal_ase(kind, saved, by_ase, assert_forces_equal, request, tmp_path, capsys):
    atoms = request.getfixturevalue(kind)
    export_metatomic(saved, tmp_path / "model.pt")
    assert "potential.pt" in capsys.readouterr().out
    atoms.calc = MetatomicCalculator(tmp_path / "model.pt")
    expected = by_ase(atoms)
    assert atoms.get_potential_energy() == pytest.approx(expected.energy, rel=1e-12)
    assert_forces_equal(atoms.get_forces(), expected.forces)
    if expected.virial is not None:
        virial = -atoms.get_stress(voigt=False) * atoms.get_volume()
        np.testing.assert_allclose(virial, expected.virial, atol=1e-7)


def test_sum_of_two_cutoffs_with_attention(molecule, crystal, tmp_path, assert_forces_equal):
    """Everything whose number of edges depends on positions."""
    parts = {"attention": "softmax", "heads": 2, "l_max": 3, "zbl": True, "isolated": "zero"}
    network = Potential.from_size("small", cutoff=(3.0, 4.5), **parts).double()
    network.set_reference({1: -13.6, 6: -1029.5, 8: -2042.1, 14: -7870.2}, 5.0, [5.0, 20.0])
    potential = SumPotential(network, ZBL(2.0).double())
    export_metatomic(potential, tmp_path / "model.pt")
    calculator = MetatomicCalculator(tmp_path / "model.pt")
    for atoms in (molecule, crystal):
        atoms.calc = PotentialCalculator(potential)
        expected = atoms.get_potential_energy(), atoms.get_forces()
        atoms.calc = calculator
        assert atoms.get_potential_energy() == pytest.approx(expected[0], rel=1e-12)
        assert_forces_equal(atoms.get_forces(), expected[1])


def test_charge_is_in_the_file(charged, at_charge, molecule, crystal, tmp_path, assert_forces_equal, capsys):
    potential = load_potential(charged, trust=[TRUST])
    with pytest.raises(ValueError, match="'inputs' must hold a number for each of charge"):
        export_metatomic(potential, tmp_path / "model.pt")
    export_metatomic(potential, tmp_path / "model.pt", inputs={"charge": 1})
    assert "charge 1, float64" in capsys.readouterr().out
    calculator = MetatomicCalculator(tmp_path / "model.pt")
    for atoms in (molecule, crystal):
        atoms.calc = calculator
        energy, forces = at_charge(atoms, 1)
        assert atoms.get_potential_energy() == pytest.approx(energy, rel=1e-12)
        assert_forces_equal(atoms.get_forces(), forces)


def test_energies_of_chosen_atoms(saved, potential, molecule, crystal, tmp_path):
    """Two systems at once, atoms one by one: what an engine with domains asks for."""
    export_metatomic(saved, tmp_path / "model.pt")
    model = load_atomistic_model(tmp_path / "model.pt")
    systems = systems_to_torch([molecule, crystal], dtype=torch.float64)
    from vesin.metatomic import compute_requested_neighbors

    compute_requested_neighbors(systems, "angstrom", model)
    chosen = Labels(["system", "atom"], torch.tensor([[0, 2], [1, 5]], dtype=torch.int32))
    options = ModelEvaluationOptions("angstrom", {"energy": ModelOutput(unit="eV", sample_kind="atom")}, chosen)
    values = model(systems, options, check_consistency=True)["energy"].block().values.flatten()
    of_molecule = potential(torch.tensor(molecule.numbers), torch.tensor(molecule.positions)).atom_energies[2]
    assert values.tolist()[0] == pytest.approx(of_molecule.item(), rel=1e-12)
    assert len(values) == 2


def test_dynamics_conserves_the_energy(saved, molecule, tmp_path):
    export_metatomic(saved, tmp_path / "model.pt")
    molecule.calc = MetatomicCalculator(tmp_path / "model.pt")
    dynamics = VelocityVerlet(molecule, 0.2 * fs)
    totals: list[float] = []
    dynamics.attach(lambda: totals.append(molecule.get_total_energy()))
    dynamics.run(200)
    assert 0 < np.ptp(totals) < 2e-4 * len(molecule)


def test_unknown_element_is_refused(saved, molecule, tmp_path):
    export_metatomic(saved, tmp_path / "model.pt")
    molecule.numbers[0] = 26
    molecule.calc = MetatomicCalculator(tmp_path / "model.pt")
    with pytest.raises(Exception, match="26"):
        molecule.get_potential_energy()


class Branching(Potential):
    """Keeps the number of atoms that it was traced with."""

    def interaction_energies(self, z, *arguments, **options):
        return super().interaction_energies(z, *arguments, **options) * float(len(z))


def test_potential_that_cannot_be_traced_is_refused(tmp_path):
    with pytest.raises(RuntimeError, match="traced energies of 2 atoms differ"):
        export_metatomic(Branching(MPNN(cutoff=4.0, hidden_channels=16)), tmp_path / "model.pt")
    with pytest.raises(FileNotFoundError, match="'path' must lie in a folder that exists"):
        export_metatomic(Branching(MPNN(cutoff=4.0, hidden_channels=16)), tmp_path / "absent" / "model.pt")
    assert not list(tmp_path.iterdir())
