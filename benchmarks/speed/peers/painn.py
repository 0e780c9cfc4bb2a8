"""PaiNN of SchNetPack."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.utils.data.dataloader as dataloader
from torch import nn

from benchmarks.speed.peers.adapter import Adapter, Evaluator
from benchmarks.speed.peers.work import Work

# SchNetPack 2.1.1 imports the name of a type variable (for annotations) that newer torch spells with an underscore.
dataloader.T_co = getattr(dataloader, "T_co", None) or dataloader._T_co  # type: ignore[attr-defined]

import schnetpack  # noqa: E402
from schnetpack import properties  # noqa: E402
from schnetpack.interfaces import SpkCalculator  # noqa: E402
from schnetpack.transform import MatScipyNeighborList  # noqa: E402


def representation(cutoff: float) -> nn.Module:
    """The published one, the same for MD17 and QM9: 128 features, 3 interactions, 20 Gaussians, cosine cutoff."""
    found: nn.Module = schnetpack.representation.PaiNN(
        n_atom_basis=128,
        n_interactions=3,
        radial_basis=schnetpack.nn.GaussianRBF(n_rbf=20, cutoff=cutoff),
        cutoff_fn=schnetpack.nn.CosineCutoff(cutoff),
    )
    return found


class _Calculator(SpkCalculator):
    """SchNetPack's calculator for a model in memory instead of a file."""

    def _load_model(self, model_file: Any) -> nn.Module:
        model: nn.Module = model_file
        return model


class Peer(Adapter):
    """SchNetPack's configuration of MD17 (128 features, 3 interactions, 20 Gaussians, cosine cutoff).

    Modes: eager; "torchscript" is `torch.jit.script`, which SchNetPack's own dynamics uses; compiled: `torch.compile`,
    not documented there.
    """

    def build(self, mode: str, train: bool) -> nn.Module:
        model: Any = schnetpack.model.NeuralNetworkPotential(
            representation(self.cutoff),
            input_modules=[schnetpack.atomistic.PairwiseDistances()],
            output_modules=[
                schnetpack.atomistic.Atomwise(n_in=128, output_key="energy"),
                schnetpack.atomistic.Forces(),
            ],
        )
        model.train(train).requires_grad_(train)
        if mode == "torchscript":
            return torch.jit.script(model)
        if mode == "compiled":
            model.compile(dynamic=False)
        return model

    def evaluator(self, model: nn.Module, mode: str, work: Work) -> Evaluator:
        inputs = {
            properties.Z: work.z,
            properties.R: work.pos,
            properties.idx_m: work.batch,
            properties.idx_i: work.edge_index[1],
            properties.idx_j: work.edge_index[0],
            properties.offsets: work.shift_vec,
        }

        def evaluate() -> Any:
            outputs = model(inputs | {properties.R: work.pos.detach().clone()})  # it asks for the gradient in place
            return outputs["energy"].flatten(), outputs["forces"]

        return evaluate

    def calculator(self, mode: str) -> Any:
        return _Calculator(
            self.build(mode, train=False),
            neighbor_list=MatScipyNeighborList(cutoff=self.cutoff),
            energy_unit="eV",
            position_unit="Ang",
        )

    def neighbors(self, work: Work) -> Callable[[], Any]:
        search = MatScipyNeighborList(cutoff=self.cutoff)
        molecules = [
            {properties.Z: work.z[part], properties.R: work.pos[part], properties.cell: torch.zeros(1, 3, 3)}
            | {properties.pbc: torch.zeros(3, dtype=torch.bool)}
            for part in (work.batch == graph for graph in range(work.num_graphs))
        ]
        return lambda: [search(dict(molecule)) for molecule in molecules]
