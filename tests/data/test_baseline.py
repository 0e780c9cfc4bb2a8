from __future__ import annotations

import numpy as np
import pytest
import torch
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.lj import LennardJones
from ase.stress import voigt_6_to_full_3x3_stress
from torch_geometric.data import Data

from pyg_mpnn import ZBL, SumPotential
from pyg_mpnn.data import ethanol, subtract_baseline, to_atoms


def crystal(stress=True):
    cell = 2.7155 * torch.tensor([[[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0]]], dtype=torch.float64)
    pos = torch.tensor([[0.0, 0.0, 0.0], [1.6, 1.2, 1.35]], dtype=torch.float64)
    data = Data(z=torch.tensor([14, 14]), pos=pos, cell=cell, pbc=torch.ones(1, 3, dtype=torch.bool))
    data.energy, data.forces = torch.tensor([-10.0], dtype=torch.float64), torch.ones_like(pos)
    data.stress = torch.full((1, 3, 3), 0.5 if stress else torch.nan, dtype=torch.float64)
    return data


def test_labels_are_the_difference_to_a_calculator():
    calculator = LennardJones(sigma=2.0, epsilon=0.1, rc=4.0, smooth=True)
    found = subtract_baseline([crystal(), crystal(stress=False)], calculator)
    atoms = to_atoms(crystal())
    atoms.calc = LennardJones(sigma=2.0, epsilon=0.1, rc=4.0, smooth=True)
    stress = voigt_6_to_full_3x3_stress(atoms.get_stress())
    for data in found:
        assert data.energy.item() == pytest.approx(-10.0 - atoms.get_potential_energy(), abs=1e-12)
        np.testing.assert_allclose(data.forces, 1.0 - atoms.get_forces(), atol=1e-12)
    np.testing.assert_allclose(found[0].stress[0], 0.5 - stress, atol=1e-12)
    assert found[1].stress.isnan().all()
    assert abs(stress).max() > 1e-3


@pytest.mark.parametrize("baseline", [ZBL(2.0), SumPotential(ZBL(1.0), ZBL(2.5))], ids=["one", "sum"])
def test_labels_are_the_difference_to_a_potential(baseline):
    baseline = baseline.double().eval()
    frames = ethanol("train")[:3]
    before = [frame.energy.clone() for frame in frames]
    found = subtract_baseline(frames, baseline)
    for data, frame, energy in zip(found, frames, before, strict=True):
        output = baseline(frame)
        assert torch.equal(frame.energy, energy)
        torch.testing.assert_close(data.energy + output.energy, frame.energy)
        torch.testing.assert_close(data.forces + output.forces, frame.forces)
        assert not data.forces.requires_grad
        assert output.forces.abs().max() > 0.1
    stress = baseline(crystal(), stress=True).stress
    torch.testing.assert_close(subtract_baseline([crystal()], baseline)[0].stress, 0.5 - stress)


def test_structures_without_forces_need_none():
    class Energy(Calculator):
        implemented_properties = ("energy",)

        def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
            self.results = {"energy": 2.0}

    frame = ethanol("train")[0]
    bare = Data(z=frame.z, pos=frame.pos, energy=frame.energy)
    assert subtract_baseline([bare], Energy())[0].energy == frame.energy - 2.0


def test_a_progress_bar_is_shown_on_request(capsys):
    subtract_baseline(ethanol("train")[:2], ZBL(), progress=True)
    assert "baseline" in capsys.readouterr().err
    subtract_baseline(ethanol("train")[:2], ZBL())
    assert not capsys.readouterr().err


def test_what_is_refused():
    class Broken(Calculator):
        implemented_properties = ("energy", "forces")

        def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
            self.results = {"energy": 0.0, "forces": np.full((len(atoms), 3), np.nan)}

    with pytest.raises(ValueError, match="'baseline' must be finite, got forces that is not for frame 0"):
        subtract_baseline(ethanol("train")[:2], Broken())
    with pytest.raises(ValueError, match="'energy' is missing in frame 0"):
        subtract_baseline([Data(z=torch.tensor([1]), pos=torch.zeros(1, 3))], ZBL())
