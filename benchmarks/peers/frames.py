"""The frames of a training in one file, written with this package and read without it.

One molecule, so every frame has the same atoms. Edges are those of `pyg_mpnn.neighbor_list` for the rounded positions.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.speed.peers.work import Work


class Frames:
    """Frames of one molecule with edges and targets; `batch` puts some of them into one graph.

    Targets are energies less `energy_zero`, and forces, both divided by `scale`.
    """

    def __init__(self, path: Path | str) -> None:
        with np.load(path) as arrays:
            found = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
        self.z, self.pos = found["z"], found["pos"].float()
        self.scale, self.energy_zero = float(found["scale"]), float(found["energy_zero"])
        self.neighbors = float(found["neighbors"])
        self.energy = ((found["energy"] - self.energy_zero) / self.scale).float()
        self.forces = (found["forces"] / self.scale).float()
        self.edges = found["edge_index"].split(found["num_edges"].tolist(), dim=1)
        self.parts = {name: found[name].tolist() for name in ("train", "valid", "test")}

    def batch(self, indices: list[int]) -> Work:
        """One graph of these frames."""
        count, atoms = len(indices), len(self.z)
        edge_index = torch.cat([self.edges[index] + place * atoms for place, index in enumerate(indices)], dim=1)
        shifts = torch.zeros(edge_index.shape[1], 3, dtype=torch.long)
        return Work(
            z=self.z.repeat(count),
            pos=self.pos[indices].reshape(-1, 3),
            batch=torch.arange(count).repeat_interleave(atoms),
            edge_index=edge_index,
            shifts=shifts,
            shift_vec=shifts.float(),
            cell=torch.zeros(3, 3),
            energy=self.energy[indices],
            forces=self.forces[indices].reshape(-1, 3),
        )

    def batches(self, part: str, size: int) -> list[Work]:
        """All frames of a part in order."""
        indices = self.parts[part]
        return [self.batch(indices[start : start + size]) for start in range(0, len(indices), size)]


def errors(pairs: list[tuple[Tensor, Tensor]], frames: Frames, works: list[Work]) -> dict[str, float]:
    """Errors of predicted energies and forces, by the conventions of `pyg_mpnn.training.compute_errors`."""
    energy = torch.cat([pair[0].double() - work.energy for pair, work in zip(pairs, works, strict=True)])
    forces = torch.cat([pair[1].double() - work.forces for pair, work in zip(pairs, works, strict=True)])
    unit = 1e3 * frames.scale
    return {
        "energy_mae_meV": unit * float(energy.abs().mean()),
        "energy_mae_meV_per_atom": unit * float(energy.abs().mean()) / len(frames.z),
        "forces_mae_meV_per_A": unit * float(forces.abs().mean()),
        "forces_rmse_meV_per_A": unit * float(forces.square().mean().sqrt()),
    }
