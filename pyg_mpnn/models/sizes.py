"""Three sizes of the network.

Base was chosen by measuring on aspirin and ethanol (``docs/blocks.md``, tables in ``benchmarks/results/README.md``):
edges of width 64 lower the force error most for their time, attention does not pay, and in minutes of training two
layers cannot be told from three, which take 1.4 times the time. Small and large were not tuned.
"""

from __future__ import annotations

from typing import Any, Literal

Size = Literal["small", "base", "large"]

SIZES: dict[str, dict[str, Any]] = {
    "small": {"hidden_channels": 64, "edge_dim": 32, "channels": 8, "l_max": 2, "num_layers": 2},
    "base": {"hidden_channels": 128, "edge_dim": 64, "channels": 16, "l_max": 2, "num_layers": 2},
    "large": {"hidden_channels": 256, "edge_dim": 128, "channels": 32, "l_max": 3, "num_layers": 4},
}
"""Keyword arguments of :class:`~pyg_mpnn.MPNN` by the name of the size."""
