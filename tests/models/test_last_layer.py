from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch_geometric.data import Data

from pyg_mpnn import ZBL, Potential
from pyg_mpnn.models import LastLayer, UncertainPotential
from pyg_mpnn.models.structure import Structure, read_structure

Make = Callable[..., Potential]
MakeUncertain = Callable[[str], UncertainPotential]


def _read(data: Data) -> Structure:
    return read_structure(data, *([None] * 6))


def test_last_layer_is_the_potential_with_error_bars(
    make_uncertain: MakeUncertain, carbon_crystal: Data, molecules: list[Data]
) -> None:
    model = make_uncertain("last layer")
    assert isinstance(model, LastLayer)
    for data, stress in ((molecules[0], False), (carbon_crystal, True)):
        found, alone = model(data, stress=stress), model.potential(data, stress=stress)
        for name in ("energy", "forces", "atom_energies", *(["stress"] if stress else [])):
            torch.testing.assert_close(found[name], alone[name], rtol=1e-12, atol=1e-12)
        assert found.forces_std.shape == data.z.shape
        assert ("stress_std" in found.names) == stress


def test_energies_are_linear_in_the_last_layer(make_potential: Make, molecules: list[Data]) -> None:
    """What is summed over atoms gives the energy with the weights of the heads: the isolated atoms subtracted too."""
    potential = make_potential(0, num_layers=2)
    structure = potential.with_inputs(_read(molecules[0]), molecules[0]).with_edges(potential.cutoff)
    energies, features = potential.last_layer(structure, structure.pos, None)
    assert potential.atomwise is not None
    weights = torch.cat([head.linears[-1].weight.flatten() for head in potential.atomwise.heads])
    torch.testing.assert_close(features @ weights, energies)
    assert energies.abs().max() > 1e-3


@pytest.mark.slow
def test_energy_bars_are_those_of_the_posterior(make_uncertain: MakeUncertain, molecules: list[Data]) -> None:
    """Draws of the last layer scatter by what is stated, and forces of a draw are derivatives of its energy."""
    model = make_uncertain("last layer")
    assert isinstance(model, LastLayer)
    structure = _read(molecules[0]).with_edges(model.cutoff)  # type: ignore[attr-defined]
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
                own = _read(moved).with_edges(model.cutoff)  # type: ignore[attr-defined]
                ends.append(model.potential.last_layer(own, own.pos, None)[1].sum(dim=0) @ model.draws)
            squares[atom, axis] = ((ends[0] - ends[1]) / (2 * step)).square().mean()
    torch.testing.assert_close(model(molecules[0]).forces_std, squares.mean(dim=1).sqrt(), rtol=1e-5, atol=1e-8)


def test_bad_input(make_potential: Make, molecules: list[Data]) -> None:
    with pytest.raises(TypeError, match=r"potential"):
        LastLayer(ZBL())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="error bars need a fit of the last layer first"):
        LastLayer(make_potential(0))(molecules[0])
    model = LastLayer(make_potential(0))
    with pytest.raises(ValueError, match="'precision' must be positive"):
        model.set_precision(-torch.eye(model.width))
    with pytest.raises(ValueError, match=r"'precision' must have the shape .* got \(2, 2\)"):
        model.set_precision(torch.eye(2))
    own = Potential.from_size("small", hidden_channels=8, potential_heads="last", head=torch.nn.Linear(8, 1))
    with pytest.raises(ValueError, match="'head' must be an MLP of this package"):
        LastLayer(own)


def test_compiled_code_gives_the_forces(
    make_uncertain: MakeUncertain, molecules: list[Data], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compiled evaluation is asked for the forces; error bars beside it are eager."""
    model = make_uncertain("last layer")
    eager, asked = model(molecules[0]), []

    def compiled(structure: Structure, *options: object) -> tuple[torch.Tensor, torch.Tensor, None]:
        asked.append(options)
        return torch.zeros(len(structure.z)), torch.full((len(structure.z), 3), 7.0), None

    model.compiler = object()  # type: ignore[assignment]
    monkeypatch.setattr(model, "_compiled", compiled)
    found = model(molecules[0])
    assert len(asked) == 1
    assert bool((found.forces == 7.0).all())
    torch.testing.assert_close(found.forces_std, eager.forces_std)
