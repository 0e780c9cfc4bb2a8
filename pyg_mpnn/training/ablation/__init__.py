"""Which building block pays on given data: equal minutes for each variant of a potential, with seeds and a verdict."""

from __future__ import annotations

from pyg_mpnn.training.ablation.grid import ablate
from pyg_mpnn.training.ablation.settings import AblationSettings, Variant, make_variants
from pyg_mpnn.training.ablation.summary import Difference, paired_difference

__all__ = ["AblationSettings", "ablate", "Variant", "make_variants", "Difference", "paired_difference"]
