"""Two small real structures without any symmetry, to check models on."""

from __future__ import annotations

import torch
from torch_geometric.data import Data

_ETHANOL = (
    (6, 0.0678, 0.4697, 0.2133),
    (6, -1.2661, 0.0381, -0.3057),
    (8, 1.0873, -0.4666, 0.1413),
    (1, 0.3819, 1.4583, -0.2520),
    (1, 0.1423, 0.7548, 1.2250),
    (1, -1.6511, -0.8182, 0.1676),
    (1, -2.0169, 0.8368, -0.1680),
    (1, -1.1090, -0.1348, -1.3458),
    (1, 1.2712, -0.7421, -0.7695),
)


def molecule() -> Data:
    """Ethanol, the first test frame of revised MD17 (500 K), rounded.

    Returns:
        ``z`` (nodes,) and ``pos`` (nodes, 3), float64.

    Shapes:
        ``z`` ``(nodes,)``, ``pos`` ``(nodes, 3)``.

    Units:
        A.

    Source:
        Christensen and von Lilienfeld, arXiv:2007.09593 (CC0).
    """
    table = torch.tensor(_ETHANOL, dtype=torch.float64)
    return Data(z=table[:, 0].long(), pos=table[:, 1:].contiguous())


def crystal() -> Data:
    """Primitive cell of cubic silicon carbide, one atom displaced: smaller than any usual cutoff.

    Returns:
        ``z`` (nodes,), ``pos`` (nodes, 3), ``cell`` (1, 3, 3) and ``pbc`` (1, 3), float64.

    Shapes:
        ``z`` ``(nodes,)``, ``pos`` ``(nodes, 3)``.

    Units:
        A.
    """
    cell = 4.36 / 2 * torch.tensor([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0]], dtype=torch.float64)
    pos = torch.tensor([[0.0, 0.0, 0.0], [1.14, 1.05, 1.07]], dtype=torch.float64)
    return Data(z=torch.tensor([14, 6]), pos=pos, cell=cell[None], pbc=torch.ones(1, 3, dtype=torch.bool))
