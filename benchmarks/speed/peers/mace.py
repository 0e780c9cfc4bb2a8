"""MACE."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import mace.modules  # before e3nn: it sets the environment variable that this e3nn needs with newer torch
import numpy as np
import torch
from e3nn import o3
from mace.calculators import MACECalculator
from mace.data import get_neighborhood
from mace.tools.compile import prepare
from mace.tools.scripts_utils import extract_model
from torch import Tensor, nn

from benchmarks.speed.peers.adapter import Adapter, Evaluator
from benchmarks.speed.peers.work import Work


class Peer(Adapter):
    """`ScaleShiftMACE`, defaults of `mace_run_train` (2 interactions, max_ell 3, correlation 3, 8 Bessel functions).

    Modes: eager, its tensor products as TorchScript (e3nn's default); compiled: `mace.tools.compile.prepare` and
    `torch.compile`, as `MACECalculator(compile_mode="default")` does.
    """

    def __init__(self, cutoff: float, elements: Sequence[int], irreps: str, neighbors: float = 17.0) -> None:
        super().__init__(cutoff, elements)
        self.irreps, self.mean_neighbors = irreps, neighbors

    def build(self, mode: str, train: bool) -> nn.Module:
        model: Any = mace.modules.ScaleShiftMACE(
            r_max=self.cutoff,
            num_bessel=8,
            num_polynomial_cutoff=5,
            max_ell=3,
            interaction_cls=mace.modules.RealAgnosticResidualInteractionBlock,
            interaction_cls_first=mace.modules.RealAgnosticResidualInteractionBlock,
            num_interactions=2,
            num_elements=len(self.elements),
            hidden_irreps=o3.Irreps(self.irreps),
            MLP_irreps=o3.Irreps("16x0e"),
            atomic_energies=np.zeros(len(self.elements)),
            avg_num_neighbors=self.mean_neighbors,
            atomic_numbers=self.elements,
            correlation=3,
            gate=torch.nn.functional.silu,
            radial_MLP=[64, 64, 64],
            radial_type="bessel",
            atomic_inter_scale=1.0,
            atomic_inter_shift=0.0,
        )
        if mode == "compiled":
            model = prepare(extract_model)(model=model, map_location="cpu")
        model.train(train).requires_grad_(train)
        if mode == "compiled":
            model.compile(mode="default", fullgraph=True, dynamic=False)
        return model

    def evaluator(self, model: nn.Module, mode: str, work: Work) -> Evaluator:
        types = torch.searchsorted(torch.tensor(self.elements), work.z)
        data = {
            "node_attrs": nn.functional.one_hot(types, len(self.elements)).float(),
            "edge_index": work.edge_index,
            "shifts": -work.shift_vec,  # its vectors point from source to target
            "unit_shifts": -work.shifts.float(),
            "cell": work.cell.repeat(work.num_graphs, 1),
            "batch": work.batch,
            "ptr": work.ptr,
        }
        second_order = model.training or mode == "compiled"  # compiled, the calculator asks for it too

        def evaluate() -> tuple[Tensor, Tensor]:
            positions = work.pos.detach().requires_grad_()
            output = model(data | {"positions": positions}, training=second_order)
            if model.training:
                return output["energy"], output["forces"]
            return output["energy"].detach(), output["forces"].detach()

        return evaluate

    def calculator(self, mode: str) -> Any:
        model = self.build("eager", train=False)
        compile_mode = "default" if mode == "compiled" else None
        return MACECalculator(models=[model], default_dtype="float32", compile_mode=compile_mode)

    def neighbors(self, work: Work) -> Callable[[], Any]:
        parts = [work.pos[work.batch == graph].numpy().astype(float) for graph in range(work.num_graphs)]
        return lambda: [get_neighborhood(positions, self.cutoff) for positions in parts]
