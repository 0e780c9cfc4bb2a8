"""The moving average of the weights."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

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
