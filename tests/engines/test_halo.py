"""A structure divided among processes gives what it gives whole. Threads stand in for processes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms

from pyg_mpnn import ZBL, Potential, SumPotential, neighbor_list
from pyg_mpnn.engines.evaluator import Evaluator
from pyg_mpnn.engines.halo import Halo, domain_options, evaluate_halo
from tests.engines.charged import Charged
from tests.engines.threads import Comm, in_threads


def divided(
    potential: Potential | SumPotential, atoms: Atoms, size: int, **inputs: float
) -> tuple[float, np.ndarray, np.ndarray]:
    """Energy, forces and virial where the atoms are dealt out to processes, with images as LAMMPS has them."""
    pos, cell = torch.tensor(atoms.positions), torch.tensor(atoms.cell.array)
    pbc = torch.tensor(atoms.pbc)
    edges = (
        neighbor_list(pos, potential.cutoff, cell=cell, pbc=pbc) if pbc.any() else neighbor_list(pos, potential.cutoff)
    )
    owner = np.random.default_rng(0).integers(0, size, len(atoms))
    if size > 2:
        owner[owner == 2] = 0  # a process without atoms

    def work(comm: Comm) -> Any:
        own = np.flatnonzero(owner == comm.rank)
        mine = torch.from_numpy(np.isin(edges.edge_index[1].numpy(), own)).nonzero().squeeze(1)
        source, target = edges.edge_index[:, mine]
        shifts = edges.shifts[mine].double()
        vec = pos[source] + (shifts @ cell if pbc.any() else 0) - pos[target]
        tags = np.concatenate([own, source.numpy()]) + 1  # every edge has an image of its own
        halo = Halo(comm, tags, len(own))
        place = torch.from_numpy(np.searchsorted(own, target.numpy()))
        z = torch.zeros(halo.num_nodes, dtype=torch.long)
        z[halo.node] = torch.tensor(atoms.numbers)[torch.from_numpy(tags - 1)]
        pairs = torch.stack([halo.node[len(own) :], place])
        return own, evaluate_halo(potential, halo, z, pairs, vec, inputs)

    forces = np.full((len(atoms), 3), np.nan)
    results = in_threads(size, work)
    for own, result in results:
        forces[own] = result.forces.numpy()
    return results[0][1].energy, forces, results[0][1].virial.numpy()


@pytest.fixture
def mixture() -> SumPotential:
    network = Potential.from_size("small", cutoff=(3.0, 4.5), attention="softmax", zbl=True).double()
    network.set_reference({1: -13.6, 6: -1029.5, 8: -2042.1, 14: -7870.2}, 5.0, [5.0, 20.0])
    return SumPotential(network, ZBL(2.0).double()).eval()


@pytest.mark.parametrize("size", [1, 2, 4])
@pytest.mark.parametrize("kind", ["molecule", "crystal"])
def test_domains_give_the_whole(kind, size, potential, mixture, request):
    atoms = request.getfixturevalue(kind)
    if kind == "crystal":
        atoms = atoms[:8]  # with several images of one atom around another
        atoms.set_cell([4.0, 5.5, 5.5])
    model = (potential if kind == "crystal" else mixture).requires_grad_(False)
    crystal = kind == "crystal"
    energy, forces, virial = divided(model, atoms, size)
    evaluator = Evaluator(model)
    wanted = evaluator(atoms.numbers, atoms.positions, atoms.cell.array if crystal else None, virial=crystal)
    rms = np.sqrt((wanted.forces**2).mean())
    assert rms > 0.01
    assert energy == pytest.approx(wanted.energy, rel=1e-13)
    assert np.abs(forces - wanted.forces).max() < 1e-11 * rms
    if wanted.virial is not None:
        np.testing.assert_allclose(virial, wanted.virial, atol=1e-10 * np.abs(wanted.virial).max())


def test_a_charge_reaches_all_domains(molecule):
    potential = Potential(Charged(cutoff=4.0, hidden_channels=16, num_layers=2)).double().requires_grad_(False)
    potential = SumPotential(potential, ZBL(2.0).double())
    wanted = Evaluator(potential, inputs={"charge": 2})(molecule.numbers, molecule.positions)
    energy, forces, _ = divided(potential, molecule, 2, charge=2.0)
    assert energy == pytest.approx(wanted.energy, rel=1e-13)
    np.testing.assert_allclose(forces, wanted.forces, atol=1e-11)


def test_halo_holds_each_atom_once():
    """Process 0 owns atoms 1 and 2, process 1 atom 3, of which process 0 sees two images."""
    tags = [np.array([1, 2, 3, 3, 1]), np.array([3, 2])]

    def work(comm: Comm) -> tuple[Halo, torch.Tensor, torch.Tensor]:
        halo = Halo(comm, tags[comm.rank], [2, 1][comm.rank])
        rows = torch.tensor([[10.0], [20.0]] if comm.rank == 0 else [[30.0]])
        return halo, halo.fetch(rows), halo.bring_home(torch.ones(halo.num_nodes - halo.num_own, 1))

    (first, rows, home), (second, other, back) = in_threads(2, work)
    assert first.node.tolist() == [0, 1, 2, 2, 0]
    assert second.node.tolist() == [0, 1]
    assert rows.tolist() == [[30.0]]
    assert other.tolist() == [[20.0]]
    assert home.tolist() == [[0.0], [1.0]]
    assert back.tolist() == [[1.0]]


def test_image_of_a_lost_atom_is_an_error():
    with pytest.raises(RuntimeError, match="2 images are of atoms that no process owns"):
        in_threads(2, lambda comm: Halo(comm, np.array([comm.rank, 7]), 1))


class Whole(torch.nn.Module):
    """A representation that takes no halo."""

    cutoff, out_channels, num_layers, symmetry = 4.0, 4, 1, "invariant"

    def forward(self, z, edge_index, edge_vec):
        return [torch.zeros(len(z), 4)]


def test_representation_that_cannot_exchange_is_refused():
    with pytest.raises(ValueError, match="must take 'num_own' and 'exchange' to run in several processes"):
        domain_options(Potential(Whole()), None)
    assert domain_options(ZBL(), None) == {}
