from __future__ import annotations

import torch

from pyg_mpnn.testing import Healthy, laws


class Swirl(Healthy):
    """A force that is no gradient."""

    def _forces(self, s, e, forces):
        x, y, z = s.pos.unbind(1)
        return forces + 1e-2 * torch.stack([-y, x, 0.0 * z], dim=1)


def test_law_holds(holds):
    holds(laws.nve)


def test_a_swirl_is_caught(catches):
    catches(laws.nve, Swirl(), "change of the energy in 16 steps")
