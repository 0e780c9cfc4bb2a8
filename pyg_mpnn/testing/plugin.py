"""The laws as pytest tests of a project's own model: a class to inherit, and fixtures.

In a test file::

    from pyg_mpnn.testing.plugin import PotentialLaws

    class TestMyModel(PotentialLaws):
        def potential(self):
            return MyModel()

and for the fixtures, in conftest.py, ``pytest_plugins = ["pyg_mpnn.testing.plugin"]``.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch_geometric.data import Data

from pyg_mpnn.testing.law import Law
from pyg_mpnn.testing.laws import LAWS
from pyg_mpnn.testing.structures import crystal, molecule


class PotentialLaws:
    """One test for each law; inherit it and say which potential.

    A law that does not apply is skipped with its reason. Override :meth:`structures` where the potential knows other
    elements than H, C and O, and set ``adapter`` for arguments of :func:`pyg_mpnn.testing.as_subject` (cutoff, lacks,
    dtype ...).
    """

    adapter: dict[str, Any] = {}  # noqa: RUF012 (read only)

    def potential(self) -> Any:
        """The potential to check: anything that :func:`pyg_mpnn.testing.check_potential` takes."""
        raise NotImplementedError("define potential(self), which returns the model to check")

    def structures(self) -> list[Data]:
        """Real structures of elements that the potential knows; ethanol by default."""
        return [molecule()]

    @pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
    def test_law(self, law: Law) -> None:
        """The potential obeys the law."""
        result = law(self.potential(), self.structures(), **{"dtype": torch.float64, **self.adapter})
        if result.verdict == "n/a":
            pytest.skip(result.reason)
        result.require()


@pytest.fixture(name="molecule")
def molecule_fixture() -> Data:
    """Ethanol, float64: for tests of laws one by one."""
    return molecule()


@pytest.fixture(name="crystal")
def crystal_fixture() -> Data:
    """Slightly distorted primitive cell of silicon carbide, smaller than any usual cutoff, float64."""
    return crystal()
