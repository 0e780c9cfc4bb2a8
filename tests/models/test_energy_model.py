"""The interface, with the shortest potential: springs, whose energies, forces and stress are known."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Data

from pyg_mpnn import testing
from pyg_mpnn.models import EnergyModel


class Springs(EnergyModel):
    """Half of a spring of length zero and stiffness 2 for each edge: an energy of ``dist**2 / 2`` at both ends."""

    cutoff, dtype = 3.0, torch.float64

    def reference_energies(self, z, batch, num_graphs):
        return torch.bincount(batch, minlength=num_graphs).double(), torch.ones_like(z, dtype=torch.float64)

    def interaction_energies(self, z, edge_index, edge_vec, batch, num_graphs, near=None, memory="normal"):
        energies = 0.5 * edge_vec.square().sum(-1)
        return energies.new_zeros(len(z)).index_add(0, edge_index[1], energies)


PAIR = Data(z=torch.tensor([1, 8]), pos=torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 2.0]], dtype=torch.float64))


def test_energies_forces_and_virial_of_a_spring():
    output = Springs()(PAIR)
    assert (output.energy.item(), output.atom_energies.tolist()) == (6.0, [3.0, 3.0])
    assert output.forces.tolist() == [[0.0, 0.0, 4.0], [0.0, 0.0, -4.0]]
    assert Springs().virial(PAIR)[0, 2, 2].item() == -8.0
    alone = Springs()(PAIR.z[:1], PAIR.pos[:1])
    assert (alone.energy.item(), alone.forces.abs().sum().item()) == (1.0, 0.0)


def test_stress_of_springs_between_images():
    """A chain of period 2 along z: one spring a cell along z, dE/d strain = 2 * length**2."""
    cell = torch.diag(torch.tensor([5.0, 5.0, 2.0], dtype=torch.float64))
    chain = Data(z=torch.tensor([1]), pos=torch.zeros(1, 3).double(), cell=cell, pbc=torch.ones(1, 3, dtype=torch.bool))
    stress = Springs()(chain, stress=True).stress[0]
    torch.testing.assert_close(stress[2, 2].item(), 2 * 2.0**2 / 50.0)
    assert stress[0, 0].item() == 0.0


@pytest.mark.parametrize("dtype", [torch.float64], indirect=True)
def test_forces_can_be_differentiated_again_in_training(dtype):
    testing.assert_forces_law(lambda data: Springs()(data)[:2], PAIR)
    assert not Springs().eval()(PAIR).forces.requires_grad
    assert Springs().train()(PAIR).forces.requires_grad


class Bare(EnergyModel):
    """What the docstring of the interface asks for, and no more."""

    cutoff, dtype = 3.0, torch.float64

    def interaction_energies(self, z, edge_index, edge_vec, batch, num_graphs, near=None, memory="normal"):
        energies = 0.5 * edge_vec.square().sum(-1)
        return energies.new_zeros(len(z)).index_add(0, edge_index[1], energies)


def test_a_subclass_that_writes_interaction_energies_alone_runs():
    assert (Bare()(PAIR).energy.item(), Bare().device.type) == (4.0, "cpu")
    testing.assert_forces_law(lambda data: Bare()(data)[:2], PAIR)
    assert Bare().all_outputs() == {}


@pytest.mark.usefixtures("unchecked")
def test_a_method_that_is_missing_or_returns_something_else_is_named():
    class NoCutoff(EnergyModel):
        dtype = torch.float64

    class NoEnergies(EnergyModel):
        cutoff, dtype = 3.0, torch.float64

    class Total(Bare):
        def interaction_energies(self, *arguments, **options):
            return super().interaction_energies(*arguments, **options).sum()

    with pytest.raises(NotImplementedError, match="NoCutoff must have an attribute cutoff: a number in angstrom"):
        NoCutoff()(PAIR)
    with pytest.raises(NotImplementedError, match="NoEnergies must have a method interaction_energies"):
        NoEnergies()(PAIR)
    with pytest.raises(TypeError, match=r"Total.interaction_energies must return .* \(nodes,\) = \(2,\), got \(\)"):
        Total()(PAIR)
    with pytest.raises(ValueError, match=r"'z' must hold atomic numbers 1\.\.118, got values from 0 to 1"):
        Bare()(Data(z=torch.tensor([1, 0]), pos=PAIR.pos))


@pytest.mark.usefixtures("unchecked")
def test_what_is_not_possible_is_refused():
    with pytest.raises(ValueError, match=r"'memory' must be one of \('normal', 'low'\), got 'little'"):
        Springs()(PAIR, memory="little")
    with pytest.raises(ValueError, match="'memory' must be 'normal' for a representation other than MPNN"):
        Springs()(PAIR, memory="low")
    with pytest.raises(ValueError, match="'stress' needs a structure that is periodic in two or three directions"):
        Springs()(PAIR, stress=True)
    with pytest.raises(ValueError, match="'mode' must be one of"):
        Springs().compile("maybe")
