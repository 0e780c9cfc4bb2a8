from __future__ import annotations

import importlib.resources
from pathlib import Path

import numpy as np
import pytest
import torch

from pyg_mpnn.data import ethanol, read_structures
from pyg_mpnn.units import KCAL_PER_MOL

SHIPPED = importlib.resources.files("pyg_mpnn.data")
PUBLISHED = Path(__file__).parents[3] / "shared" / "data" / "rmd17"


def test_sample_holds_the_published_numbers():
    # first atom of the first training frame of the published file, in A, kcal/mol and kcal/mol/A
    frame = ethanol("train")[0]
    assert frame.z.tolist() == [6, 6, 8, 1, 1, 1, 1, 1, 1]
    assert frame.pos[0].tolist() == [-0.17406277, -0.48797864, 0.0185579]
    assert frame.energy.item() == -97079.92222178938 * KCAL_PER_MOL
    assert (frame.forces[0] / KCAL_PER_MOL).tolist() == pytest.approx(
        [-17.64730699309182, -26.137516505005973, 40.70575377161765], rel=1e-15
    )


@pytest.mark.parametrize("split", ["train", "test"])
def test_sample_has_1000_frames_without_net_force(split):
    frames = ethanol(split)
    assert len(frames) == 1000
    net = torch.stack([frame.forces.sum(dim=0) for frame in frames])
    assert net.abs().max() < 1e-6  # the 9 digits of the published forces
    assert all(frame.pos.dtype == frame.energy.dtype == frame.forces.dtype == torch.float64 for frame in frames)


def test_sample_has_no_frame_in_both_splits_and_is_small():
    indices = []
    for split in ("train", "test"):
        file = SHIPPED / f"rmd17_ethanol_{split}_01.npz"
        assert len(file.read_bytes()) < 250_000
        with importlib.resources.as_file(file) as path, np.load(path) as arrays:
            indices += arrays["old_indices"].tolist()
    assert len(set(indices)) == 2000


@pytest.mark.dataset
@pytest.mark.skipif(not PUBLISHED.is_dir(), reason=f"needs the published files in {PUBLISHED}")
@pytest.mark.parametrize("split", ["train", "test"])
def test_sample_equals_the_published_file_bit_for_bit(split):
    frames, published = ethanol(split), read_structures(PUBLISHED / f"rmd17_ethanol_{split}_01.npz")
    for name in ("z", "pos", "energy", "forces"):
        assert all(torch.equal(ours[name], theirs[name]) for ours, theirs in zip(frames, published, strict=True))


def test_sample_refuses_an_unknown_split(unchecked):
    with pytest.raises(ValueError, match=r"'split' must be 'train' or 'test', got 'valid'"):
        ethanol("valid")
