"""ASE calculators under the laws: one structure at a time."""

from __future__ import annotations

from typing import Any

import torch
from torch_geometric.data import Batch

LACKS = {
    "edges": "an ASE calculator finds its own neighbours",
    "batches": "an ASE calculator takes one structure at a time",
    "empty": "an ASE calculator takes one structure at a time",
}
"""What no ASE calculator has."""


def invoke_calculator(calculator: Any, batch: Batch, stress: bool) -> dict[str, torch.Tensor]:
    """Energies, forces and stress of each structure of a batch.

    Args:
        calculator: an ASE calculator.
        batch: the structures.
        stress: whether the stress is asked for.

    Returns:
        the results as float64 tensors.
    """
    from ase import Atoms

    energies, forces, stresses = [], [], []
    for data in batch.to_data_list():
        cell = {"cell": data.cell[0].numpy(), "pbc": data.pbc[0].numpy()} if "cell" in data else {}
        atoms = Atoms(data.z.numpy(), data.pos.detach().double().numpy(), calculator=calculator, **cell)
        energies.append(torch.tensor(atoms.get_potential_energy(), dtype=torch.float64))
        forces.append(torch.from_numpy(atoms.get_forces().copy()))
        if stress:
            stresses.append(torch.from_numpy(atoms.get_stress(voigt=False).copy()))
    results = {"energy": torch.stack(energies), "forces": torch.cat(forces).double()}
    return results | ({"stress": torch.stack(stresses)} if stress else {})
