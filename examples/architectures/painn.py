"""PaiNN as in SchNetPack, composed from the blocks of pyg_mpnn; :func:`take_over` keeps trained weights."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pyg_mpnn import AtomEmbedding, CosineCutoff, GaussianBasis, Potential, VectorConvolution, VectorUpdate
from pyg_mpnn.basis import Symmetry


class PaiNN(nn.Module):
    """Scalars and vectors on atoms (Schütt, Unke and Gastegger, ICML 2021, arXiv:2102.03150); sizes for MD17."""

    def __init__(
        self,
        cutoff: float = 5.0,
        hidden_channels: int = 128,
        num_layers: int = 3,
        num_radial: int = 20,
        eps: float = 1e-8,
    ) -> None:
        super().__init__()
        self.cutoff, self.hidden_channels, self.num_layers = cutoff, hidden_channels, num_layers
        self.num_radial, self.eps = num_radial, eps
        self.embedding = AtomEmbedding(hidden_channels)
        self.radial, self.envelope = GaussianBasis(cutoff, num_radial), CosineCutoff(cutoff)
        self.out_channels, self.smoothness = hidden_channels, self.envelope.smoothness
        self.convolutions = nn.ModuleList(VectorConvolution(hidden_channels, num_radial) for _ in range(num_layers))
        self.updates = nn.ModuleList(VectorUpdate(hidden_channels, eps=eps) for _ in range(num_layers))

    @property
    def symmetry(self) -> Symmetry:
        x, vec = self.embedding.symmetry, "equivariant"
        for convolution, update in zip(self.convolutions, self.updates, strict=True):
            x, vec = update.symmetry(*convolution.symmetry(x, "invariant", "equivariant", vec))
        return x

    def reset_parameters(self) -> None:
        for part in (self.embedding, *self.convolutions, *self.updates):
            part.reset_parameters()

    def forward(self, z: Tensor, edge_index: Tensor, edge_vec: Tensor) -> list[Tensor]:
        dist = torch.linalg.vector_norm(edge_vec, dim=-1)
        radial, envelope, unit_vec = self.radial(dist), self.envelope(dist), edge_vec / dist.unsqueeze(-1)
        x, vec, features = self.embedding(z), None, []
        for convolution, update in zip(self.convolutions, self.updates, strict=True):
            x, vec = update(*convolution(x, edge_index, radial, envelope, unit_vec, vec))
            features.append(x)
        return features


def potential(**sizes: float) -> Potential:
    """PaiNN with SchNetPack's head; random weights, sizes as arguments of :class:`PaiNN`."""
    network = PaiNN(**sizes)
    return Potential(network, heads="last", hidden_channels=network.out_channels // 2, isolated="free")


FIXED = ("cutoff_fn.cutoff", "radial_basis.offsets", "radial_basis.widths", "embedding.weight")
FILTERS = ("filter_net.weight", "filter_net.bias")
RENAMED = {  # names of SchNetPack and ours
    r"interactions\.(\d+)\.interatomic_context_net": r"convolutions.\1.mlp.linears",
    r"mixing\.(\d+)\.intraatomic_context_net": r"updates.\1.mlp.linears",
    r"mixing\.(\d+)\.mu_channel_mix": r"updates.\1.mix",
    r"output_modules\.0\.outnet": r"atomwise.heads.0.linears",
}


def take_over(state: Mapping[str, Tensor], eps: float = 1e-8) -> Potential:
    """The same function as SchNetPack's ``NeuralNetworkPotential`` of a PaiNN, from its ``state_dict()``.

    Its energies must be in eV, its lengths in angstrom; ``eps`` is PaiNN's ``epsilon``, which the state does not hold.
    """
    weights = dict(state)
    if missing := {f"representation.{name}" for name in FIXED + FILTERS} - set(weights):
        raise ValueError(f"'state' must be of a PaiNN with Gaussians and a cosine cutoff, got no {sorted(missing)}")
    cutoff, offsets, widths, elements = (weights.pop(f"representation.{name}") for name in FIXED)
    if (offsets - torch.linspace(0, float(cutoff), len(offsets))).abs().max() > 1e-5 or widths.std() > 1e-5:
        raise ValueError(f"'state' must have Gaussians of one width from 0 to the cutoff, got {offsets.tolist()}")
    for old, new in RENAMED.items():
        weights = {re.sub(old, new, name): value for name, value in weights.items()}
    layers, width = sum(name.endswith(".mix.weight") for name in weights), elements.shape[1]
    sizes = {"hidden_channels": width, "num_layers": layers, "num_radial": len(offsets)}
    composed = potential(cutoff=float(cutoff), eps=eps, **sizes).to(elements.dtype)
    for name in FILTERS:  # of all layers in one, or one for all
        parts = weights.pop(f"representation.{name}").split(3 * width)
        kind = name.removeprefix("filter_net.")
        weights |= {f"representation.convolutions.{t}.filter.{kind}": parts[t % len(parts)] for t in range(layers)}
    others = composed.representation.embedding.embedding.weight[99:]  # SchNetPack knows elements 1 to 99
    weights["representation.embedding.embedding.weight"] = torch.cat([elements[1:], others])
    if wrong := set(weights) ^ {name for name, _ in composed.named_parameters()}:
        raise ValueError(
            f"'state' must have these or must not (offsets of energies go to 'set_reference'): {sorted(wrong)}"
        )
    composed.load_state_dict(weights, strict=False)  # the rest are reference energies
    composed.set_reference(dict.fromkeys(range(1, 100), 0.0), 1.0)
    return composed.eval()
