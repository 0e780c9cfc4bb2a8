from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch_geometric.data import Batch, Data

from pyg_mpnn import ZBL, Potential, load_potential
from pyg_mpnn.data import ethanol
from pyg_mpnn.models import SPREADS, Committee, LastLayer, Spread, UncertainPotential
from pyg_mpnn.testing import check_potential, laws

REFERENCE = {1: -13.6, 6: -1029.0, 8: -2041.0}
TINY = {"hidden_channels": 8, "edge_dim": 8, "channels": 2, "l_max": 1, "num_layers": 1}


def _potential(seed: int, **options: object) -> Potential:
    torch.manual_seed(seed)
    potential = Potential.from_size("small", **{**TINY, **options})
    potential.set_reference({z: energy + seed for z, energy in REFERENCE.items()}, scale=0.7, neighbors=[8.0])
    return potential.double().eval()


def _uncertain(kind: str) -> UncertainPotential:
    if kind == "committee":
        return Committee(*(_potential(seed) for seed in range(3))).eval()
    model = LastLayer(_potential(0), num_draws=3).eval()
    root = torch.randn(model.width, model.width, dtype=torch.float64)
    model.set_precision(root @ root.T + torch.eye(model.width))
    return model


@pytest.fixture
def molecules() -> list[Data]:
    return [Data(z=frame.z, pos=frame.pos.double()) for frame in ethanol("test")[:3]]


def _crystal() -> Data:
    cell = 5.6 * torch.eye(3, dtype=torch.float64)
    pos = torch.tensor([[0.0, 0.1, 0.0], [2.8, 2.7, 0.2], [0.1, 2.8, 2.6]], dtype=torch.float64)
    return Data(z=torch.tensor([6, 8, 1]), pos=pos, cell=cell[None], pbc=torch.ones(1, 3, dtype=torch.bool))


def test_committee_is_mean_and_spread_of_its_members(molecules: list[Data]) -> None:
    members = [_potential(seed) for seed in range(3)]
    committee = Committee(*members).eval()
    committee.set_calibration({"energy_std": 2.0, "forces_std": 3.0})
    batch = Batch.from_data_list(molecules)
    found, parts = committee(batch), [member(batch) for member in members]
    energies, forces = torch.stack([part.energy for part in parts]), torch.stack([part.forces for part in parts])
    torch.testing.assert_close(found.energy, energies.mean(dim=0))
    torch.testing.assert_close(found.forces, forces.mean(dim=0))
    torch.testing.assert_close(found.energy_std, 2 * energies.std(dim=0))
    torch.testing.assert_close(found.forces_std, 3 * forces.var(dim=0).mean(dim=1).sqrt())
    assert found.energy_std.min() > 0.01  # so that the comparison says something


def test_committee_without_error_bars_is_the_same_mean(molecules: list[Data]) -> None:
    committee = _uncertain("committee")
    found, mean = committee(molecules[0]), committee(molecules[0], outputs=False)
    assert mean.names == ("energy", "forces", "atom_energies")
    torch.testing.assert_close(found.energy, mean.energy, rtol=1e-12, atol=0)
    torch.testing.assert_close(found.forces, mean.forces, rtol=1e-10, atol=1e-12)


def test_stress_of_a_committee() -> None:
    committee = _uncertain("committee")
    found = committee(_crystal(), stress=True)
    stresses = torch.stack([member(_crystal(), stress=True).stress for member in committee.potentials])
    torch.testing.assert_close(found.stress, stresses.mean(dim=0))
    torch.testing.assert_close(found.stress_std, stresses.var(dim=0).mean(dim=(1, 2)).sqrt())


def test_last_layer_is_the_potential_with_error_bars(molecules: list[Data]) -> None:
    model = _uncertain("last layer")
    assert isinstance(model, LastLayer)
    for data, stress in ((molecules[0], False), (_crystal(), True)):
        found, alone = model(data, stress=stress), model.potential(data, stress=stress)
        for name in ("energy", "forces", "atom_energies", *(["stress"] if stress else [])):
            torch.testing.assert_close(found[name], alone[name], rtol=1e-12, atol=1e-12)
        assert found.forces_std.shape == data.z.shape
        assert ("stress_std" in found.names) == stress


def test_energies_are_linear_in_the_last_layer(molecules: list[Data]) -> None:
    """What is summed over atoms gives the energy with the weights of the heads: the isolated atoms subtracted too."""
    potential = _potential(0, num_layers=2)
    structure = potential.with_inputs(_structure(molecules[0]), molecules[0]).with_edges(potential.cutoff)
    energies, features = potential.last_layer(structure, structure.pos, None)
    assert potential.atomwise is not None
    weights = torch.cat([head.linears[-1].weight.flatten() for head in potential.atomwise.heads])
    torch.testing.assert_close(features @ weights, energies)
    assert energies.abs().max() > 1e-3


def _structure(data: Data) -> object:
    from pyg_mpnn.models.structure import read_structure

    return read_structure(data, *([None] * 6))


def test_energy_bars_are_those_of_the_posterior(molecules: list[Data]) -> None:
    """Draws of the last layer scatter by what is stated, and forces of a draw are derivatives of its energy."""
    model = _uncertain("last layer")
    assert isinstance(model, LastLayer)
    structure = _structure(molecules[0]).with_edges(model.cutoff)  # type: ignore[attr-defined]
    _, features = model.potential.last_layer(structure, structure.pos, None)
    whole = features.sum(dim=0).detach()
    noise = torch.randn(model.width, 20000, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    scatter = (whole @ model.root @ noise).std()
    assert float(model(molecules[0]).energy_std) == pytest.approx(float(scatter), rel=0.03)

    step, squares = 1e-4, torch.zeros(len(molecules[0].z), 3, dtype=torch.float64)
    for atom in range(len(molecules[0].z)):
        for axis in range(3):
            ends = []
            for sign in (1, -1):
                moved = molecules[0].clone()
                moved.pos[atom, axis] += sign * step
                own = _structure(moved).with_edges(model.cutoff)  # type: ignore[attr-defined]
                ends.append(model.potential.last_layer(own, own.pos, None)[1].sum(dim=0) @ model.draws)
            squares[atom, axis] = ((ends[0] - ends[1]) / (2 * step)).square().mean()
    torch.testing.assert_close(model(molecules[0]).forces_std, squares.mean(dim=1).sqrt(), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("kind", ["committee", "last layer"])
def test_isolated_atoms_and_separate_molecules(kind: str, molecules: list[Data]) -> None:
    """No error bar for what is zero by construction; each structure of a batch has the one that it has alone."""
    model = _uncertain(kind)
    assert model.elements == (1, 6, 8)
    alone = [model(molecule) for molecule in molecules]
    together = model(Batch.from_data_list(molecules))
    for name in ("energy_std", "forces_std", "atom_energies_std"):
        torch.testing.assert_close(together[name], torch.cat([output[name] for output in alone]))
    if kind == "last layer":
        atom = Data(z=torch.tensor([6]), pos=torch.zeros(1, 3, dtype=torch.float64))
        assert float(model(atom).energy_std) == 0


@pytest.mark.parametrize("kind", ["committee", "last layer"])
def test_is_saved_with_its_calibration(kind: str, tmp_path: Path, molecules: list[Data]) -> None:
    model = _uncertain(kind)
    model.set_calibration({"forces_std": 2.5})
    model.save(tmp_path / "model.pt")
    found = load_potential(tmp_path / "model.pt")
    assert type(found) is type(model)
    assert isinstance(found, UncertainPotential)
    assert found.calibration == {name: 2.5 if name == "forces_std" else 1.0 for name in SPREADS}
    for name, value in {name: model(molecules[0])[name] for name in model(molecules[0]).names}.items():
        torch.testing.assert_close(found(molecules[0])[name], value, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", ["committee", "last layer"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_laws_hold(kind: str, dtype: torch.dtype, molecules: list[Data]) -> None:
    report = check_potential(
        _uncertain(kind).to(dtype),
        molecules[:1],
        laws=[laws.rotation, laws.forces, laws.batch_independence, *laws.OUTPUT_LAWS],
    )
    assert report.passed, str(report)


def test_a_broken_error_bar_is_found(molecules: list[Data]) -> None:
    """The control: a spread that depends on the orientation."""

    class Tilted(Committee):
        def _evaluate(self, structure, *args, **options):  # type: ignore[no-untyped-def]
            output = super()._evaluate(structure, *args, **options)
            if "energy_std" in output.others:
                output.others["energy_std"] = output.others["energy_std"] * (1 + 0.1 * structure.pos[0, 0].detach())
            return output

    model = Tilted(*(_potential(seed) for seed in range(2))).eval()
    report = check_potential(model, molecules[:1], laws=[laws.outputs_rotation])
    assert not report.passed


def test_bad_input(molecules: list[Data]) -> None:
    with pytest.raises(ValueError, match="'potentials' must hold at least two members to have a spread, got 1"):
        Committee(_potential(0))
    with pytest.raises(TypeError, match=r"potential"):
        LastLayer(ZBL())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="error bars need a fit of the last layer first"):
        LastLayer(_potential(0))(molecules[0])
    model = LastLayer(_potential(0))
    with pytest.raises(ValueError, match="'precision' must be positive"):
        model.set_precision(-torch.eye(model.width))
    with pytest.raises(ValueError, match=r"'precision' must have the shape .* got \(2, 2\)"):
        model.set_precision(torch.eye(2))
    with pytest.raises(ValueError, match="'factors' must be positive numbers for energy_std"):
        model.set_calibration({"energy": 1.0})
    with pytest.raises(ValueError, match="'of' must be one of energy, atom_energies, forces, stress, got 'dipole'"):
        Spread("dipole")
    own = Potential.from_size("small", **TINY, potential_heads="last", head=torch.nn.Linear(8, 1))
    with pytest.raises(ValueError, match="'head' must be an MLP of this package"):
        LastLayer(own)
