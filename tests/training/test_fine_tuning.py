from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from pyg_mpnn import Potential
from pyg_mpnn.data import Reference, fit_reference
from pyg_mpnn.training import TrainingResult, TrainingSettings, train
from pyg_mpnn.training.evaluate import predict
from pyg_mpnn.training.fine_tuning import correct_reference, load_start

SHIFT = {1: 0.5, 6: -1.0, 8: 2.0}


@pytest.fixture
def start(finished: TrainingResult) -> Potential:
    return load_start(finished.out / "best.ckpt", torch.float64)


@pytest.fixture
def pieces(start: Potential, frames: list[Data]) -> list[Data]:
    """Pieces of ethanol of five compositions, with the energies of the potential plus a shift for each element."""
    pieces = []
    for frame, kept in zip(frames, ([0, 3], [1, 2, 4], [0, 1, 2], [0, 1, 5, 6, 7], [2, 8, 3]), strict=False):
        piece = Data(z=frame.z[kept], pos=frame.pos[kept], energy=frame.energy, forces=frame.forces[kept])
        piece.energy = predict(start, [piece]).energy + sum(SHIFT[int(z)] for z in piece.z)
        pieces.append(piece)
    return pieces


def test_shift_of_another_level_of_theory_is_found(start: Potential, pieces: list[Data]) -> None:
    corrected = correct_reference(start, pieces, fit_reference(pieces, [5.0]))
    assert corrected.rank == corrected.num_elements == 3
    for z, shift in SHIFT.items():
        assert corrected.energies[z] - float(start.atomwise.reference[z]) == pytest.approx(shift, abs=1e-8)
    assert corrected.scale == float(start.atomwise.scale)
    start.set_reference(corrected.energies, corrected.scale)
    found = predict(start, pieces)
    np.testing.assert_allclose(found.energy, found.energy_ref, atol=1e-8)


def test_one_composition_takes_the_mean_of_what_is_left(start: Potential, frames: list[Data]) -> None:
    before = predict(start, frames)
    corrected = correct_reference(start, frames, fit_reference(frames, [5.0]))
    start.set_reference(corrected.energies, corrected.scale)
    after = predict(start, frames)
    assert float((after.energy - after.energy_ref).mean()) == pytest.approx(0.0, abs=1e-8)
    torch.testing.assert_close(after.forces, before.forces, rtol=0, atol=0)


def test_elements_that_the_data_lack_are_forgotten(start: Potential, pieces: list[Data]) -> None:
    rest = [piece for piece in pieces if 8 not in piece.z]
    corrected = correct_reference(start, rest, fit_reference(rest, [5.0]))
    assert sorted(corrected.energies) == [1, 6]


def test_element_new_to_the_potential_is_an_error(start: Potential, frames: list[Data]) -> None:
    fitted = Reference({1: 0.0, 7: 0.0, 14: 0.0}, 1.0, (5.0,), 3, 3)
    with pytest.raises(ValueError, match=r"was trained on \(\[1, 6, 8\]\), got the atomic numbers \[7, 14\] too"):
        correct_reference(start, frames, fitted)


def test_training_starts_from_the_weights_of_the_file(
    settings: Callable[..., TrainingSettings], frames: list[Data], finished: TrainingResult
) -> None:
    best = str(finished.out / "best.ckpt")
    given = settings(start_from=best, epochs=1, learning_rate=1e-12, size="base", model={})
    result = train(given, frames=frames)
    new, old = result.potential.state_dict(), finished.potential.state_dict()
    for name in new:
        if name != "atomwise.reference":
            torch.testing.assert_close(new[name], old[name], rtol=0, atol=1e-9, equal_nan=True)
    assert "corrected by least squares" in (result.out / "model_card.md").read_text()
    with pytest.raises(ValueError, match="'potential' must be None with 'start_from'"):
        train(settings(start_from=best, size="base", model={}, out="unused"), finished.potential, frames=frames)
    assert not Path("unused").exists()


def test_start_from_an_absent_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"'start_from' must be a file, got '.*absent.ckpt'"):
        load_start(tmp_path / "absent.ckpt", torch.float32)
