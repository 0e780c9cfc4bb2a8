from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from pyg_mpnn import MPNN, DipoleLengthOutput, ScalarOutput, SpatialExtentOutput
from pyg_mpnn.data import QM9, QM9_TARGETS
from pyg_mpnn.training.output_reference import fit_output, gather_structures, guess_output, target_output

FOLDER = Path(__file__).parents[1] / "data" / "assets" / "qm9"


def test_targets_of_qm9_have_an_output_of_their_kind_and_unit() -> None:
    kinds = {"dipole": DipoleLengthOutput, "spatial_extent": SpatialExtentOutput}
    for name, target in QM9_TARGETS.items():
        output = target_output(name)
        assert type(output) is kinds.get(target.kind, ScalarOutput)
        assert output.unit == target.unit
        assert output.extensive == (target.kind == "extensive")
    with pytest.raises(ValueError, match=r"'target' must be one of mu, .*, got 'charge'"):
        target_output("charge")


def test_dipole_lengths_have_no_numbers() -> None:
    molecules = QM9(FOLDER, "mu")[:]
    for molecule in molecules:
        molecule.mu = molecule.target
    output = target_output("mu")
    output.build(MPNN(hidden_channels=8))
    spread = fit_output(output, "mu", molecules)
    assert spread == pytest.approx(QM9(FOLDER, "mu").values.square().mean().sqrt().item())
    assert not output.atomwise.reference[list(output.atomwise.elements)].any()
    assert 0.05 < float(output.atomwise.scale) < 2.0
    guess = guess_output(output, "mu", molecules[:3], molecules)
    assert guess.tolist() == pytest.approx([float(QM9(FOLDER, "mu").values.mean())] * 3)


def test_numbers_of_the_elements_are_those_of_least_squares() -> None:
    molecules = QM9(FOLDER, "U0")[:]
    for molecule in molecules:
        molecule.U0 = molecule.target
    output = target_output("U0")
    output.build(MPNN(hidden_channels=8))
    spread = fit_output(output, "U0", molecules)
    elements = list(output.atomwise.elements)
    counts = np.array([[int((m.z == z).sum()) for z in elements] for m in molecules], dtype=float)
    target = np.array([float(m.target) for m in molecules])
    numbers = np.linalg.lstsq(counts, target, rcond=None)[0]
    assert output.atomwise.reference[elements].tolist() == pytest.approx(numbers.tolist(), rel=1e-8)
    assert spread == pytest.approx(float(np.sqrt(np.mean((target - counts @ numbers) ** 2))), rel=1e-8)


def test_charges_are_read_with_the_structures() -> None:
    molecules = QM9(FOLDER)[:2]
    assert dict(gather_structures(molecules).inputs) == {}
    for charge, molecule in enumerate(molecules):
        molecule.charge = torch.tensor([float(charge)])
    assert gather_structures(molecules).inputs["charge"].tolist() == [0.0, 1.0]


def test_nothing_to_learn_is_an_error() -> None:
    molecules = QM9(FOLDER)[:5]
    for molecule in molecules:
        molecule.count = torch.tensor([float(len(molecule.z))], dtype=torch.float64)
    output = ScalarOutput()
    output.build(MPNN(hidden_channels=8))
    with pytest.raises(ValueError, match="'count': 'frames' must differ in their targets"):
        fit_output(output, "count", molecules)
