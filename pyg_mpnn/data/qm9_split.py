"""Which molecules of QM9 are trained on, which validate and which test."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np

NUM_MOLECULES = 130_831  # of QM9 without the 3,054 uncharacterised ones
NUM_TRAIN, NUM_VALID = 110_000, 10_000
_DIGESTS = {  # of seed 0
    NUM_MOLECULES: "8fc352dd131431968d1b459eef58a084929e3ba5603c93eb3cfabfa5bacf8bed",
    76_699: "7e74eeda76c934dd02ff72396b37239eb41c4e265a9b7df2320e6facad23fd14",
}


class QM9Split(NamedTuple):
    """Positions of molecules in the data set, in random order, and a hash that names the split.

    The first n training molecules are the training set of size n: larger sets hold the smaller ones.
    """

    train: list[int]
    valid: list[int]
    test: list[int]
    sha256: str


def split_qm9(n: int = NUM_MOLECULES, seed: int = 0) -> QM9Split:
    """The split of QM9: 110,000 molecules to train, 10,000 to validate, the rest to test.

    Of a part of QM9 the same fractions are taken (84.08 and 7.64 %, rounded). The order is that of n raw 64-bit numbers
    of NumPy's PCG64, whose stream is the same in all versions. ``sha256`` is the hash of the whole order as
    little-endian 64-bit integers: two results with the same hash used the same split.

    Args:
        n: number of molecules, in ascending order of their gdb number.
        seed: seed of the generator, at least 0.

    Returns:
        Positions, from 0 to n - 1, each in one of the three lists.

    Raises:
        ValueError: fewer than 14 molecules, of which one of the parts would be empty.
        RuntimeError: the known splits (seed 0 of 130,831 and of 76,699 molecules) came out differently.

    Source:
        sizes: Schütt et al., NeurIPS 2017 (SchNet), arXiv:1706.08566; own design otherwise.

    Example:
        >>> split = split_qm9(76_699)
        >>> len(split.train), len(split.valid), len(split.test), split.sha256[:8]
        (64487, 5862, 6350, '7e74eeda')
    """
    train, valid = round(n * NUM_TRAIN / NUM_MOLECULES), round(n * NUM_VALID / NUM_MOLECULES)
    if min(train, valid, n - train - valid) < 1:
        raise ValueError(f"'n' must be at least 14, so that each part of the split has a molecule, got {n}.")
    order = np.argsort(np.random.PCG64(seed).random_raw(n), kind="stable")
    digest = hashlib.sha256(order.astype("<i8").tobytes()).hexdigest()
    if seed == 0 and digest != _DIGESTS.get(n, digest):
        raise RuntimeError(f"the split of {n} molecules must have the hash {_DIGESTS[n]}, got {digest}: report this.")
    indices = order.tolist()
    return QM9Split(indices[:train], indices[train : train + valid], indices[train + valid :], digest)
