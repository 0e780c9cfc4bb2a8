"""A representation of the user's that reads the charge of the structure."""

from __future__ import annotations

from pyg_mpnn import MPNN

TRUST = "tests.engines.charged"


class Charged(MPNN):
    graph_inputs = ("charge",)

    def features(self, z, edge_index, edge_vec, charge, **options):
        found = super().features(z, edge_index, edge_vec, **options)
        return found._replace(x=[x * (1.0 + charge[: x.shape[0], None]) for x in found.x])
