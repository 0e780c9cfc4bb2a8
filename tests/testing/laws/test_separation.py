from __future__ import annotations

import pytest
import torch

from pyg_mpnn import ZBL, Potential, SumPotential
from pyg_mpnn.data import ethanol
from pyg_mpnn.testing import Healthy, laws


class Crowded(Healthy):
    """The energy of an atom depends on how many others are in the call."""

    def _atomic(self, s, e):
        return super()._atomic(s, e) * (1.0 + 1e-8 * len(s.z))


class Haunted(Healthy):
    """A force on single atoms."""

    def _results(self, energy, forces, stress):
        return energy, forces + 1e-8, stress


def test_laws_hold(holds):
    for law in (laws.batch_independence, laws.size_extensivity, laws.isolated_atom):
        holds(law)


def test_others_in_the_call_are_caught(catches):
    catches(laws.batch_independence, Crowded(), "in a batch")
    catches(laws.size_extensivity, Crowded(), "100 A apart", "just out of reach")


def test_a_force_on_a_single_atom_is_caught(catches):
    catches(laws.isolated_atom, Haunted(), "force on Z = 6")


def test_a_long_range_is_caught_by_fragments_just_out_of_reach(catches):
    result = laws.size_extensivity
    catches(result, Healthy(), "just out of reach", cutoff=1.5)  # declares less than its 4 A


def test_missing_empty_and_single_structures_can_be_declared(dtype):
    class Plain(Healthy):
        def forward(self, data, stress=False):
            if torch.bincount(data.batch, minlength=data.num_graphs).min() < 2:
                raise RuntimeError("too few atoms")
            return super().forward(data, stress)

    from pyg_mpnn.testing import molecule

    assert laws.batch_independence(Plain(), molecule()).verdict == "fail"
    lacks = {"empty": "no empty ones", "isolated": "no single ones"}
    assert laws.batch_independence(Plain(), molecule(), lacks=lacks).verdict == "pass"


class Biased(Healthy):
    """The head gives each atom an energy, with neighbours or without."""

    def _atomic(self, s, e):
        return super()._atomic(s, e) + 0.05


def test_an_isolated_atom_has_the_stated_energy(holds, catches):
    holds(laws.isolated_energy)
    catches(laws.isolated_energy, Biased(), "energy of Z = 6")
    given = {1: -3.5, 6: 0.0, 8: 0.0, 14: 0.0}
    catches(laws.isolated_energy, Healthy(), "energy of Z = 1", isolated_energies=given)


def test_a_model_that_states_no_energies_is_not_judged_by_them():
    from pyg_mpnn.testing import molecule

    result = laws.isolated_energy(lambda z, pos, batch: pos.sum(), molecule(), cutoff=3.0)
    assert result.verdict == "n/a"
    assert "states no energies" in result.reason


@pytest.mark.parametrize("isolated", ["zero", "free"])
def test_our_own_models_are_judged_unless_isolated_atoms_are_free(isolated, unchecked):
    potential = Potential.from_size("small", isolated=isolated).double()
    potential.set_reference({1: -13.57, 6: -1029.0, 8: -2041.8}, 0.7)
    for model in (potential, SumPotential(potential, ZBL(0.5))):
        result = laws.isolated_energy(model, ethanol("test")[:1])
        assert result.verdict == {"zero": "pass", "free": "n/a"}[isolated], str(result)
    if isolated == "free":
        given = {1: -13.57, 6: -1029.0, 8: -2041.8}
        assert laws.isolated_energy(potential, ethanol("test")[:1], isolated_energies=given).verdict == "fail"
