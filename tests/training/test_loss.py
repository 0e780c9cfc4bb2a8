from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Batch, Data

from pyg_mpnn.models import DipoleOutput, Potential, PotentialOutput, ScalarOutput
from pyg_mpnn.training import LossTerms, loss_terms, output_losses
from pyg_mpnn.training.loss import count_terms


def _batch(dtype: torch.dtype, energy: tuple[float, float] = (-10.0, -20.0), stress: bool = False) -> Batch:
    """A structure of two atoms and one of one atom, in cells of 8 and 2 A^3."""
    frames = []
    for atoms, value, volume in ((2, energy[0], 8.0), (1, energy[1], 2.0)):
        frame = Data(z=torch.ones(atoms, dtype=torch.int64), pos=torch.zeros(atoms, 3, dtype=dtype))
        frame.energy = torch.tensor([value], dtype=torch.float64)
        frame.forces = torch.ones(atoms, 3, dtype=dtype)
        if stress:
            frame.cell = torch.diag(torch.tensor([volume, 1.0, 1.0], dtype=dtype))[None]
            frame.stress = torch.full((1, 3, 3), torch.nan, dtype=dtype)
        frames.append(frame)
    return Batch.from_data_list(frames)


def _output(dtype: torch.dtype, energy: tuple[float, float], force: float = 1.0, stress: float | None = None):
    tensor = None if stress is None else torch.full((2, 3, 3), stress, dtype=dtype, requires_grad=True)
    forces = torch.full((3, 3), force, dtype=dtype)
    return PotentialOutput(torch.tensor(energy, dtype=torch.float64), forces, tensor, torch.zeros(3).double())


def test_force_term_is_the_mean_over_components_in_units_of_the_scale(dtype: torch.dtype) -> None:
    terms = loss_terms(_output(dtype, (-10.0, -20.0), force=1.5), _batch(dtype), scale=2.0)
    assert terms.forces.item() == pytest.approx((0.5 / 2) ** 2)
    assert terms.energy.item() == terms.stress.item() == 0.0


def test_energy_term_is_per_atom(dtype: torch.dtype) -> None:
    terms = loss_terms(_output(dtype, (-9.0, -20.5)), _batch(dtype), scale=2.0)
    assert terms.energy.item() == pytest.approx((0.25**2 + 0.25**2) / 2)
    assert terms.forces.item() == 0.0
    assert terms.energy.dtype == terms.forces.dtype == dtype


def test_energy_difference_survives_large_totals(dtype: torch.dtype) -> None:
    energies = (-17600.0 + 2e-4, -17600.0)
    terms = loss_terms(_output(dtype, energies), _batch(dtype, (-17600.0, -17600.0)), scale=1.0)
    assert terms.energy.item() == pytest.approx(1e-4**2 / 2, rel=1e-4)
    assert torch.tensor(energies[0], dtype=torch.float32).item() == -17600.0, "control: float32 would have lost it"


def test_stress_term_is_the_virial_per_atom_of_known_components(dtype: torch.dtype) -> None:
    batch = _batch(dtype, stress=True)
    batch.stress[0] = 0.1
    batch.stress[0, 0, 0] = torch.nan
    output = _output(dtype, (-10.0, -20.0), stress=0.2)
    terms = loss_terms(output, batch, scale=2.0)
    assert terms.stress.item() == pytest.approx((8.0 * 0.1 / (2 * 2.0)) ** 2)
    terms.stress.backward()
    assert output.stress is not None
    gradient = output.stress.grad
    assert gradient is not None
    assert bool(gradient.isfinite().all())
    assert gradient[1].abs().max() == gradient[0, 0, 0] == 0.0, "unknown components must not be learned"
    assert gradient[0, 1, 1] > 0


def test_stress_term_is_zero_where_nothing_is_known(dtype: torch.dtype) -> None:
    terms = loss_terms(_output(dtype, (-10.0, -20.0), stress=0.2), _batch(dtype, stress=True), scale=2.0)
    assert terms.stress.item() == 0.0


def test_gradients_are_finite_in_a_batch_of_a_crystal_and_a_molecule(
    silicon: Data, water: Data, dtype: torch.dtype
) -> None:
    from pyg_mpnn.data.frames import align_frames

    for frame in (silicon, water):
        frame.energy = torch.zeros(1, dtype=torch.float64)
        frame.forces = torch.zeros_like(frame.pos)
    silicon.stress = torch.zeros(1, 3, 3)
    align_frames([silicon, water])
    potential = Potential.from_size("small").to(dtype)
    batch = Batch.from_data_list([silicon, water])
    terms = loss_terms(potential.train()(batch, stress=True), batch, scale=1.0)
    assert terms.stress.item() > 0
    sum(terms).backward()
    gradients = [parameter.grad for parameter in potential.parameters() if parameter.grad is not None]
    assert all(bool(gradient.isfinite().all()) for gradient in gradients)


def test_l1_and_huber_weigh_errors_as_their_formulas_say(dtype: torch.dtype) -> None:
    """Errors of 1.5 in one force component, none in the others, and of 0.1 and 0 in the energies per atom."""
    output = _output(dtype, (-9.6, -20.0))
    assert output.forces is not None
    output.forces[0, 0] = 4.0
    batch = _batch(dtype)
    l1 = loss_terms(output, batch, 2.0, penalty="l1")
    assert (l1.forces.item(), l1.energy.item()) == pytest.approx((1.5 / 9, 0.1 / 2))
    huber = loss_terms(output, batch, 2.0, penalty="huber", delta=0.5)
    assert huber.forces.item() == pytest.approx((2 * 0.5 * 1.5 - 0.5**2) / 9)
    assert huber.energy.item() == pytest.approx(0.1**2 / 2), "a small error is squared"
    assert loss_terms(output, batch, 2.0).forces.item() == pytest.approx(1.5**2 / 9)


def test_terms_of_parts_add_up_to_those_of_the_whole(dtype: torch.dtype) -> None:
    batch, output = _batch(dtype, stress=True), _output(dtype, (-9.0, -20.5), force=1.5, stress=0.2)
    batch.stress[0] = 0.1
    counts = count_terms(batch)
    assert counts == (9, 2, 9)
    half = loss_terms(output, batch, 2.0, counts=LossTerms(*(2 * count for count in counts)))
    for part, whole in zip(half, loss_terms(output, batch, 2.0), strict=True):
        assert part.item() == pytest.approx(whole.item() / 2)


def test_empty_molecule_has_a_finite_loss(dtype: torch.dtype) -> None:
    empty = Data(z=torch.zeros(0, dtype=torch.int64), pos=torch.zeros(0, 3), num_nodes=0)
    empty.energy, empty.forces = torch.zeros(1, dtype=torch.float64), torch.zeros(0, 3)
    output = PotentialOutput(torch.zeros(1).double(), torch.zeros(0, 3), None, torch.zeros(0).double())
    assert sum(loss_terms(output, Batch.from_data_list([empty]), scale=1.0)) == 0.0


def test_weight_multiplies_all_squares_of_its_structure(dtype: torch.dtype) -> None:
    batch = _batch(dtype, stress=True)
    batch.stress[:] = 0.1
    output = _output(dtype, (-9.0, -20.5), force=1.5, stress=0.2)
    unweighted = loss_terms(output, batch, scale=2.0)
    parts = []
    for weight in ([1.0, 0.0], [0.0, 1.0]):
        batch.weight = torch.tensor(weight, dtype=dtype)
        parts.append(loss_terms(output, batch, scale=2.0))
    batch.weight = torch.tensor([3.0, 0.5], dtype=dtype)
    weighted = loss_terms(output, batch, scale=2.0)
    for name in ("forces", "energy", "stress"):
        one, two = (getattr(part, name).item() for part in parts)
        assert one > 0 < two
        assert one + two == pytest.approx(getattr(unweighted, name).item(), rel=1e-6)
        assert getattr(weighted, name).item() == pytest.approx(3.0 * one + 0.5 * two, rel=1e-6)
    assert weighted.energy.item() == pytest.approx((3.0 * 0.25**2 + 0.5 * 0.25**2) / 2)


def test_unknown_energies_and_forces_count_nothing(dtype: torch.dtype) -> None:
    batch, output = _batch(dtype), _output(dtype, (-9.0, -25.0), force=1.5)
    whole = loss_terms(output, batch, 2.0)
    batch.energy[1] = torch.nan
    batch.forces[batch.ptr[1] :] = torch.nan
    counts = count_terms(batch)
    assert counts.energy.item() == 1
    assert counts.forces.item() == 3 * int(batch.ptr[1])
    masked = loss_terms(output, batch, 2.0)
    assert all(term.isfinite() for term in masked)
    assert masked.energy.item() == pytest.approx((1.0 / (2.0 * int(batch.ptr[1]))) ** 2, rel=1e-4)
    del batch.forces
    assert loss_terms(output, batch, 2.0).forces.item() == 0.0
    assert whole.energy.item() != masked.energy.item(), "control"


def test_loss_of_an_output_is_over_its_known_components() -> None:
    outputs = {"dipole": DipoleOutput(), "gap": ScalarOutput(), "shift": ScalarOutput(level="atom")}
    batch = _batch(torch.float64)
    nodes, graphs = len(batch.pos), batch.num_graphs
    zeros = {"dipole": torch.zeros(graphs, 3), "gap": torch.zeros(graphs), "shift": torch.zeros(nodes)}
    predicted = PotentialOutput(
        torch.zeros(graphs), None, None, torch.zeros(nodes), {name: x.double() for name, x in zeros.items()}
    )
    batch.dipole = torch.tensor([[1.0, 2.0, 2.0], [torch.nan] * 3], dtype=torch.float64)
    batch.gap = torch.tensor([0.5, -1.5], dtype=torch.float64)
    spreads = {"dipole": 2.0, "gap": 0.5, "shift": 1.0}
    found = output_losses(predicted, batch, outputs, spreads)
    assert found["dipole"].item() == pytest.approx(9 / 4 / 3)
    assert found["gap"].item() == pytest.approx(2.0)
    assert found["shift"].item() == 0.0
    batch.weight = torch.tensor([3.0, 0.0])
    weighted = output_losses(predicted, batch, outputs, spreads)
    assert weighted["gap"].item() == pytest.approx(1.5)
    assert output_losses(predicted, batch, outputs, spreads, weighted=False)["gap"].item() == pytest.approx(2.0)
    counts = {name: torch.tensor(4.0, dtype=torch.float64) for name in outputs}
    assert output_losses(predicted, batch, outputs, spreads, counts=counts)["gap"].item() == pytest.approx(0.75)
