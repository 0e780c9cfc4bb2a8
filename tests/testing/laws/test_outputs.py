from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from pyg_mpnn import MPNN, ChargesOutput, DipoleOutput, PolarizabilityOutput, Potential, ScalarOutput
from pyg_mpnn.testing import FINDINGS, LAWS, check_potential, crystal, molecule
from pyg_mpnn.testing.laws import OUTPUT_LAWS, outputs_permutation, outputs_rotation, outputs_size

DECLARED = {
    "dipole": {"shape": (3,), "symmetry": "equivariant", "extensive": True},
    "polarizability": {"shape": (3, 3), "symmetry": "equivariant", "extensive": True},
    "volume": {"extensive": True},
    "hardness": {},
    "charges": {"level": "atom"},
}
PLAIN = {"level": "structure", "shape": (), "symmetry": "invariant", "extensive": False, "unit": "1"}


class Moments(nn.Module):
    """Outputs in closed form from vectors to the neighbours; a fault changes one of them."""

    cutoff, has_energy = 4.0, False

    def __init__(self, fault=None):
        super().__init__()
        self.weight, self.fault = nn.Parameter(torch.ones(())), fault
        self.outputs = {name: SimpleNamespace(**PLAIN | own) for name, own in DECLARED.items()}

    def forward(self, data):
        vec = data.pos[None] - data.pos[:, None]  # (i, j, xyz)
        weight = (data.batch[None] == data.batch[:, None]) * (1 - vec.square().sum(2) / self.cutoff**2).clamp(
            min=0
        ) ** 3
        weight = self.weight * weight * data.z[None] * (1 - torch.eye(len(data.z)))
        density, vector = weight.sum(1), (weight[:, :, None] * vec).sum(1)
        tensor = density[:, None, None] * torch.eye(3) + vector[:, :, None] * vector[:, None]

        def total(values: Tensor) -> Tensor:
            return values.new_zeros(data.num_graphs, *values.shape[1:]).index_add(0, data.batch, values)

        count = total(torch.ones_like(density))
        found = {"dipole": total(vector), "polarizability": total(tensor), "volume": total(density)}
        found |= {"hardness": total(density) / count, "charges": density}
        if self.fault is not None:
            name, change = self.fault
            found[name] = change(found, count, data)
        return found


FAULTS = {
    outputs_rotation: {
        "components": ("hardness", lambda found, count, data: found["dipole"][:, 0]),
        "sizes": ("dipole", lambda found, count, data: found["dipole"].abs()),
        "axial": ("dipole", lambda found, count, data: (found["polarizability"] @ found["dipole"][..., None]).squeeze(2)
                  .cross(found["dipole"], dim=1)),
        "turned once": ("polarizability", lambda found, count, data: found["polarizability"].roll(1, dims=2)),
        "origin": ("dipole", lambda found, count, data: found["dipole"] + data.pos[:1]),
    },
    outputs_permutation: {
        "sorted": ("charges", lambda found, count, data: found["charges"].sort().values),
        "first atom": ("volume", lambda found, count, data: found["charges"][data.ptr[:-1]]),
    },
    outputs_size: {
        "mean": ("volume", lambda found, count, data: found["volume"] / count),
        "sum": ("hardness", lambda found, count, data: found["volume"]),
        "square": ("polarizability", lambda found, count, data: found["dipole"][:, :, None] * found["dipole"][:, None]),
        "all graphs": ("hardness", lambda found, count, data: found["hardness"].mean().expand(data.num_graphs)),
        "of all atoms": ("charges", lambda found, count, data: found["charges"] / len(data.z)),
    },
}  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sound_outputs_pass(dtype, unchecked):
    report = check_potential(Moments(), [molecule(), crystal()], dtype=dtype)
    assert report.passed, str(report)
    assert set(report.results) == {law.name for law in OUTPUT_LAWS}, "there is no energy"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("law", "fault"), [(law, fault) for law in FAULTS for fault in FAULTS[law]])
def test_wrong_outputs_fail(law, fault, dtype, unchecked):
    name, _ = FAULTS[law][fault]
    report = check_potential(Moments(FAULTS[law][fault]), molecule(), dtype=dtype)
    assert law.name in report.failed
    failed = [check for result in report.results.values() for check in result.checks if not check.passed]
    assert {check.quantity.split()[0] for check in failed} == {name}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_outputs_of_a_potential_pass(dtype, unchecked):
    torch.manual_seed(0)
    outputs = {"dipole": DipoleOutput(), "polarizability": PolarizabilityOutput(), "charges": ChargesOutput()}
    outputs |= {"gap": ScalarOutput(extensive=False), "zpve": ScalarOutput(), "shift": ScalarOutput(level="atom")}
    model = Potential(MPNN(hidden_channels=16, edge_dim=8, channels=4, num_layers=2, cutoff=4.0), outputs=outputs)
    for weight in model.outputs.parameters():
        nn.init.normal_(weight, std=0.3)
    report = check_potential(model, molecule(), dtype=dtype, laws=OUTPUT_LAWS)
    assert report.passed, str(report)
    spreads = [check.tolerance for result in report.results.values() for check in result.checks]
    assert min(spreads) > 1e-14, "control: no output is constant"


def test_a_potential_without_energy_is_held_to_the_laws_of_its_outputs(unchecked):
    sizes = {"hidden_channels": 8, "edge_dim": 8, "channels": 2, "num_layers": 1, "cutoff": 4.0}
    model = Potential(MPNN(**sizes), outputs={"dipole": DipoleOutput()}, energy=False).double()
    report = check_potential(model, molecule())
    assert report.passed, str(report)
    assert set(report.results) == {law.name for law in OUTPUT_LAWS}


@pytest.mark.slow
def test_laws_of_outputs_are_for_models_that_have_some(unchecked):
    model = Potential(MPNN(hidden_channels=8, edge_dim=8, channels=2, num_layers=1, cutoff=4.0))
    names = []
    check_potential(model, molecule(), progress=names.append)
    assert names == [law.name for law in (*LAWS, *FINDINGS)]


def test_output_of_another_shape_is_named(unchecked):
    model = Moments(("dipole", lambda found, count, data: found["dipole"][:, :2]))
    (result,) = check_potential(model, molecule(), laws=[outputs_rotation]).results.values()
    assert result.reason == "ValueError: the model must return 'dipole' of the shape (1, 3), got (1, 2)"
