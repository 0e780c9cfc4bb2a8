"""``pyg-mpnn train``: one potential, or the members of a committee."""

from __future__ import annotations

from pyg_mpnn.training import TrainingResult, TrainingSettings, UncertainResult, train, train_committee


def train_command(settings: TrainingSettings) -> TrainingResult | UncertainResult:
    """Train a model, test it, and write the results to ``out``.

    What is learned is what the model gives: energies and forces, other outputs from the fields of their names, or both;
    each from the structures that have a reference of it. With --target it is one property of QM9.

    Muon, or another --optimizer, under Lightning's Trainer, with averaged weights, gradient clipping, warm-up and
    cosine decay. best.ckpt holds the averaged weights with the lowest sum of validation force MAE (meV/A) and energy
    MAE (meV per atom), to which the errors of other outputs are added in units of their spread; last.ckpt is written
    after every epoch and holds all that --resume needs. Where the training diverges, it goes back to best.ckpt with
    half the learning rate. With --committee several are trained, and committee.pt has error bars.

    Args:
        settings: What to train on and how.

    Returns:
        The best potential and its errors, or the committee and what its error bars are worth.

    Units:
        A and eV in the data; meV and meV/A in the reports; other outputs in their own units.
    """
    return train(settings) if settings.committee == 1 else train_committee(settings)
