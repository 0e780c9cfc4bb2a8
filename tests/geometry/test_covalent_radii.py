from __future__ import annotations

import numpy as np
import pytest

from pyg_mpnn.geometry import covalent_radii


def test_values_are_those_of_ase():
    data = pytest.importorskip("ase.data", reason="ASE is not installed: pip install pyg_mpnn[md]")
    found = covalent_radii().numpy()
    np.testing.assert_array_equal(found[1:97], data.covalent_radii[1:97])
    assert np.isnan(found[0])
    assert (found[97:] == found[96]).all()
    assert len(found) == 119
