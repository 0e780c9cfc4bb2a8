"""Sums: values, edges, files, and all laws for a network with a repulsion."""

from __future__ import annotations

import copy
import itertools

import pytest
import torch
from torch import nn
from torch_geometric.data import Batch, Data

from pyg_mpnn import MPNN, ZBL, GaussianBasis, Potential, RadiusGraph, SumPotential, load_potential, testing
from pyg_mpnn.testing import check_potential, crystal, molecule

SMALL = {"hidden_channels": 16, "edge_dim": 8, "channels": 4, "num_layers": 1, "num_radial": 6}
REFERENCE = {1: -13.6, 6: -1029.0, 8: -2041.0, 14: -7870.0}


def make(cutoff=4.0, seed=0):
    torch.manual_seed(seed)
    potential = Potential.from_size("small", **SMALL, cutoff=cutoff).to(torch.get_default_dtype()).eval()
    potential.set_reference(REFERENCE, 1.0, [8.0] * len(potential.cutoffs))
    return potential


def make_sum():
    return SumPotential(make((2.0, 4.0)), make(3.0, seed=1), ZBL(2.5)).eval()


@pytest.mark.parametrize("memory", ["normal", "low"])
def test_everything_is_the_sum_of_the_parts(ethanol, silicon, dtype, memory):
    total = make_sum()
    for structure in (ethanol, silicon):
        stress = "cell" in structure
        found = total(structure, stress=stress, memory=memory)
        parts = [part(structure, stress=stress) for part in total.potentials]
        for name in ("energy", "forces", "atom_energies", "stress"):
            values = [getattr(part, name) for part in parts]
            if values[0] is None:
                assert getattr(found, name) is None
                continue
            torch.testing.assert_close(getattr(found, name), sum(values))
            assert all(testing.deviation(value, sum(values)) > 1e-3 for value in values)
    torch.testing.assert_close(total.virial(ethanol), sum(part.virial(ethanol) for part in total.potentials))
    assert total(ethanol, forces=False).forces is None


def test_each_part_gets_the_edges_within_its_cutoff(ethanol, silicon, monkeypatch):
    seen = {}

    class Watched(ZBL):
        def interaction_energies(self, z, edge_index, edge_vec, *others, **options):
            seen[self.cutoff] = edge_vec
            return super().interaction_energies(z, edge_index, edge_vec, *others, **options)

    total = SumPotential(Watched(3.0), Watched(1.5))
    for structure in (ethanol, silicon):
        for given in (structure, RadiusGraph(3.0)(structure.clone())):
            total(given)
            for cutoff, edge_vec in seen.items():
                alone = RadiusGraph(cutoff)(structure.clone())
                assert edge_vec.norm(dim=-1).max() < cutoff if len(edge_vec) else True
                assert len(edge_vec) == alone.edge_index.shape[1]
    assert set(seen) == {3.0, 1.5}


def test_attributes_are_those_of_all_parts(dtype):
    total = make_sum()
    assert (total.cutoff, total.cutoffs, total.dtype, total.smoothness) == (4.0, (2.0, 2.5, 3.0, 4.0), dtype, 2.0)
    assert total.lacks == {}
    raw = Potential(MPNN(**SMALL, directions="raw"), symmetry="unconstrained")
    assert "invariance" in SumPotential(ZBL(), raw).lacks
    mixed = SumPotential(make().double(), make().float())
    assert mixed.dtype == torch.float64
    assert mixed(molecule()).forces.dtype == torch.float64
    assert mixed.to(torch.float32).dtype == torch.float32


def test_graphs_without_atoms_and_molecules_beside_crystals(ethanol, silicon, dtype):
    nothing = Data(z=torch.zeros(0, dtype=torch.long), pos=torch.zeros(0, 3), num_nodes=0)
    total = make_sum()
    output = total(Batch.from_data_list([ethanol, nothing]))
    assert output.energy.shape == (2,)
    assert output.energy[1] == 0.0
    open_one = ethanol.clone()
    open_one.cell, open_one.pbc = torch.zeros(1, 3, 3), torch.zeros(1, 3, dtype=torch.bool)
    stress = total(Batch.from_data_list([silicon, open_one]), stress=True).stress
    torch.testing.assert_close(stress[:1], total(silicon, stress=True).stress)
    assert stress[1].isnan().all()


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_forces_without_gradients(ethanol, mode):
    total = make_sum()
    expected = total(ethanol).forces
    with mode():
        torch.testing.assert_close(total(Data(z=ethanol.z.clone(), pos=ethanol.pos.clone())).forces, expected)
    assert not expected.requires_grad
    assert total.train()(ethanol).forces.requires_grad


def test_parts_are_trained_together(ethanol):
    total = make_sum().train()
    total(ethanol).forces.square().sum().backward()
    for part in total.potentials[:2]:
        assert part.representation.embedding.embedding.weight.grad.abs().max() > 0


def test_saved_and_loaded_with_all_parts(ethanol, dtype, tmp_path):
    total = SumPotential(make_sum(), make(seed=2).double()).eval()  # a sum of sums, two precisions
    total.save(tmp_path / "sum.pt")
    loaded = load_potential(tmp_path / "sum.pt")
    assert torch.equal(loaded(ethanol).forces, total(ethanol).forces)
    assert torch.equal(loaded(ethanol).energy, total(ethanol).energy)
    assert [part.dtype for part in loaded.potentials] == [dtype, torch.float64]
    assert loaded.potentials[0].potentials[2].cutoff == 2.5
    assert not loaded.training
    assert loaded.config == total.config
    make().save(tmp_path / "one.pt")
    one = load_potential(tmp_path / "one.pt")
    assert isinstance(one, Potential)
    assert (one.dtype, torch.equal(one(ethanol).forces, make()(ethanol).forces)) == (dtype, True)
    assert all(isinstance(parameter, nn.Parameter) for parameter in one.parameters())
    with pytest.raises(ValueError, match=r"'path' must hold a Potential, got .*sum.pt with a SumPotential: use load_p"):
        Potential.load(tmp_path / "sum.pt")


@pytest.mark.usefixtures("unchecked")
def test_what_is_refused(tmp_path):
    with pytest.raises(ValueError, match="'potentials' must hold at least one potential, got none"):
        SumPotential()
    with pytest.raises(TypeError, match=r"'potentials' must be potentials of this package, got Linear: .*SumCalcul"):
        SumPotential(make(), nn.Linear(1, 1))
    own = make()
    own.representation.radial = GaussianBasis(4.0, 6)
    with pytest.raises(TypeError, match=r"parts.1.representation.radial is GaussianBasis here, BesselBasis when built"):
        SumPotential(ZBL(), own).save(tmp_path / "never.pt")
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match=r"'z' must hold elements the model was trained on \(\[1, 6, 8, 14\]\), got"):
        make_sum()(torch.tensor([9]), torch.zeros(1, 3))


@pytest.mark.long
def test_every_law_holds_for_a_network_and_a_repulsion(unchecked):
    base = make().double()
    scale = 2.0 / base(molecule()).forces.square().mean().sqrt().item()
    base.set_reference(REFERENCE, scale, [8.0])
    pairs = itertools.combinations_with_replacement(REFERENCE, 2)
    total = SumPotential(base, ZBL(dict.fromkeys(pairs, 2.0)).double())
    report = check_potential(
        total, [molecule(), crystal()], rebuild=lambda: SumPotential.from_config(total.config).double()
    )
    assert report.passed, str(report)
    assert not report.not_applicable


@pytest.mark.slow
def test_the_laws_see_a_part_that_is_broken(unchecked):
    class Jumps(ZBL):
        def interaction_energies(self, z, edge_index, edge_vec, *others, **options):
            energies = super().interaction_energies(z, edge_index, edge_vec, *others, **options)
            inside = (edge_vec.detach().norm(dim=-1) < 2.0).to(energies)
            return energies + 0.05 * torch.zeros_like(energies).index_add(0, edge_index[1], inside)

    from pyg_mpnn.testing import laws

    total = SumPotential(make().double(), Jumps(2.0).double())
    wanted = [laws.smoothness_single, laws.rotation]
    assert check_potential(copy.deepcopy(total), molecule(), laws=wanted).failed == ("smoothness_single",)
