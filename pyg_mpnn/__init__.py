"""Message-passing interatomic potentials in PyTorch Geometric: blocks, potentials and the tools around them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyg_mpnn.activation import ShiftedSoftplus
    from pyg_mpnn.basis import (
        BesselBasis,
        BumpCutoff,
        CosineCutoff,
        Cutoff,
        DirectionalBasis,
        ExpNormalBasis,
        GaussianBasis,
        PolynomialCutoff,
        RadialBasis,
    )
    from pyg_mpnn.geometry import NeighborList, RadiusGraph, SkinList, check_edges, neighbor_list
    from pyg_mpnn.layers import (
        AtomEmbedding,
        Attention,
        ChannelMixing,
        ContractedFeatures,
        Contraction,
        DensityPowers,
        DensityUpdate,
        DirectionalDensity,
        EdgeMLP,
        EquivariantProduct,
        FilterConvolution,
        GatherDensity,
        Interaction,
        LearnedFeatures,
        Messages,
        MultiScale,
        NodeUpdate,
        ProductInteraction,
        ProductUpdate,
        RadialFeatures,
        RawFeatures,
        SigmoidAttention,
        SoftmaxAttention,
        VectorConvolution,
        VectorUpdate,
    )
    from pyg_mpnn.mlp import MLP
    from pyg_mpnn.models import (
        MPNN,
        ZBL,
        ChargesOutput,
        DipoleLengthOutput,
        DipoleOutput,
        EnergyTerm,
        Output,
        PolarizabilityOutput,
        Potential,
        PotentialOutput,
        ScalarOutput,
        SpatialExtentOutput,
        SumPotential,
        load_potential,
    )
    from pyg_mpnn.readout import (
        AtomwiseEnergy,
        DipoleReadout,
        LearnedSumReadout,
        MeanReadout,
        Readout,
        SoftmaxReadout,
        SpatialExtentReadout,
        SumReadout,
    )
    from pyg_mpnn.scatter import NeighborSum, scatter_backend

__version__ = "0.1.0"

__all__ = [
    # models
    "Potential",
    "PotentialOutput",
    "MPNN",
    "ZBL",
    "EnergyTerm",
    "SumPotential",
    "load_potential",
    # outputs besides the energy
    "Output",
    "ScalarOutput",
    "ChargesOutput",
    "DipoleOutput",
    "DipoleLengthOutput",
    "SpatialExtentOutput",
    "PolarizabilityOutput",
    # basis
    "Cutoff",
    "CosineCutoff",
    "PolynomialCutoff",
    "BumpCutoff",
    "RadialBasis",
    "GaussianBasis",
    "BesselBasis",
    "ExpNormalBasis",
    "DirectionalBasis",
    # layers
    "AtomEmbedding",
    "DirectionalDensity",
    "LearnedFeatures",
    "ContractedFeatures",
    "RawFeatures",
    "RadialFeatures",
    "Contraction",
    "EdgeMLP",
    "Attention",
    "SigmoidAttention",
    "SoftmaxAttention",
    "Messages",
    "DensityUpdate",
    "DensityPowers",
    "NodeUpdate",
    "Interaction",
    "MultiScale",
    "FilterConvolution",
    "VectorConvolution",
    "VectorUpdate",
    "ChannelMixing",
    "EquivariantProduct",
    "ProductUpdate",
    "GatherDensity",
    "ProductInteraction",
    "MLP",
    "ShiftedSoftplus",
    "NeighborSum",
    "scatter_backend",
    # readout
    "Readout",
    "SumReadout",
    "MeanReadout",
    "LearnedSumReadout",
    "SoftmaxReadout",
    "AtomwiseEnergy",
    "DipoleReadout",
    "SpatialExtentReadout",
    # geometry
    "RadiusGraph",
    "NeighborList",
    "SkinList",
    "neighbor_list",
    "check_edges",
]


_MODULES = (
    "models",
    "basis",
    "layers",
    "readout",
    "geometry",
    "activation",
    "mlp",
    "scatter",
    "deploy",
    "files",
    "units",
)


def __getattr__(name: str) -> Any:
    """Import on first use: the command line answers before torch is there, and some names need an optional package."""
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    homes = ("md",) if name == "PotentialCalculator" else _MODULES if name in __all__ else ()
    for home in homes:
        module = import_module(f"{__name__}.{home}")
        if hasattr(module, name):
            return globals().setdefault(name, getattr(module, name))
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES, "PotentialCalculator"})
