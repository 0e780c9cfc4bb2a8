"""Learned atom embedding."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor, nn

from pyg_mpnn.arguments import check_whole
from pyg_mpnn.basis.symmetry import Symmetry

NUM_ELEMENTS = 118


class AtomEmbedding(nn.Module):
    r"""Learned vector for each chemical element.

    .. math:: h_i = \mathrm{Embedding}(z_i)

    with :math:`z_i` the atomic number of atom i, 1 (hydrogen) to 118 (oganesson).

    Args:
        hidden_channels: width of the vectors, at least 1.

    Shapes:
        input ``(nodes,)``, output ``(nodes, channels)``.

    Units:
        none; components start with zero mean and unit variance.

    Raises:
        ValueError: ``hidden_channels`` below 1.
        IndexError: an atomic number outside 1..118.

    Source:
        Schütt et al., NeurIPS 2017 (SchNet), arXiv:1706.08566, section 4.

    Example:
        >>> import torch
        >>> AtomEmbedding(16)(torch.tensor([6, 1, 1])).shape
        torch.Size([3, 16])
    """

    symmetry: Symmetry = "invariant"

    def __init__(self, hidden_channels: int) -> None:
        super().__init__()
        check_whole(hidden_channels=hidden_channels)
        self.hidden_channels = hidden_channels
        self.embedding = nn.Embedding(NUM_ELEMENTS, hidden_channels)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new vectors from the standard normal distribution."""
        self.embedding.reset_parameters()

    def forward(self, z: Int[Tensor, " nodes"]) -> Float[Tensor, "nodes channels"]:
        """Look up the vector of each atom's element."""
        vectors: Tensor = self.embedding(z - 1)
        return vectors

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.hidden_channels})"
