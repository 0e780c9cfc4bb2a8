"""SchNetPack's PaiNN on given edges, as the representation of a property model: same data, reference, loss and readout.

It needs the environment of painn.txt, which has SchNetPack beside what this package needs.
"""

from __future__ import annotations

from torch import Tensor, nn

from benchmarks.speed.peers.painn import properties, representation

CUTOFF = 5.0  # A; published, as the rest of the representation


class PaiNNRepresentation(nn.Module):
    """Its scalar features; our head on them is the one of its own configuration: 128 to 64 to 1, SiLU."""

    symmetry, num_layers, cutoff, out_channels = "invariant", 1, CUTOFF, 128

    def __init__(self) -> None:
        super().__init__()
        self.painn = representation(self.cutoff)

    def forward(self, z: Tensor, edge_index: Tensor, edge_vec: Tensor) -> list[Tensor]:
        source, target = edge_index
        inputs = {properties.Z: z, properties.Rij: edge_vec, properties.idx_i: target, properties.idx_j: source}
        return [self.painn(inputs)["scalar_representation"]]
