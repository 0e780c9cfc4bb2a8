"""Training and testing: settings, loss, metrics, the Lightning module, reports."""

from __future__ import annotations

try:
    import lightning  # noqa: F401
    import matplotlib  # noqa: F401
except ImportError as error:
    raise ImportError(
        f'pyg_mpnn.training needs {error.name}, which is not installed: pip install "pyg_mpnn[train]".'
    ) from error

from pyg_mpnn.training.committee import UncertainResult, add_error_bars, train_committee
from pyg_mpnn.training.evaluate import evaluate, predict
from pyg_mpnn.training.loss import LossTerms, loss_terms, output_losses
from pyg_mpnn.training.metrics import Errors, OutputErrors, Predictions, compute_errors
from pyg_mpnn.training.module import PotentialModule
from pyg_mpnn.training.optimizer import Muon
from pyg_mpnn.training.settings import TrainingSettings
from pyg_mpnn.training.train import TrainingResult, train
from pyg_mpnn.training.uncertainty import (
    Deviations,
    Reliability,
    calibrate,
    deviations,
    fit_last_layer,
    half_width,
    reliability,
)

__all__ = [
    "TrainingSettings",
    "train",
    "TrainingResult",
    "train_committee",
    "add_error_bars",
    "UncertainResult",
    "fit_last_layer",
    "calibrate",
    "deviations",
    "Deviations",
    "reliability",
    "Reliability",
    "half_width",
    "evaluate",
    "predict",
    "Predictions",
    "Errors",
    "OutputErrors",
    "compute_errors",
    "LossTerms",
    "loss_terms",
    "output_losses",
    "PotentialModule",
    "Muon",
]
