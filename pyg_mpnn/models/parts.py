"""Names by which the parts of a representation are chosen, for files, settings and the command line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pyg_mpnn.basis import (
    BesselBasis,
    BumpCutoff,
    CosineCutoff,
    Cutoff,
    ExpNormalBasis,
    GaussianBasis,
    PolynomialCutoff,
    RadialBasis,
)
from pyg_mpnn.layers import Attention, SigmoidAttention, SoftmaxAttention
from pyg_mpnn.readout import LearnedSumReadout, Readout, SumReadout

BASES: Mapping[str, type[RadialBasis]] = {
    "bessel": BesselBasis,
    "gaussian": GaussianBasis,
    "exp_normal": ExpNormalBasis,
}
ENVELOPES: Mapping[str, type[Cutoff]] = {"polynomial": PolynomialCutoff, "cosine": CosineCutoff, "bump": BumpCutoff}
ATTENTIONS: Mapping[str, type[Attention]] = {"sigmoid": SigmoidAttention, "softmax": SoftmaxAttention}
READOUTS: Mapping[str, type[Readout]] = {"sum": SumReadout, "learned": LearnedSumReadout}
SHORT_NAMES: Mapping[str, type] = {**BASES, **ENVELOPES, **ATTENTIONS, **READOUTS}
"""All of them."""

Directions = Literal["contracted", "raw", "radial"]


def check_name(argument: str, value: str | None, choices: Any) -> None:
    """Refuse a name that is not one of the choices.

    Args:
        argument: the argument it was given for.
        value: the name.
        choices: those that there are.

    Raises:
        ValueError: another one.
    """
    if value not in tuple(choices):
        raise ValueError(f"'{argument}' must be one of {tuple(choices)}, got {value!r}")
