from __future__ import annotations

from pathlib import Path

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from torch import nn

from pyg_mpnn import DipoleOutput, Potential
from pyg_mpnn.md import PotentialCalculator, dipole_derivatives, hessian, run_dynamics, run_prediction, run_relaxation
from pyg_mpnn.md.graph_inputs import graph_inputs, names_of_inputs
from pyg_mpnn.md.replicas import Batch

pytestmark = pytest.mark.usefixtures("unchecked")


class Magnet(nn.Module):
    """Repels in proportion to the spin of the structure."""

    cutoff, out_channels, num_layers, symmetry, graph_inputs = 4.0, 2, 1, "invariant", ("spin",)

    def forward(self, z, edge_index, edge_vec, spin):
        near = (1 - edge_vec.square().sum(dim=1) / self.cutoff**2).clamp(min=0) ** 3
        sums = near.new_zeros(len(z)).index_add(0, edge_index[1], near)
        return [torch.stack([sums, sums * spin], dim=1)]


@pytest.fixture
def magnet() -> Potential:
    return Potential(Magnet()).double().eval()


def test_a_spin_of_the_structure_reaches_forces_hessian_and_replicas(magnet: Potential, molecule: Atoms) -> None:
    found = []
    molecule.calc = PotentialCalculator(magnet)
    for spin in (0.0, 2.0):
        molecule.info["spin"] = spin  # noticed, though no atom has moved
        found.append(molecule.get_forces())
        again = Atoms(molecule.numbers, molecule.positions, info={"spin": spin}, calculator=PotentialCalculator(magnet))
        np.testing.assert_array_equal(again.get_forces(), found[-1])
        copies = Batch(magnet, molecule, 2, stress=False)([molecule, molecule])
        for results in copies:
            np.testing.assert_allclose(results["forces"], found[-1], atol=1e-12)
    assert np.abs(found[1] - found[0]).max() > 1e-3, "control: the spin matters"
    matrix, step = hessian(magnet, molecule), 1e-4
    molecule.positions[0, 0] += step
    moved = molecule.get_forces()
    np.testing.assert_allclose(matrix[:, :, 0, 0], -(moved - found[1]) / step, atol=1e-3)


def test_a_number_that_the_model_reads_must_be_there(magnet: Potential, molecule: Atoms) -> None:
    molecule.calc = PotentialCalculator(magnet)
    with pytest.raises(ValueError, match="must have 'spin', a number that the potential reads, got none: set atoms"):
        molecule.get_potential_energy()
    for wrong in ("up", [1.0, 2.0], float("nan")):
        molecule.info["spin"] = wrong
        with pytest.raises(ValueError, match="must have 'spin', a number that the potential reads, got"):
            molecule.get_potential_energy()
    molecule.info = {"key_value_pairs": {"spin": 1}}
    assert graph_inputs(magnet, molecule)["spin"].tolist() == [1.0]
    before = molecule.get_potential_energy()
    molecule.info["key_value_pairs"]["spin"] = 2  # in a dictionary that copies of the structure share
    assert molecule.get_potential_energy() != before


def test_a_charge_is_for_the_outputs_that_read_it(potential: Potential, molecule: Atoms) -> None:
    assert names_of_inputs(potential) == ()
    molecule.info["charge"] = 1
    assert graph_inputs(potential, molecule) == {}
    ion = Potential(potential.representation, outputs={"dipole": DipoleOutput()}).double()
    assert names_of_inputs(ion) == ("charge",)
    molecule.calc = PotentialCalculator(ion)
    charged = molecule.get_dipole_moment()
    del molecule.info["charge"]
    assert np.abs(molecule.get_dipole_moment() - charged).max() > 1e-2, "a charge that is taken away is noticed"
    assert dipole_derivatives(ion, molecule) is not None


def test_commands_take_the_spin_of_the_file(
    magnet: Potential, molecule: Atoms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    for module in ("dynamics", "relaxation", "prediction"):
        monkeypatch.setattr(f"pyg_mpnn.md.{module}.open_potential", lambda *args, **options: magnet)
    magnet.save(tmp_path / "magnet.pt")
    path = tmp_path / "spin.extxyz"
    ase.io.write(path, molecule)
    for run in (run_dynamics, run_relaxation):
        with pytest.raises(ValueError, match=r"'info' of .*spin.extxyz must have 'spin', a number that the potential"):
            run(str(tmp_path / "magnet.pt"), str(path), str(tmp_path / "none"))
    assert not (tmp_path / "none").exists()
    molecule.info["spin"] = 2.0
    ase.io.write(path, molecule)
    run_dynamics(str(tmp_path / "magnet.pt"), str(path), str(tmp_path / "md"), steps=2, replicas=2)
    relaxed = run_relaxation(str(tmp_path / "magnet.pt"), str(path), str(tmp_path / "relaxed"), steps=1)
    assert not relaxed.converged
    assert run_prediction(str(tmp_path / "magnet.pt"), str(path), str(tmp_path / "predicted.xyz")) == 1
    assert "present but not used" not in capsys.readouterr().out
    assert ase.io.read(tmp_path / "relaxed" / "relaxed.extxyz").info["spin"] == 2.0
