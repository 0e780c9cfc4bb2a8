from __future__ import annotations

import pytest
import torch
from ase.calculators.lj import LennardJones
from torch_geometric.data import Batch

from pyg_mpnn import Potential, PotentialCalculator
from pyg_mpnn.testing import check_potential, crystal, laws, molecule
from pyg_mpnn.testing.call import choose_call, energy_gradient, read_output


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (torch.zeros(3), r"must return 2 energies, got shape \(3,\)"),
        ("energy", "must return energies as a tensor, got str"),
        ((torch.zeros(2), torch.zeros(4, 3)), r"must return forces \(18, 3\), got \(4, 3\)"),
    ],
)
def test_bad_outputs_are_errors(output, message):
    with pytest.raises(ValueError, match=message):
        read_output(output, Batch.from_data_list([molecule(), molecule()]))


def test_what_the_signature_takes_is_given_and_the_rest_declared():
    batch = Batch.from_data_list([molecule()])

    def model(z, pos, batch):
        return z, pos, batch

    invoke, missing = choose_call(model, None)
    for given, own in zip(invoke(model, batch, True), (batch.z, batch.pos, batch.batch), strict=True):
        assert torch.equal(given, own)
    assert set(missing) == {"edges", "partly periodic", "periodic", "stress"}
    _, missing = choose_call(lambda z, pos, batch, cell, pbc, edge_index, shifts, stress=False: None, None)
    assert not missing
    with pytest.raises(TypeError, match="got one that needs charge: pass call="):
        choose_call(lambda z, pos, charge: None, None)


def test_forces_of_energies_without_derivative_are_refused():
    pos = torch.ones(2, 3, requires_grad=True)
    assert torch.equal(energy_gradient(pos.square().sum().reshape(1), pos, False), -2 * torch.ones(2, 3))
    with pytest.raises(ValueError, match="its energy has no derivative by the positions"):
        energy_gradient(torch.zeros(1), pos, False)


pytestmark = pytest.mark.usefixtures("unchecked")
CHOSEN = [laws.rotation, laws.forces, laws.stress, laws.supercell, laws.smoothness_single, laws.determinism]


@pytest.mark.long
def test_our_calculator_obeys():
    potential = Potential.from_size("small", hidden_channels=8, edge_dim=8, channels=2, cutoff=3.0).double()
    report = check_potential(
        PotentialCalculator(potential), [molecule(), crystal()], cutoff=3.0, smoothness=2, laws=CHOSEN
    )
    assert report.passed, str(report)
    assert not report.not_applicable


@pytest.mark.slow
def test_calculators_of_ase_are_judged():
    smooth = LennardJones(sigma=1.0, epsilon=0.1, rc=3.0, ro=2.0, smooth=True)
    report = check_potential(smooth, [molecule(), crystal()], cutoff=3.0, smoothness=1, laws=CHOSEN)
    assert report.passed, str(report)
    shifted = LennardJones(sigma=1.0, epsilon=0.1, rc=3.0)  # the energy is shifted to zero, the force jumps
    report = check_potential(shifted, [molecule(), crystal()], cutoff=3.0, smoothness=1, laws=CHOSEN)
    assert report.failed == ("smoothness_single",)
    assert "jump of the force" in str(report.results["smoothness_single"])


def test_what_no_calculator_has_does_not_apply():
    result = laws.batch_independence(LennardJones(), molecule(), cutoff=3.0)
    assert (result.verdict, result.reason) == ("n/a", "batches: an ASE calculator takes one structure at a time")
