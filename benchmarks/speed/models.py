"""Which models are compared, in which environment, with which settings and modes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Model:
    """How a worker builds a model: `benchmarks.speed.peers.<module>.Peer(cutoff, elements, **settings)`."""

    environment: str  # peers/<environment>.txt; "" is the one that this package runs in
    module: str
    description: str
    settings: dict[str, Any] = field(default_factory=dict)
    modes: tuple[str, ...] = ("eager", "compiled")
    own_cutoff: float = 5.0  # default of the package or of its published configuration, A
    undocumented: tuple[str, ...] = ()  # modes that work, but that the package does not name to its users

    @property
    def ours(self) -> bool:
        return self.module == "ours"


OURS = ("eager", "compiled", "floor")
MODELS = {
    "ours": Model("", "ours", "pyg_mpnn, base", {"size": "base"}, OURS),
    "ours-small": Model("", "ours", "pyg_mpnn, small", {"size": "small"}, OURS),
    "schnet": Model("", "schnet", "PyG SchNet, 128 channels, 6 interactions", own_cutoff=10.0),
    "visnet": Model("", "visnet", "PyG ViSNet, 128 channels, 6 layers, lmax 1"),
    "painn": Model(
        "schnetpack",
        "painn",
        "SchNetPack PaiNN, 128 features, 3 interactions",
        modes=("eager", "torchscript", "compiled"),
        undocumented=("compiled",),
    ),
    "tensornet": Model(
        "torchmdnet",
        "torchmdnet",
        "TorchMD-Net TensorNet, 128 channels, 2 layers",
        {"model": "tensornet"},
        modes=("eager", "plain", "compiled"),
        own_cutoff=4.5,
    ),
    "et": Model(
        "torchmdnet",
        "torchmdnet",
        "TorchMD-Net equivariant transformer, 128 channels, 6 layers",
        {"model": "equivariant-transformer"},
    ),
    "mace-64": Model("mace", "mace", "MACE 64x0e, 2 layers", {"irreps": "64x0e"}),
    "mace-128": Model("mace", "mace", "MACE 128x0e+128x1o, 2 layers", {"irreps": "128x0e+128x1o"}),
    "our-schnet": Model(
        "", "composed", "PyG's SchNet from our blocks, 128 channels, 6 interactions", {"name": "schnet"}
    ),
    "our-painn": Model(
        "", "composed", "SchNetPack's PaiNN from our blocks, 128 features, 3 interactions", {"name": "painn"}
    ),
    "nequip": Model("nequip", "nequip", "NequIP, l_max 2, 64 features, 4 layers"),
}
CUTOFF = 5.0  # A, of all models in the main comparison
