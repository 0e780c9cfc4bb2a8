from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from pyg_mpnn.data import ethanol, fit_reference, read_structures

ATOMS = {1: -13.6, 6: -1030.0, 8: -2040.0}
SILICON = Path(__file__).parent / "assets" / "si.extxyz"


def frame(elements, energy=None, forces=1.0):
    """Build a chain of atoms 1 A apart, with an energy that is the sum of ATOMS unless given."""
    pos = torch.arange(len(elements), dtype=torch.float64)[:, None] * torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
    energy = sum(ATOMS[z] for z in elements) if energy is None else energy
    return Data(
        z=torch.tensor(elements),
        pos=pos,
        energy=torch.tensor([energy], dtype=torch.float64),
        forces=torch.full_like(pos, forces),
    )


METHANE, WATER, ETHANOL = [6, 1, 1, 1, 1], [8, 1, 1], [6, 6, 8, 1, 1, 1, 1, 1, 1]


def test_full_rank_recovers_the_atoms():
    reference = fit_reference([frame(METHANE), frame(WATER), frame([6, 8])], [1.5])
    assert reference.energies == pytest.approx(ATOMS, rel=1e-12)
    assert (reference.rank, reference.num_elements) == (3, 3)
    assert reference.describe() == "reference energies: rank 3 of 3 elements."


def test_one_composition_gets_the_mean_energy_per_atom():
    reference = fit_reference([frame(ETHANOL, -4210.0), frame(ETHANOL, -4208.0)], [1.5])
    assert reference.energies == pytest.approx(dict.fromkeys((1, 6, 8), -4209.0 / 9), rel=1e-14)
    assert (reference.rank, reference.num_elements) == (1, 3)
    assert "rank 1 of 3" in reference.describe()
    assert "isolated atoms mean nothing" in reference.describe()


def test_deficient_rank_is_the_minimum_norm_about_the_mean():
    frames = [frame(METHANE), frame(WATER), frame(METHANE, -1080.0)]
    reference = fit_reference(frames, [1.5])
    counts = np.array([[4, 1, 0], [2, 0, 1], [4, 1, 0]], dtype=float)
    energy = np.array([f.energy.item() for f in frames])
    mean = energy.sum() / counts.sum()
    expected = mean + np.linalg.pinv(counts) @ (energy - mean * counts.sum(axis=1))
    assert list(reference.energies.values()) == pytest.approx(expected, rel=1e-12)
    assert (reference.rank, reference.num_elements) == (2, 3)


def test_isolated_atoms_win():
    atoms = {1: -1.0, 6: -2.0, 8: -3.0, 7: -4.0}
    reference = fit_reference([frame(ETHANOL)], [1.5], isolated=atoms)
    assert reference.energies == {1: -1.0, 6: -2.0, 8: -3.0}  # nitrogen is not trained on
    assert (reference.rank, reference.num_elements) == (3, 3)


def test_isolated_atoms_leave_the_rest_to_the_fit():
    reference = fit_reference([frame(METHANE)], [1.5], isolated={1: -13.6})
    assert reference.energies == pytest.approx({1: -13.6, 6: -1030.0}, rel=1e-12)
    assert reference.rank == 2
    deficient = fit_reference([frame(ETHANOL)], [1.5], isolated={1: -13.6})
    assert deficient.energies == pytest.approx({1: -13.6, 6: -4100 / 3, 8: -4100 / 3}, rel=1e-12)
    assert (deficient.rank, deficient.num_elements) == (2, 3)


def test_energies_are_fitted_in_float64():
    # 1e-5 eV on top of -17,600 eV: float32 has a spacing of 2 meV there
    reference = fit_reference([frame([6], -17600.00001), frame([1], -17600.00002)], [1.5])
    assert reference.energies == pytest.approx({1: -17600.00002, 6: -17600.00001}, abs=1e-9)


def test_scale_is_the_rms_of_the_force_components():
    frames = [frame(METHANE, forces=3.0), frame(WATER, forces=-1.0)]
    assert fit_reference(frames, [1.5]).scale == pytest.approx(((15 * 9.0 + 9 * 1.0) / 24) ** 0.5, rel=1e-14)


def test_scale_without_forces_is_that_of_the_energies_per_atom():
    frames = [frame(WATER, -1.0), frame(WATER, 2.0)]
    for data in frames:
        del data.forces
    assert fit_reference(frames, [1.5]).scale == pytest.approx(1.5 / 3, rel=1e-12)


def test_neighbors_are_counted_by_hand():
    # chains 1 A apart: 5 atoms have 4 bonds and 3 second neighbours, 3 atoms 2 and 1; a lone atom has none
    frames = [frame(METHANE), frame(WATER), frame([8])]
    assert fit_reference(frames, [1.5, 2.5]).neighbors == pytest.approx((2 * (4 + 2) / 9, 2 * (7 + 3) / 9), rel=1e-15)


def test_neighbors_are_counted_across_the_cell():
    build = pytest.importorskip("ase.build")
    silicon = build.bulk("Si", a=5.43)
    data = Data(
        z=torch.tensor([14, 14]),
        pos=torch.as_tensor(silicon.positions),
        cell=torch.as_tensor(silicon.cell.array).reshape(1, 3, 3),
        pbc=torch.ones(1, 3, dtype=torch.bool),
        energy=torch.zeros(1, dtype=torch.float64),
        forces=torch.ones(2, 3),
    )
    assert fit_reference([data], [2.6, 4.0]).neighbors == (4.0, 16.0)


def test_reference_of_real_data():
    frames = ethanol("train")[:100]
    reference = fit_reference(frames, [5.0])
    mean = np.mean([f.energy.item() for f in frames]) / 9
    assert reference.energies == pytest.approx(dict.fromkeys((1, 6, 8), mean), rel=1e-12)
    assert 1.0 < reference.scale < 1.4  # eV/A, at 500 K
    assert 7.0 < reference.neighbors[0] <= 8.0
    silicon = fit_reference(read_structures(SILICON), [5.0])
    assert silicon.energies[14] == pytest.approx(-5.3, abs=0.1)
    assert silicon.rank == silicon.num_elements == 1


def test_errors_name_the_frame():
    bad = frame(WATER)
    del bad.energy
    with pytest.raises(ValueError, match=r"'energy' is missing in all frames: one at least must have it"):
        fit_reference([bad], [1.5])
    with pytest.raises(ValueError, match=r"'forces' of frame 0 must be finite, got nan"):
        fit_reference([frame(WATER, forces=torch.nan)], [1.5])


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match=r"'frames' must hold at least one structure, got none: the data set is empty"):
        fit_reference([], [1.5])
    with pytest.raises(ValueError, match=r"'cutoff' must hold one to three radii, got 0"):
        fit_reference([frame(WATER)], [])
    with pytest.raises(ValueError, match=r"'cutoff' must be positive"):
        fit_reference([frame(WATER)], [-1.0])
    with pytest.raises(ValueError, match=r"'cutoff' must increase strictly"):
        fit_reference([frame(WATER)], [5.0, 3.0])
    with pytest.raises(ValueError, match=r"'isolated' must hold finite energies"):
        fit_reference([frame(WATER)], [1.5], isolated={1: float("nan")})


def test_nothing_to_learn_is_refused():
    message = r"'frames' must differ in their forces or energies, got only zeros"
    with pytest.raises(ValueError, match=message):
        fit_reference([frame(WATER, forces=0.0)], 1.5)
    explained = [frame(WATER), frame(METHANE)]  # by the reference energies
    for data in explained:
        del data.forces
    with pytest.raises(ValueError, match=message):
        fit_reference(explained, 1.5)
