"""ZBL: the values of LAMMPS, the laws of physics, radii, and what it does for a network."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch_geometric.data import Batch, Data

from pyg_mpnn import ZBL, Potential, RadiusGraph, testing
from pyg_mpnn.geometry import covalent_radii
from pyg_mpnn.models import zbl_energy
from pyg_mpnn.testing import check_potential, crystal, molecule
from pyg_mpnn.units import BOHR, HARTREE

SMALL = {"hidden_channels": 16, "edge_dim": 8, "channels": 4, "num_layers": 2, "num_radial": 6, "cutoff": 4.0}
REFERENCE = {1: -13.6, 6: -1029.0, 8: -2041.0}


def written_out(dist, first, second):
    """The formula in NumPy, units of LAMMPS's ``real``: kcal/mol and A.

    With LAMMPS' switching function at 6 and 8 A it gives 7659.788647292821 kcal/mol for the 29 atoms of LAMMPS' own
    unit test (mol-pair-zbl.yaml, data.fourmol), where LAMMPS has 7659.78864729282.
    """
    length = 0.46850 / (first**0.23 + second**0.23)
    screening = sum(
        weight * np.exp(-rate * dist / length)
        for weight, rate in ((0.18175, 3.1998), (0.50986, 0.94229), (0.28022, 0.4029), (0.02817, 0.20162))
    )
    return 332.06371 * first * second / dist * screening


# eV, made once by the function above with e^2 / (4 pi eps0) = 14.399645478426684 eV A
TABLE = {
    (1, 1, 0.3): 16.539152327919734,
    (1, 6, 0.5): 26.35698846765575,
    (6, 8, 0.4): 265.26023690949177,
    (14, 14, 1.0): 50.97436368482985,
    (79, 79, 0.2): 82595.97211514798,
}


def pair(first, second, dist):
    return Data(z=torch.tensor([first, second]), pos=dist * torch.tensor([[0.0, 0.0, 0.0], [0.36, 0.48, 0.8]]))


@pytest.mark.parametrize(("first", "second", "dist"), TABLE)
def test_values_are_those_of_lammps(first, second, dist, dtype):
    found = zbl_energy(torch.tensor([dist]), torch.tensor([first]), torch.tensor([second])).item()
    relative = 1e-12 if dtype == torch.float64 else 1e-5
    coulomb = HARTREE * BOHR / 14.399645478426684  # constants of another year
    assert found == pytest.approx(TABLE[first, second, dist] * coulomb, rel=relative)
    kcal_per_mol = written_out(dist, first, second) / 23.060549
    assert found == pytest.approx(kcal_per_mol, rel=1e-5)  # LAMMPS' constants for other units have six digits
    potential = ZBL(4.0)(pair(first, second, dist), forces=False)
    x = dist / 4.0
    envelope = 1.0 - 28.0 * x**6 + 48.0 * x**7 - 21.0 * x**8
    assert potential.energy.item() == pytest.approx(found * envelope, rel=relative)
    assert potential.atom_energies[0] == potential.atom_energies[1]


def test_bare_nuclei_at_the_origin(dtype):
    """Without electrons in between, Coulomb's law."""
    dist = torch.tensor([1e-6])
    found = zbl_energy(dist, torch.tensor([6]), torch.tensor([8]))
    torch.testing.assert_close(found * dist, torch.tensor([48 * 14.399645]), rtol=1e-4, atol=0)


@pytest.mark.parametrize("dtype", [torch.float64], indirect=True)
def test_two_derivatives_are_continuous_at_the_radius(dtype):
    def energy(dist):
        return zbl(pair(6, 8, dist), forces=False).energy[0]

    zbl = ZBL({(8, 6): 1.5})
    assert energy(1.5) == 0.0
    assert energy(2.0) == 0.0
    for h in (1e-2, 1e-3):
        inside = torch.stack([energy(1.5 - k * h) for k in (1, 2, 3)])
        third = inside / (torch.tensor([1.0, 2.0, 3.0]) * h) ** 3  # energy falls as the third power
        assert third.min() > 0.5 * third.max()


@pytest.mark.parametrize("elements", [(1, 1), (1, 92), (6, 8), (79, 118)])
def test_repulsive_inside_the_radius_and_finite(elements, dtype):
    radius = covalent_radii()[list(elements)].sum().item()
    dist = torch.linspace(1e-3, 0.98, 60) * radius
    batch = Batch.from_data_list([pair(*elements, r.item()) for r in dist])
    forces = ZBL().eval()(batch).forces.view(-1, 2, 3)
    along = (forces[:, 1] * torch.tensor([0.36, 0.48, 0.8])).sum(-1)
    assert torch.isfinite(forces).all()
    assert (along > 0).all()
    assert (along.diff() < 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("precision", [torch.float64, torch.float32], ids=["float64", "float32"])
def test_every_law_holds(precision, unchecked):
    report = check_potential(ZBL(2.5), [molecule(), crystal()], dtype=precision)
    assert report.passed, str(report)
    assert report.not_applicable == ("double_backward", "save_load")  # it has nothing to train


def test_radii_by_pair_by_number_and_of_bonds():
    covalent = covalent_radii()
    zbl = ZBL({(8, 1): 0.9})
    assert zbl.radii[1, 8].item() == zbl.radii[8, 1].item() == pytest.approx(0.9)
    assert zbl.radii[6, 8].item() == pytest.approx(0.76 + 0.66)
    assert zbl.cutoff == pytest.approx(5.0)  # francium
    assert ZBL(1.25).radii[1:, 1:].unique().tolist() == [1.25]
    assert ZBL(1.25).cutoff == 1.25
    zbl.set_distances({(1, 6): 0.95, (6, 6): 4.0})
    assert zbl.radii[6, 1].item() == pytest.approx(0.9 * 0.95)
    assert zbl.radii[6, 6].item() == pytest.approx(1.5 * 2 * covalent[6].item())  # seen far apart only
    assert ZBL(cutoff=1.0).radii[1:, 1:].max().item() == 1.0


def test_edges_given_and_low_memory_are_the_same(ethanol, silicon, dtype):
    zbl = ZBL(3.0).eval()
    for data in (ethanol, silicon):
        expected = zbl(data)
        for found in (zbl(RadiusGraph(5.0)(data.clone())), zbl(data, memory="low")):
            torch.testing.assert_close(found.forces, expected.forces)
            torch.testing.assert_close(found.energy, expected.energy)


@pytest.mark.usefixtures("unchecked")
def test_what_is_refused(ethanol):
    for radius in (0.0, -1.0, math.nan, 6.0):
        with pytest.raises(ValueError, match=r"'radii' must be positive and at most the cutoff \(5 A\), got"):
            ZBL({(1, 1): radius})
    with pytest.raises(ValueError, match=r"'radii' must be by pairs of atomic numbers 1..118, got \(0, 1\)"):
        ZBL({(0, 1): 1.0})
    with pytest.raises(ValueError, match=r"'cutoff' must be positive and finite \(in A\), got 0.0"):
        ZBL(cutoff=0.0)
    with pytest.raises(ValueError, match=r"'z' must hold atomic numbers 1..118, got values from 0 to 8"):
        ZBL()(torch.tensor([0, 8]), torch.eye(3)[:2])
    with pytest.raises(ValueError, match=r"'zbl' must have at most the cutoff of the representation \(4 A\), got 5"):
        Potential(Potential.from_size("small", cutoff=4.0).representation, zbl=ZBL())


# As a part of a potential


def make(zbl, seed=0, **options):
    torch.manual_seed(seed)
    potential = Potential.from_size("small", **{**SMALL, "zbl": zbl, **options}).to(torch.get_default_dtype()).eval()
    potential.set_reference(REFERENCE, 1.0, [8.0])
    return potential


def test_repulsion_is_added_and_nothing_else_changes(ethanol, dtype):
    bare, with_zbl = make(False), make(True)
    zbl = ZBL(cutoff=4.0).eval()
    for name in ("energy", "forces", "atom_energies"):
        values = [getattr(model(ethanol), name) for model in (bare, zbl, with_zbl)]
        torch.testing.assert_close(values[0] + values[1], values[2])
    with_zbl.zbl.set_distances({(1, 6): 0.9, (6, 6): 1.4, (6, 8): 1.3, (1, 8): 0.9, (1, 1): 1.6})
    assert torch.equal(with_zbl(ethanol).energy, bare(ethanol).energy)
    torch.testing.assert_close(with_zbl(ethanol, memory="low").forces, bare(ethanol).forces)


def test_atoms_are_pushed_apart_where_the_network_alone_pulls(dtype):
    """Random networks of 3 eV: without repulsion some pairs attract each other at 0.3 to 0.5 A, with it none."""

    def pushes(zbl):
        result = []
        for seed in range(4):
            potential = make(zbl, seed)
            potential.set_reference(REFERENCE, 3.0, [8.0])
            if zbl:
                potential.zbl.set_distances({(1, 6): 0.95, (6, 6): 1.35, (6, 8): 1.25, (1, 8): 0.9, (1, 1): 1.4})
            for elements in itertools.combinations_with_replacement(REFERENCE, 2):
                batch = Batch.from_data_list([pair(*elements, dist) for dist in (0.3, 0.35, 0.4, 0.45, 0.5)])
                forces = potential(batch).forces.view(-1, 2, 3)[:, 1]
                result.append((forces * torch.tensor([0.36, 0.48, 0.8])).sum(-1))
        return torch.stack(result)

    assert (pushes(False) < 0).any()
    assert (pushes(True) > 0).all()


def test_saved_with_its_radii(ethanol, dtype, tmp_path):
    potential = make(True)
    potential.zbl.set_distances({(1, 6): 1.2})
    potential.save(tmp_path / "potential.pt")
    loaded = Potential.load(tmp_path / "potential.pt")
    assert torch.equal(loaded(ethanol).forces, potential(ethanol).forces)
    assert loaded.zbl.radii[1, 6].item() == pytest.approx(0.9 * 1.2)
    assert loaded.config == potential.config
    assert make(False).config == potential.config | {"zbl": None}
    assert "ZBL(cutoff=4)" in repr(loaded)


def test_forces_are_trained_through_it(ethanol):
    close = ethanol.clone()
    close.pos = 0.7 * close.pos
    potential = make(True).double().train()
    testing.assert_forces_law(lambda data: potential(data)[:2], Data(z=close.z, pos=close.pos.double()))
    potential(close).forces.square().sum().backward()
    assert potential.representation.embedding.embedding.weight.grad.abs().max() > 0


@pytest.mark.long
def test_every_law_holds_beside_a_network(unchecked):
    torch.manual_seed(0)
    potential = Potential.from_size("small", **SMALL, zbl=True).double().eval()
    potential.set_reference({**REFERENCE, 14: -103.0}, 1.0, [8.0])
    potential.zbl.set_radii(dict.fromkeys(itertools.combinations_with_replacement((1, 6, 8, 14), 2), 2.0))
    report = check_potential(
        potential, [molecule(), crystal()], rebuild=lambda: Potential.from_config(potential.config)
    )
    assert report.passed, str(report)
    assert not report.not_applicable


def test_cutoff_follows_the_radii(dtype):
    zbl = ZBL(1.0)
    assert zbl.cutoff == pytest.approx(1.0)
    zbl.set_radii({(1, 8): 1.5})
    assert zbl.cutoff == pytest.approx(1.5)
    other = ZBL()
    other.load_state_dict(zbl.state_dict())
    assert other.cutoff == zbl.cutoff
