from __future__ import annotations

import torch

from pyg_mpnn.testing import Healthy, crystal, laws, molecule


class OwnCell(Healthy):
    """Positions relative to the cell are a feature."""

    def _atomic(self, s, e):
        inside = (s.pos > 2.0).all(dim=1) & torch.tensor(s.cell is not None)
        return super()._atomic(s, e) + 1e-8 * inside


class FirstImage(Healthy):
    """No neighbour is another image of the atom itself."""

    def _weight(self, s, vec, sq):
        return super()._weight(s, vec, sq) * (s.source != s.target)


def test_laws_hold(holds):
    for law in (laws.supercell, laws.wrapping, laws.cell_choice):
        holds(law)
        holds(law, [molecule()])  # put into a cell


def test_faults_are_caught(catches):
    catches(laws.wrapping, OwnCell(), "wrapped otherwise")
    catches(laws.supercell, FirstImage(), "crystal doubled along a", "wire doubled along b", "slab doubled")


def test_cells_of_only_three_periodic_directions_can_be_declared():
    result = laws.supercell(FirstImage(), crystal(), lacks={"partly periodic": "crystals only"})
    assert "crystal doubled" in str(result)
    assert "slab" not in str(result)
