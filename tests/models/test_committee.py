from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch_geometric.data import Batch, Data

from pyg_mpnn import Potential
from pyg_mpnn.models import SPREADS, Calibration, Committee, UncertainPotential
from pyg_mpnn.testing import check_potential, laws

Make = Callable[..., Potential]
MakeUncertain = Callable[[str], UncertainPotential]


def test_committee_is_mean_and_spread_of_its_members(make_potential: Make, molecules: list[Data]) -> None:
    members = [make_potential(seed) for seed in range(3)]
    committee = Committee(*members).eval()
    committee.set_calibration({"energy_std": Calibration(2.0), "forces_std": Calibration(3.0)})
    batch = Batch.from_data_list(molecules)
    found, parts = committee(batch), [member(batch) for member in members]
    energies, forces = torch.stack([part.energy for part in parts]), torch.stack([part.forces for part in parts])
    torch.testing.assert_close(found.energy, energies.mean(dim=0))
    torch.testing.assert_close(found.forces, forces.mean(dim=0))
    torch.testing.assert_close(found.energy_std, 2 * energies.std(dim=0))
    torch.testing.assert_close(found.forces_std, 3 * forces.var(dim=0).mean(dim=1).sqrt())
    assert found.energy_std.min() > 0.01  # so that the comparison says something


def test_committee_without_error_bars_is_the_same_mean(make_uncertain: MakeUncertain, molecules: list[Data]) -> None:
    committee = make_uncertain("committee")
    found, mean = committee(molecules[0]), committee(molecules[0], outputs=False)
    assert mean.names == ("energy", "forces", "atom_energies")
    torch.testing.assert_close(found.energy, mean.energy, rtol=1e-12, atol=0)
    torch.testing.assert_close(found.forces, mean.forces, rtol=1e-10, atol=1e-12)


def test_stress_of_a_committee(make_uncertain: MakeUncertain, carbon_crystal: Data) -> None:
    committee = make_uncertain("committee")
    found = committee(carbon_crystal, stress=True)
    stresses = torch.stack([member(carbon_crystal, stress=True).stress for member in committee.potentials])
    torch.testing.assert_close(found.stress, stresses.mean(dim=0))
    torch.testing.assert_close(found.stress_std, stresses.var(dim=0).mean(dim=(1, 2)).sqrt())


def test_moderated_error_bars(make_uncertain: MakeUncertain, molecules: list[Data], carbon_crystal: Data) -> None:
    """Squares are means of the usual one and the own, weighed by degrees of freedom; energies have one an atom."""
    committee = make_uncertain("committee")
    batch = Batch.from_data_list([molecules[0], Data(z=molecules[1].z[:5], pos=molecules[1].pos[:5])])
    spread, stress = committee(batch), committee(carbon_crystal, stress=True).stress_std
    given = {name: Calibration(3.0, 0.02, 5.0) for name in SPREADS}
    committee.set_calibration(given)
    found = committee(batch)
    torch.testing.assert_close(found.forces_std, 3 * ((5 * 0.02**2 + 6 * spread.forces_std.square()) / 11).sqrt())
    atoms = torch.tensor([9.0, 5.0], dtype=torch.float64)
    torch.testing.assert_close(
        found.energy_std, 3 * ((5 * 0.02**2 * atoms + 2 * spread.energy_std.square()) / 7).sqrt()
    )
    own = committee(carbon_crystal, stress=True).stress_std
    torch.testing.assert_close(own, 3 * ((5 * 0.02**2 / 3 + 12 * stress.square()) / 17).sqrt())
    assert committee.stated("forces_std", torch.zeros(1)) == pytest.approx(3 * 0.02 * (5 / 11) ** 0.5)


def test_file_without_usual_spreads_has_the_error_bars_it_had(make_uncertain: MakeUncertain) -> None:
    committee = make_uncertain("committee")
    committee.set_calibration({"forces_std": Calibration(2.0, 0.1, 4.0)})
    state = committee.state_dict()
    del state["priors"]
    other = make_uncertain("committee")
    other.load_state_dict(state)
    assert other.calibration["forces_std"] == Calibration(2.0)
    assert torch.equal(other.stated("forces_std", torch.ones(3)), 2 * torch.ones(3))


def test_a_broken_error_bar_is_found(make_potential: Make, molecules: list[Data]) -> None:
    """The control: a spread that depends on the orientation."""

    class Tilted(Committee):
        def _evaluate(self, structure, *args, **options):  # type: ignore[no-untyped-def]
            output = super()._evaluate(structure, *args, **options)
            if "energy_std" in output.others:
                output.others["energy_std"] = output.others["energy_std"] * (1 + 0.1 * structure.pos[0, 0].detach())
            return output

    model = Tilted(*(make_potential(seed) for seed in range(2))).eval()
    report = check_potential(model, molecules[:1], laws=[laws.outputs_rotation])
    assert not report.passed


def test_bad_input(make_potential: Make) -> None:
    with pytest.raises(ValueError, match="'potentials' must hold at least two members to have a spread, got 1"):
        Committee(make_potential(0))
