from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch

from pyg_mpnn.data import data_hash, read_structures

SILICON = Path(__file__).parent / "assets" / "si.extxyz"


def test_hash_of_a_file_is_that_of_sha256sum():
    assert data_hash(SILICON) == hashlib.sha256(SILICON.read_bytes()).hexdigest()


def test_hash_of_structures_follows_values_and_order():
    frames = read_structures(SILICON)
    first = data_hash(frames)
    assert data_hash(read_structures(SILICON)) == first
    assert data_hash(frames[::-1]) != first
    frames[0].forces = torch.nextafter(frames[0].forces, torch.tensor(torch.inf, dtype=torch.float64))
    assert data_hash(frames) != first


def test_hash_refuses_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"'source' must be a file, got .*nothing.xyz"):
        data_hash(tmp_path / "nothing.xyz")
