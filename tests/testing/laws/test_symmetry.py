from __future__ import annotations

import torch

from pyg_mpnn.testing import Healthy, laws


class Tilted(Healthy):
    """A field along z."""

    def _atomic(self, s, e):
        return super()._atomic(s, e) + 1e-8 * s.pos[:, 2]


class Ranked(Healthy):
    """The first atom is special."""

    def _atomic(self, s, e):
        atomic = super()._atomic(s, e)
        return atomic * (1.0 + 1e-8 * (torch.arange(len(atomic)) == 0).double())


class Ordered(Healthy):
    """The first edge is special."""

    def _weight(self, s, vec, sq):
        return super()._weight(s, vec, sq) * (1.0 - 1e-8 * (torch.arange(len(sq)) == 0).double())


def test_laws_hold(holds):
    for law in (laws.translation, laws.rotation, laws.inversion, laws.atom_permutation, laws.edge_permutation):
        holds(law)


def test_a_field_is_caught(catches):
    catches(laws.translation, Tilted(), "energy (moved by 10 A)")
    catches(laws.rotation, Tilted(), "rotated", "eV/A")
    catches(laws.inversion, Tilted(), "inverted")


def test_an_order_is_caught(catches):
    catches(laws.atom_permutation, Ranked(), "renumbered")
    catches(laws.edge_permutation, Ordered(), "shuffled")


def test_unconstrained_models_need_no_rotation():
    from pyg_mpnn.testing import molecule

    result = laws.rotation(Tilted(), molecule(), lacks={"invariance": "says so"})
    assert (result.verdict, result.reason) == ("n/a", "invariance: says so")
