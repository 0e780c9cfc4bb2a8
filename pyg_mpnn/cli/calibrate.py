"""``pyg-mpnn calibrate``: a trained potential with error bars."""

from __future__ import annotations

from collections.abc import Sequence

from pyg_mpnn.training import UncertainResult, add_error_bars


def calibrate_command(
    runs: list[str],
    out: str,
    test: Sequence[str] | str | None = None,
    num_draws: int = 8,
    device: str = "auto",
    threads: int | None = None,
    trust: list[str] | None = None,
) -> UncertainResult:
    """Give a training, or a committee of several, error bars of energies, forces and stress.

    One training gets the error bars of its last layer, with no second training: energies cost little more with them,
    forces one backward pass for each of --num-draws. Several trainings become a committee: the mean of all, with their
    spread as error bars (train --committee 4 does both steps). The structures that validated the training set the
    factors; how many errors lie within the error bars is printed, and drawn beside the file. The file is a model for
    every command: evaluate, predict, md (--max-uncertainty), check.

    Args:
        runs: Folder of a training (train --out), or folders of several with the same data and validation structures.
        out: File to write, by convention ``*.pt``.
        test: Structures to judge the error bars by, in place of those that the training was tested on.
        num_draws: Weights drawn for error bars of forces, where there is one training.
        device: Where to compute: auto (a GPU if there is one), cpu, cuda or cuda:0.
        threads: Number of CPU threads; PyTorch's own choice without it.
        trust: Code of your own that the model is made of and that may run, for example my_net.py.

    Returns:
        The model and the judgement of its error bars.

    Units:
        meV, meV/A and meV/A^3 in the table.
    """
    import torch

    if threads is not None:
        torch.set_num_threads(threads)
    return add_error_bars(runs, out, test_data=test, num_draws=num_draws, device=device, trust=trust or ())
