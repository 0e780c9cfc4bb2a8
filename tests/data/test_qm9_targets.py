from __future__ import annotations

import pytest
from torch_geometric.datasets.qm9 import atomrefs

from pyg_mpnn.data import QM9_TARGETS

ORDER = ["mu", "alpha", "homo", "lumo", "gap", "r2", "zpve", "U0", "U", "H", "G", "Cv"]


def test_targets_come_in_the_order_of_pyg():
    assert list(QM9_TARGETS) == ORDER


@pytest.mark.parametrize("name", ["U0", "U", "H", "G"])
def test_free_atoms_are_those_of_pyg(name):
    target = QM9_TARGETS[name]
    energies = [energy * target.factor for energy in target.free_atoms.values()]
    # PyG's are the same hartrees times 27.211386246 eV and 8 decimals; the constants differ by 1e-8
    assert energies == pytest.approx(atomrefs[ORDER.index(name)], rel=2e-8)


def test_other_targets_have_no_free_atoms():
    assert {name for name, target in QM9_TARGETS.items() if target.free_atoms} == {"U0", "U", "H", "G"}
    assert all(sum(atomrefs.get(place, [])) == 0 for place in (6, 11))
