"""From positions to edges: exact neighbour lists, edge vectors, nested cutoffs, strain."""

from __future__ import annotations

from pyg_mpnn.geometry.backends import Backend
from pyg_mpnn.geometry.covalent_radii import covalent_radii
from pyg_mpnn.geometry.cutoffs import as_cutoffs
from pyg_mpnn.geometry.edges import apply_strain, edge_vectors
from pyg_mpnn.geometry.neighbors import NeighborList, check_edges, neighbor_list
from pyg_mpnn.geometry.skin import SkinList
from pyg_mpnn.geometry.transform import RadiusGraph

__all__ = [
    "NeighborList",
    "neighbor_list",
    "check_edges",
    "Backend",
    "edge_vectors",
    "as_cutoffs",
    "RadiusGraph",
    "apply_strain",
    "SkinList",
    "covalent_radii",
]
