"""SchNet as in PyTorch Geometric, composed from the blocks of pyg_mpnn; :func:`take_over` keeps trained weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.nn import SchNet as Original

from pyg_mpnn import MLP, AtomEmbedding, CosineCutoff, FilterConvolution, GaussianBasis, Potential, ShiftedSoftplus
from pyg_mpnn.basis import Symmetry


class SchNet(nn.Module):
    """Continuous-filter convolutions (Schütt et al., NeurIPS 2017, arXiv:1706.08566); sizes as PyG's."""

    def __init__(
        self,
        *,
        cutoff: float = 10.0,
        hidden_channels: int = 128,
        num_filters: int = 128,
        num_layers: int = 6,
        num_radial: int = 50,
    ) -> None:
        super().__init__()
        self.cutoff, self.hidden_channels, self.num_filters = cutoff, hidden_channels, num_filters
        self.num_layers, self.num_radial = num_layers, num_radial
        self.embedding = AtomEmbedding(hidden_channels)
        self.radial, self.envelope = GaussianBasis(cutoff, num_radial), CosineCutoff(cutoff)
        self.out_channels, self.smoothness = hidden_channels, self.envelope.smoothness
        widths, layers = [num_filters, hidden_channels, hidden_channels], range(num_layers)
        self.convolutions = nn.ModuleList(FilterConvolution(hidden_channels, num_filters, num_radial) for _ in layers)
        self.updates = nn.ModuleList(MLP(widths, ShiftedSoftplus()) for _ in layers)

    @property
    def symmetry(self) -> Symmetry:
        x = self.embedding.symmetry
        for convolution in self.convolutions:
            x = convolution.symmetry(x, "invariant")
        return x

    def reset_parameters(self) -> None:
        for part in (self.embedding, *self.convolutions, *self.updates):
            part.reset_parameters()

    def forward(self, z: Tensor, edge_index: Tensor, edge_vec: Tensor) -> list[Tensor]:
        dist = torch.linalg.vector_norm(edge_vec, dim=-1)
        radial, envelope = self.radial(dist), self.envelope(dist)
        x, features = self.embedding(z), []
        for convolution, update in zip(self.convolutions, self.updates, strict=True):
            x = x + update(convolution(x, edge_index, radial, envelope))
            features.append(x)
        return features


def potential(**sizes: float) -> Potential:
    """SchNet with PyG's head; random weights, sizes as arguments of :class:`SchNet`."""
    representation = SchNet(**sizes)
    width = representation.out_channels
    head = MLP([width, width // 2, 1], ShiftedSoftplus())
    return Potential(representation, heads="last", head=head, isolated="free")


def take_over(original: Original) -> Potential:
    """The same function as a model of PyG; its energies must be in eV, its lengths in angstrom."""
    if original.dipole or type(original.readout).__name__ != "SumAggregation":
        raise ValueError("'original' must sum energies of atoms (readout='add', dipole=False)")
    weights, layers = original.state_dict(), len(original.interactions)
    composed = potential(
        cutoff=float(original.cutoff),
        hidden_channels=original.hidden_channels,
        num_filters=original.num_filters,
        num_layers=layers,
        num_radial=original.num_gaussians,
    )
    composed.to(weights["lin1.weight"].dtype)
    with torch.no_grad():  # PyG knows elements 1 to 99
        composed.representation.embedding.embedding.weight[:99] = weights["embedding.weight"][1:]
    names = {"convolutions.{}.linear": "conv.lin1", "convolutions.{}.filter.linears.0": "mlp.0"}
    names |= {"convolutions.{}.filter.linears.1": "mlp.2"}
    names |= {"updates.{}.linears.0": "conv.lin2", "updates.{}.linears.1": "lin"}
    modules = {ours.format(t): f"interactions.{t}.{theirs}" for t in range(layers) for ours, theirs in names.items()}
    modules = {f"representation.{ours}": theirs for ours, theirs in modules.items()}
    for ours, theirs in (
        modules | {"atomwise.heads.0.linears.0": "lin1", "atomwise.heads.0.linears.1": "lin2"}
    ).items():
        composed.get_submodule(ours).load_state_dict(original.get_submodule(theirs).state_dict())
    factor = 1.0 if original.scale is None else original.scale
    shift, spread = (0.0, 1.0) if None in (original.mean, original.std) else (original.mean, original.std)
    atoms = torch.zeros(100) if original.atomref is None else original.atomref.weight.detach().flatten()
    reference = {z: factor * (shift + float(atoms[z])) for z in range(1, 100)}
    composed.set_reference(reference, factor * spread)
    return composed.eval()
