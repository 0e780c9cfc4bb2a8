"""Which frames are trained on and which validate."""

from __future__ import annotations

import numpy as np


def split_frames(n: int, valid_size: int, seed: int) -> tuple[list[int], list[int]]:
    """Choose validation frames at random, the same ones for the same seed on every machine.

    The frames are put in the order of n raw 64-bit numbers of NumPy's PCG64 (whose stream NumPy keeps fixed, unlike
    that of ``permutation``); the first ``valid_size`` of them validate.

    Args:
        n: number of frames.
        valid_size: number of validation frames, from 0 to n - 1.
        seed: seed of the generator, at least 0.

    Returns:
        The indices of the training and of the validation frames, ascending, without overlap, all frames used.

    Raises:
        ValueError: there are no frames, or ``valid_size`` is negative or leaves no frame to train on.

    Source:
        own design, for the stability across versions; stream guarantee: NumPy Enhancement Proposal 19.

    Example:
        >>> split_frames(5, valid_size=2, seed=0)
        ([0, 1, 4], [2, 3])
    """
    if n < 1:
        raise ValueError(f"'n' must be at least 1, got {n}: the data set is empty.")
    if not 0 <= valid_size < n:
        raise ValueError(
            f"'valid_size' must be at least 0 and below the number of frames ({n}), got {valid_size}: "
            "it must leave frames to train on, so two structures at least are needed."
        )
    order = np.argsort(np.random.PCG64(seed).random_raw(n), kind="stable").tolist()
    return sorted(order[valid_size:]), sorted(order[:valid_size])
