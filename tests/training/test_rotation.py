from __future__ import annotations

import torch
from torch_geometric.data import Batch, Data

from pyg_mpnn.geometry import RadiusGraph, edge_vectors
from pyg_mpnn.models import Potential
from pyg_mpnn.training.rotation import rotate_batch


def test_rotated_crystal_has_the_same_energy_and_rotated_forces_and_stress(
    silicon: Data, water: Data, dtype: torch.dtype
) -> None:
    potential = Potential.from_size("small").to(dtype).eval()
    batch = Batch.from_data_list([RadiusGraph(5.0)(silicon)])
    output = potential(batch, stress=True)
    batch.forces, batch.stress, before = output.forces, output.stress, batch.pos.clone()
    turned = rotate_batch(batch)
    result = potential(turned, stress=True)
    tolerance = 1e-9 if dtype == torch.float64 else 1e-4
    assert torch.equal(batch.pos, before), "the batch itself must stay"
    assert (turned.pos - batch.pos).abs().max() > 0.1, "control"
    assert torch.allclose(result.energy, output.energy, atol=tolerance)
    assert torch.allclose(result.forces, turned.forces, atol=tolerance)
    assert torch.allclose(result.stress, turned.stress, atol=tolerance)
    assert (turned.stress - batch.stress).abs().max() > 10 * tolerance, "control: the stress is not isotropic"


def test_rotation_keeps_distances_and_handedness(chiral: Data, dtype: torch.dtype) -> None:
    batch = Batch.from_data_list([RadiusGraph(5.0)(chiral)])
    turned = rotate_batch(batch)
    lengths = [edge_vectors(b.pos, b.edge_index).norm(dim=-1) for b in (batch, turned)]
    assert torch.allclose(*lengths, atol=1e-5)
    volumes = [torch.linalg.det(b.pos[1:4] - b.pos[0]) for b in (batch, turned)]
    assert torch.allclose(*volumes, atol=1e-5)


def test_rotation_comes_from_the_global_generator(water: Data) -> None:
    batch = Batch.from_data_list([water])
    torch.manual_seed(1)
    first = rotate_batch(batch).pos
    assert not torch.allclose(rotate_batch(batch).pos, first)
    torch.manual_seed(1)
    assert torch.equal(rotate_batch(batch).pos, first)
