from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.image import imread

from pyg_mpnn.training import Predictions
from pyg_mpnn.training.plots import draw_parity, plot_learning_curve, plot_parity

pytestmark = pytest.mark.usefixtures("drawn")


def _row(epoch: int, weight: float) -> dict[str, float]:
    names = ("train_forces_rmse_meV_per_A", "valid_forces_rmse_meV_per_A", "valid_forces_mae_meV_per_A")
    energies = [name.replace("forces", "energy").replace("per_A", "per_atom") for name in names]
    errors = dict.fromkeys([*names, *energies], 100.0 / epoch)
    return {"epoch": epoch, "minutes": 0.5 * epoch, "energy_weight": weight, "valid_score": 200.0 / epoch, **errors}


def _dark_fraction(path: Path) -> float:
    return float((imread(path)[..., :3].mean(axis=-1) < 0.95).mean())


@pytest.mark.parametrize("epochs", [1, 8])
def test_learning_curve_is_drawn(tmp_path: Path, epochs: int) -> None:
    history = [_row(epoch, 0.1 if epoch < 6 else 10.0) for epoch in range(1, epochs + 1)]
    plot_learning_curve(history, tmp_path / "curve.png")
    assert 0.02 < _dark_fraction(tmp_path / "curve.png") < 0.5


@pytest.mark.slow
@pytest.mark.parametrize("atoms", [1, 3000])
@pytest.mark.parametrize("stress", [False, True])
def test_parity_is_drawn_for_few_and_many_points(tmp_path: Path, atoms: int, stress: bool) -> None:
    forces = torch.linspace(-1.0, 1.0, 3 * atoms, dtype=torch.float64).reshape(atoms, 3)
    energy = torch.tensor([-5.0], dtype=torch.float64)
    tensor = torch.eye(3, dtype=torch.float64)[None] if stress else None
    predictions = Predictions(torch.tensor([atoms]), energy, energy + 0.1, forces, 1.1 * forces, tensor, tensor)
    plot_parity(predictions, energy, tmp_path / "parity.png", "1 structure")
    assert 0.02 < _dark_fraction(tmp_path / "parity.png") < 0.5
    assert np.diff(imread(tmp_path / "parity.png").shape[1::-1])[0] < 0, "panels stand side by side"


def test_parity_of_structures_without_atoms_is_drawn(tmp_path: Path) -> None:
    energy, none = torch.zeros(1, dtype=torch.float64), torch.zeros(0, 3, dtype=torch.float64)
    plot_parity(Predictions(torch.tensor([0]), energy, energy, none, none), energy, tmp_path / "parity.png", "empty")
    assert (tmp_path / "parity.png").exists()


def test_other_outputs_have_panels(tmp_path: Path) -> None:
    dipole = torch.rand(20, 3, dtype=torch.float64)
    reference = dipole.clone()
    reference[3] = torch.nan
    predictions = Predictions(
        torch.ones(20, dtype=torch.int64), others={"dipole": dipole}, others_ref={"dipole": reference}
    )
    plot_parity(predictions, None, tmp_path / "parity.png", "20 molecules", {"dipole": "e*A"})
    history = [
        {"epoch": k, "minutes": 1.0, "energy_weight": 0.1, "valid_score": 1.0 / k}
        | dict.fromkeys(("train_dipole_rmse", "valid_dipole_rmse", "valid_dipole_mae"), 1.0 / k)
        for k in (1, 2, 3)
    ]
    plot_learning_curve(history, tmp_path / "curve.png", {"dipole": "e*A"})
    for name in ("parity.png", "curve.png"):
        assert 0.02 < _dark_fraction(tmp_path / name) < 0.5


def test_parity_says_what_is_subtracted_from_the_energies() -> None:
    energy = torch.tensor([-4000.0, -4000.3], dtype=torch.float64)
    sizes, zero = torch.tensor([9, 9]), torch.full((2,), -4000.1, dtype=torch.float64)
    panel = draw_parity(Predictions(sizes, energy + 0.009, energy), zero, "2 structures").axes[0]
    assert panel.get_title() == "energy above a fit to the compositions,\nMAE 1.00 meV/atom"
    drawn = np.concatenate([np.asarray(points.get_offsets()) for points in panel.collections])
    drawn = np.concatenate([drawn, *(line.get_xydata() for line in panel.lines)])
    assert np.abs(drawn).max() < 1e3, "in meV per atom from the fit, not from 0 eV"
