from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch_geometric.data import Batch, Data

from pyg_mpnn import Potential, load_potential
from pyg_mpnn.models import SPREADS, Calibration, Committee, Spread, UncertainPotential
from pyg_mpnn.testing import check_potential, laws

Make = Callable[..., Potential]
MakeUncertain = Callable[[str], UncertainPotential]


@pytest.mark.parametrize("kind", ["committee", "last layer"])
def test_isolated_atoms_and_separate_molecules(make_uncertain: MakeUncertain, kind: str, molecules: list[Data]) -> None:
    """No error bar for what is zero by construction; each structure of a batch has the one that it has alone."""
    model = make_uncertain(kind)
    assert model.elements == (1, 6, 8)
    alone = [model(molecule) for molecule in molecules]
    together = model(Batch.from_data_list(molecules))
    for name in ("energy_std", "forces_std", "atom_energies_std"):
        torch.testing.assert_close(together[name], torch.cat([output[name] for output in alone]))
    if kind == "last layer":
        atom = Data(z=torch.tensor([6]), pos=torch.zeros(1, 3, dtype=torch.float64))
        assert float(model(atom).energy_std) == 0


@pytest.mark.parametrize("kind", ["committee", "last layer"])
def test_is_saved_with_its_calibration(
    make_uncertain: MakeUncertain, kind: str, tmp_path: Path, molecules: list[Data]
) -> None:
    model = make_uncertain(kind)
    given = Calibration(2.5, 0.1, 3.0) if kind == "committee" else Calibration(2.5)
    model.set_calibration({"forces_std": given})
    model.save(tmp_path / "model.pt")
    found = load_potential(tmp_path / "model.pt")
    assert type(found) is type(model)
    assert isinstance(found, UncertainPotential)
    assert found.calibration == {name: given if name == "forces_std" else Calibration() for name in SPREADS}
    for name, value in {name: model(molecules[0])[name] for name in model(molecules[0]).names}.items():
        torch.testing.assert_close(found(molecules[0])[name], value, rtol=1e-12, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["committee", "last layer"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_laws_hold(make_uncertain: MakeUncertain, kind: str, dtype: torch.dtype, molecules: list[Data]) -> None:
    report = check_potential(
        make_uncertain(kind).to(dtype),
        molecules[:1],
        laws=[laws.rotation, laws.forces, laws.batch_independence, *laws.OUTPUT_LAWS],
    )
    assert report.passed, str(report)


def test_bad_input(make_uncertain: MakeUncertain) -> None:
    for name, given in (
        ("energy", Calibration()),
        ("energy_std", Calibration(0.0)),
        ("energy_std", Calibration(1.0, -1.0)),
    ):
        with pytest.raises(ValueError, match="'calibration' must be a positive factor for any of energy_std"):
            make_uncertain("committee").set_calibration({name: given})
    members = make_uncertain("committee").potentials[:2]
    with pytest.raises(ValueError, match="above 2 with those of the members"):  # Student's has no variance there
        Committee(*members).set_calibration({"energy_std": Calibration(1.0, 1.0, 1.0)})
    with pytest.raises(ValueError, match="for a committee alone"):
        make_uncertain("last layer").set_calibration({"energy_std": Calibration(1.0, 1.0, 1.0)})
    with pytest.raises(ValueError, match="'of' must be one of energy, atom_energies, forces, stress, got 'dipole'"):
        Spread("dipole")
