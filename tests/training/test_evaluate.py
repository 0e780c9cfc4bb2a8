from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch_geometric.data import Data

from pyg_mpnn import Potential
from pyg_mpnn.training import TrainingResult, evaluate, predict
from pyg_mpnn.training.evaluate import load_frames
from pyg_mpnn.units import KCAL_PER_MOL


def _mixed(silicon: Data, water: Data, dtype: torch.dtype) -> list[Data]:
    for frame in (silicon, water):
        frame.energy, frame.forces = torch.zeros(1, dtype=torch.float64), torch.zeros_like(frame.pos)
    silicon.stress = torch.zeros(1, 3, 3)
    return [silicon, water]


def test_errors_do_not_depend_on_the_batch_size(finished: TrainingResult, frames: list[Data]) -> None:
    first, second = (evaluate(finished.potential, frames, batch_size=size).summary() for size in (1, 5))
    assert first == pytest.approx(second, rel=1e-4)


def test_saved_and_live_potential_agree(finished: TrainingResult, frames: list[Data]) -> None:
    saved = evaluate(finished.out / "best.ckpt", frames, device="cpu")
    assert saved == evaluate(finished.potential, frames)


def test_predictions_are_those_of_the_potential(finished: TrainingResult, frames: list[Data]) -> None:
    found = predict(finished.potential, frames)
    alone = finished.potential(frames[3])
    assert found.energy[3].item() == pytest.approx(alone.energy.item(), abs=1e-4)
    torch.testing.assert_close(found.forces[27:36].float(), alone.forces.detach(), atol=1e-4, rtol=1e-4)
    assert torch.equal(found.energy_ref, torch.cat([frame.energy for frame in frames]))
    assert found.num_atoms.tolist() == [9] * 12
    assert found.stress is None


def test_predicting_leaves_the_mode_of_the_potential(finished: TrainingResult, frames: list[Data]) -> None:
    finished.potential.train()
    predict(finished.potential, frames[:1])
    assert finished.potential.training
    finished.potential.eval()
    predict(finished.potential, frames[:1])
    assert not finished.potential.training


@pytest.mark.parametrize("batch_size", [1, 2])
def test_stress_is_compared_for_crystals_among_molecules(
    silicon: Data, water: Data, dtype: torch.dtype, batch_size: int
) -> None:
    potential = Potential.from_size("small").to(dtype).eval()
    found = evaluate(potential, _mixed(silicon, water, dtype), batch_size=batch_size)
    expected = potential(silicon, stress=True).stress.abs().mean().item()
    assert found.stress_mae_meV_per_A3 == pytest.approx(1e3 * expected, rel=1e-4)


def test_field_names_of_pyg_are_understood(finished: TrainingResult, frames: list[Data]) -> None:
    as_md17 = [Data(z=f.z, pos=f.pos, energy=f.energy / KCAL_PER_MOL, force=f.forces / KCAL_PER_MOL) for f in frames]
    ours, pyg = (evaluate(finished.potential, given).summary() for given in (frames, as_md17))
    assert ours == pytest.approx(pyg, rel=1e-6)


def test_unknown_element_is_an_error(finished: TrainingResult, water: Data) -> None:
    water.z[0] = 16
    water.energy, water.forces = torch.zeros(1, dtype=torch.float64), torch.zeros(3, 3)
    with pytest.raises(ValueError, match=r"elements the model was trained on \(\[1, 6, 8\]\), got \[16\]"):
        evaluate(finished.potential, [water])


def test_structures_are_compared_by_what_they_have(finished: TrainingResult, water: Data) -> None:
    water.z[:] = 1
    water.energy = torch.zeros(1, dtype=torch.float64)
    other = Data(z=water.z, pos=water.pos, forces=torch.zeros_like(water.pos))
    errors = evaluate(finished.potential, [water])
    assert errors.energy_mae_meV is not None
    assert errors.forces_mae_meV_per_A is None
    both = evaluate(finished.potential, [water, other])
    assert both.energy_mae_meV == pytest.approx(errors.energy_mae_meV)
    assert both.known == {"energy": 1, "forces": 1}
    with pytest.raises(ValueError, match="'frames' must hold a reference of energy or forces or stress, got none"):
        evaluate(finished.potential, [Data(z=water.z, pos=water.pos)])


def test_no_structure_is_an_error(finished: TrainingResult) -> None:
    with pytest.raises(ValueError, match="'frames' must hold at least one structure, got none"):
        evaluate(finished.potential, [])


def test_absent_file_is_an_error_that_knows_the_word_ethanol() -> None:
    with pytest.raises(
        FileNotFoundError, match=r"must be files or the word ethanol .*, got 'ethanl', which is neither"
    ):
        load_frames("ethanl")


def test_absent_file_of_a_known_data_set_is_an_error_that_says_where_it_is(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"download http://quantum-machine.org/.*/md17_aspirin.npz to .*/md17_"):
        load_frames(tmp_path / "md17_aspirin.npz")
    with pytest.raises(FileNotFoundError, match=r"got .*, which is a folder: QM9 needs a 'target'"):
        load_frames(tmp_path)
