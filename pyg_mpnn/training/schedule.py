"""What changes in the course of a training: learning rate, and the average of the weights."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

SECOND_STAGE = (0.75, 0.95)


def learning_rate_factor(progress: float, warmup: float) -> float:
    r"""Linear warm-up, then a cosine down to zero.

    .. math:: f(p) = p / w \; (p < w), \qquad f(p) = \tfrac12 \left(1 + \cos \pi \frac{p - w}{1 - w}\right)

    with p the fraction of the training done and w the fraction given to the warm-up.

    Args:
        progress: Fraction of the training done; clipped to [0, 1].
        warmup: Fraction of the training over which the factor rises, in [0, 1).

    Returns:
        The factor, from 0 to 1.

    Units:
        none

    Source:
        Loshchilov and Hutter, ICLR 2017, arXiv:1608.03983, Eq. (5), without restarts; the warm-up is own design
        (Adam's second moments are noise in the first steps).

    Example:
        >>> [round(learning_rate_factor(p, 0.2), 3) for p in (0.0, 0.1, 0.2, 0.6, 1.0)]
        [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    progress = min(max(progress, 0.0), 1.0)
    if progress < warmup:
        return progress / warmup
    return 0.5 * (1.0 + math.cos(math.pi * (progress - warmup) / (1.0 - warmup)))


def weight_at(progress: float, early: float, final: float | None) -> float:
    r"""Weight of a term of the loss: one value for three quarters of the training, then gradually another.

    .. math:: w(p) = w_0 \, (w_1 / w_0)^{x}, \qquad x = \frac{p - 0.75}{0.95 - 0.75} \text{ clipped to } [0, 1]

    Args:
        progress: Fraction of the training done, p.
        early: Weight during the first three quarters, positive (any, where ``final`` is not given).
        final: Weight at the end, positive; without it the weight stays.

    Returns:
        The weight.

    Units:
        none

    Source:
        own design: validation energies settle only under a larger weight, and the forces are learned under a smaller
        one; raised at once it would throw Adam off, whose second moments remember the smaller gradients.

    Example:
        >>> [round(weight_at(p, 0.1, 10.0), 3) for p in (0.5, 0.75, 0.85, 0.95, 1.0)]
        [0.1, 0.1, 1.0, 10.0, 10.0]
    """
    if final is None:
        return early
    start, end = SECOND_STAGE
    rise = min(max((progress - start) / (end - start), 0.0), 1.0)
    return early * math.pow(final / early, rise)


UpdateAverage = Callable[[list[Tensor], list[Tensor], object], None]


def moving_average(decay: float, count_steps: Callable[[], int]) -> UpdateAverage:
    r"""The rule by which averaged weights follow the current ones.

    .. math:: \bar w \leftarrow d_n \bar w + (1 - d_n) w, \qquad d_n = \min\left(d, \frac{1 + n}{10 + n}\right)

    with the number n of steps done: a constant decay would keep the random initial weights for its first hundred steps,
    which is all that a small data set has.

    Args:
        decay: The final decay d, in [0, 1).
        count_steps: Gives the number of steps done; a number on the host, so that a GPU is not waited for.

    Returns:
        A function for ``torch.optim.swa_utils.AveragedModel(multi_avg_fn=...)``.

    Units:
        none

    Source:
        the warm-up of ``tf.train.ExponentialMovingAverage``, Abadi et al., OSDI 2016, arXiv:1605.08695 (documentation).

    Example:
        >>> import torch
        >>> average = torch.zeros(1)
        >>> moving_average(0.99, lambda: 8)([average], [torch.ones(1)], None)
        >>> average
        tensor([0.5000])
    """

    def update(averaged: list[Tensor], current: list[Tensor], num_averaged: object) -> None:
        steps = count_steps()
        get_ema_multi_avg_fn(min(decay, (1 + steps) / (10 + steps)))(averaged, current, num_averaged)  # type: ignore[no-untyped-call]

    return update
