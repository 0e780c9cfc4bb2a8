from __future__ import annotations

import torch
from mpnn_charges import ChargeModel

# Water and a hydroxide ion.
Z = torch.tensor([8, 1, 1, 8, 1])
POS = torch.tensor(
    [[0.0, 0.0, 0.12], [0.0, 0.76, -0.47], [0.0, -0.76, -0.47], [0.0, 0.0, 0.0], [0.96, 0.0, 0.0]], dtype=torch.float64
)
BATCH = torch.tensor([0, 0, 0, 1, 1])
CHARGE = torch.tensor([0.0, -1.0], dtype=torch.float64)


def model() -> ChargeModel:
    torch.manual_seed(0)
    return ChargeModel().double()


def test_charges_sum_to_the_charge_of_each_molecule():
    charges, _ = model()(Z, POS, BATCH, CHARGE)
    torch.testing.assert_close(torch.stack([charges[:3].sum(), charges[3:].sum()]), CHARGE)
    torch.testing.assert_close(charges[1], charges[2])  # the two hydrogen atoms of water are alike
    assert (charges[0] - charges[1]).abs() > 1e-3


def test_dipole_rotates_with_the_molecule():
    rotation = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))).Q
    charges, dipole = model()(Z, POS, BATCH, CHARGE)
    rotated_charges, rotated_dipole = model()(Z, POS @ rotation.T, BATCH, CHARGE)
    torch.testing.assert_close(rotated_charges, charges)
    torch.testing.assert_close(rotated_dipole, dipole @ rotation.T)


def test_one_step_of_training_lowers_the_error():
    net = model()
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-3)
    target = torch.tensor([[0.0, 0.0, 0.39], [0.3, 0.0, 0.0]], dtype=torch.float64)
    errors = []
    for _ in range(2):
        error = (net(Z, POS, BATCH, CHARGE)[1] - target).square().mean()
        errors.append(error.item())
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
    assert errors[1] < errors[0]
