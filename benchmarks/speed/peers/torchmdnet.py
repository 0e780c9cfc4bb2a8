"""TensorNet and the equivariant transformer of TorchMD-Net, with the given edges in place of `OptimizedDistance`."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchmdnet.calculators import TMDNETCalculator
from torchmdnet.models.model import create_model
from torchmdnet.models.utils import OptimizedDistance

from benchmarks.speed.peers.adapter import Adapter, Evaluator, with_gradient
from benchmarks.speed.peers.given_edges import EdgesWithLoops, GivenEdges
from benchmarks.speed.peers.work import Work

# From the project's examples/TensorNet-rMD17.yaml and examples/ET-MD17.yaml.
SHARED = {
    "embedding_dimension": 128,
    "num_rbf": 32,
    "rbf_type": "expnorm",
    "trainable_rbf": False,
    "activation": "silu",
    "cutoff_lower": 0.0,
    "max_z": 100,
    "max_num_neighbors": 32,
    "output_model": "Scalar",
    "reduce_op": "add",
    "prior_model": None,
    "precision": 32,
    "derivative": False,
    "atom_filter": -1,
}
MODELS = {
    "tensornet": {"num_layers": 2, "equivariance_invariance_group": "O(3)"},
    "equivariant-transformer": {
        "num_layers": 6,
        "num_heads": 8,
        "neighbor_embedding": True,
        "distance_influence": "both",
        "attn_activation": "silu",
    },
}


class Peer(Adapter):
    """Modes: eager, with the package's warp kernels; "plain", without them; compiled: `torch.compile` as in the
    package's ASE calculator, `fullgraph=True, dynamic=False`."""

    def __init__(self, cutoff: float, elements: Sequence[int], model: str) -> None:
        super().__init__(cutoff, elements)
        self.settings = SHARED | MODELS[model] | {"model": model, "cutoff_upper": cutoff}

    def build(self, mode: str, train: bool) -> nn.Module:
        if mode == "plain":
            use_plain_operations()
        model = create_model(dict(self.settings))
        model.representation_model.distance = GivenEdges()
        model.train(train).requires_grad_(train)
        if mode == "compiled":
            whole = self.settings["model"] == "tensornet"  # the other branches on data
            model.compile(backend="inductor", dynamic=False, fullgraph=whole, mode="reduce-overhead")
        return model

    def evaluator(self, model: Any, mode: str, work: Work) -> Evaluator:
        edges = EdgesWithLoops(work)

        def evaluate() -> tuple[Tensor, Tensor]:
            model.representation_model.distance.edges = edges
            energies = lambda pos: model(work.z, pos, work.batch, num_systems=work.num_graphs)[0]  # noqa: E731
            return with_gradient(energies, work.pos, model.training)

        return evaluate

    def calculator(self, mode: str) -> Any:
        if mode not in ("eager", "compiled"):
            raise NotImplementedError("its ASE calculator is eager or compiled")
        model = create_model(dict(self.settings))
        weights = {f"model.{name}": value for name, value in model.state_dict().items()}
        with tempfile.NamedTemporaryFile(suffix=".ckpt") as file:
            torch.save({"hyper_parameters": self.settings, "state_dict": weights}, file.name)
            return TMDNETCalculator(file.name, compile=mode == "compiled", remove_ref_energy=False)

    def neighbors(self, work: Work) -> Callable[[], Any]:
        search = OptimizedDistance(0.0, self.cutoff, max_num_pairs=-64, return_vecs=True, loop=False)
        return lambda: search(work.pos, work.batch)


def use_plain_operations() -> None:
    """What the package itself does where warp-lang is not installed."""
    import torchmdnet.models.tensornet as module

    module.OPT = False
    for name in ("compose_tensor", "decompose_tensor", "tensor_matmul_o3", "tensor_matmul_so3"):
        setattr(module, name, getattr(module, f"_{name}"))
