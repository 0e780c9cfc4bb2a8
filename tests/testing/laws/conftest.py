"""A potential in closed form, and what the tests of the laws say about a result."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from pyg_mpnn.basis import PolynomialCutoff
from pyg_mpnn.geometry import edge_vectors, neighbor_list
from pyg_mpnn.testing import Healthy, Law, crystal, molecule


class Springs(nn.Module):
    """Pairs within 3 A, E = sum_i sum_j k f_c(r) exp(-r^2 / 2) / 2: energies only, forces are the kit's business."""

    cutoff, smoothness = 3.0, 2
    isolated_energies = dict.fromkeys((1, 6, 8, 14), 0.0)

    def __init__(self) -> None:
        super().__init__()
        self.strength = nn.Parameter(torch.tensor(2.0, dtype=torch.float64))
        self.envelope = PolynomialCutoff(self.cutoff)

    def forward(self, data: Batch) -> Tensor:
        cell, pbc = data.get("cell"), data.get("pbc")
        edges = neighbor_list(
            data.pos.detach(), self.cutoff, batch=data.batch, num_graphs=data.num_graphs, cell=cell, pbc=pbc
        )
        vec = edge_vectors(data.pos, edges.edge_index, edges.shifts if cell is not None else None, cell, data.batch)
        sq = vec.square().sum(dim=1)
        pairs = 0.5 * self.strength * self.envelope(sq.sqrt()) * torch.exp(-0.5 * sq)
        energy = pairs.new_zeros(data.num_graphs)
        return energy.index_add(0, data.batch[edges.edge_index[1]], pairs)


@pytest.fixture(autouse=True)
def _unchecked(unchecked: None) -> None:
    """The laws run the package as users do."""


@pytest.fixture(params=[torch.float64, pytest.param(torch.float32, marks=pytest.mark.slow)], ids=["float64", "float32"])
def precision(request: pytest.FixtureRequest) -> torch.dtype:
    """Precision that a law is checked in."""
    value: torch.dtype = request.param
    return value


@pytest.fixture
def holds(precision: torch.dtype) -> Callable[..., None]:
    """Two sound potentials, one of them without forces of its own, pass a law in both precisions."""

    def check(law: Law, structures: list[Data] | None = None) -> None:
        for model, lacks in ((Healthy(), {}), (Springs(), {"stress": "returns energies only"})):
            result = law(model, structures or [molecule(), crystal()], dtype=precision, lacks=lacks)
            if result.verdict == "n/a":
                assert law.name == "stress"
                continue
            assert result.verdict == "pass", str(result)
            assert all(check.why and check.unit for check in result.checks)

    return check


@pytest.fixture
def catches() -> Callable[..., None]:
    """A broken potential fails a law in float64, with the words that say what was found."""

    def check(law: Law, model: object, *words: str, **adapter: object) -> None:
        result = law(model, [molecule(), crystal()], **{"cutoff": 3.0, "dtype": torch.float64, **adapter})
        assert result.verdict == "fail", str(result)
        assert all(word in str(result) for word in words), str(result)

    return check
