"""Variants of a sound potential, each broken in one way, written without sight of the laws.

Every class takes ``fault``, the dose of its mistake: 0 is :class:`Healthy` to the last bit, 1 the mistake as somebody
would write it. ``breaks`` names the laws that it must fail at 1, ``maybe`` those that it may fail as well, and why;
all others it must pass. ``continuous`` is False where any dose above 0 is all or nothing.
"""

from __future__ import annotations

from pyg_mpnn.testing.healthy import Healthy
from tests.testing.controls.gradients import (
    AntisymmetricHead,
    DetachedCutoff,
    DetachedDensity,
    DetachedNeighbours,
    DirectForces,
    EngineeringShear,
    ForcesWithoutGraph,
    ForceUnit,
    KernelWithoutDoubleBackward,
    MeanForceRemoved,
    OrthorhombicVolume,
    StrainWithoutCell,
    VirialAsStress,
)
from tests.testing.controls.numerics import (
    ChebyshevByArccos,
    DropoutAlwaysOn,
    Float32Network,
    Float32Positions,
    Float32Results,
    Float64Unit,
    LeavesEdgesInInput,
    MovesItsInput,
    RunningMean,
    UnsavedFeatures,
)
from tests.testing.controls.periodic import (
    FirstImagesOnly,
    LatticeFeature,
    MinimumImage,
    ShiftSign,
    SkinForgetsCell,
    WrappedAfterSearch,
)
from tests.testing.controls.separation import (
    AttentionZeroByZero,
    BatchCentroid,
    BatchNormalized,
    FirstNeighbours,
    GraphSizeNorm,
    LastGraphLost,
    MeanReadout,
    NearestNeighbours,
    NeighboursAcrossGraphs,
    NodesCountedFromEdges,
)
from tests.testing.controls.smoothness import (
    BiasOutsideCutoff,
    CosineCutoffTwice,
    HardCutoff,
    LinearCutoff,
    MeanAggregation,
    ReferenceOfConnectedAtoms,
    SoftmaxWithoutNobody,
)
from tests.testing.controls.symmetry import (
    AbsolutePositions,
    EdgesTakenAsSorted,
    MisnormalizedHarmonic,
    NeighbourSlots,
    PositionalEncoding,
    RawComponents,
    TripleProduct,
    UnsymmetricHalfList,
)

# fmt: off
INDEPENDENT: tuple[type[Healthy], ...] = (
    AbsolutePositions, BatchCentroid, RawComponents, MisnormalizedHarmonic, TripleProduct, PositionalEncoding,
    UnsymmetricHalfList, EdgesTakenAsSorted, NeighbourSlots, BatchNormalized, LastGraphLost, NeighboursAcrossGraphs,
    GraphSizeNorm, MeanReadout, NodesCountedFromEdges, AttentionZeroByZero, ReferenceOfConnectedAtoms, MinimumImage,
    ShiftSign, WrappedAfterSearch, LatticeFeature, FirstImagesOnly, SkinForgetsCell, DirectForces, MeanForceRemoved,
    AntisymmetricHead, ForceUnit, DetachedDensity, DetachedCutoff, DetachedNeighbours, StrainWithoutCell,
    OrthorhombicVolume, VirialAsStress, EngineeringShear, HardCutoff, LinearCutoff, CosineCutoffTwice,
    BiasOutsideCutoff, SoftmaxWithoutNobody, MeanAggregation, FirstNeighbours, NearestNeighbours, ChebyshevByArccos,
    Float32Positions, Float32Network, Float32Results, Float64Unit, DropoutAlwaysOn, RunningMean, MovesItsInput,
    LeavesEdgesInInput, ForcesWithoutGraph, KernelWithoutDoubleBackward, UnsavedFeatures,
)
# fmt: on
