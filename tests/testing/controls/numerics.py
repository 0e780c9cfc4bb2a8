"""Faults of numbers and of state: precision, chance, memory, input changed in place, files."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch

from pyg_mpnn.testing.healthy import Edges, Healthy, System
from tests.testing.controls.faults import MOVES, NEXT_CALL, PERIODIC, SLOPES, blend


class ChebyshevByArccos(Healthy):
    """Chebyshev polynomials as cos(n arccos x), with x below -1 for distances under a smallest one, 0.2 A."""

    continuous = False
    breaks = ("near_atoms",)
    maybe: ClassVar[dict[str, str]] = dict.fromkeys(
        ("no_truncation", "smoothness_single", "smoothness_crowd", "nve"), "fails if atoms come nearer than 0.2 A"
    )

    def _pair(self, s: System, e: Edges) -> Tensor:
        pair = super()._pair(s, e)
        if self.fault == 0.0:
            return pair
        x = 2.0 * (torch.sqrt(e.sq) - 0.2) / 4.8 - 1.0  # 5 A at the upper end
        return pair + self.fault * 0.1 * e.weight * torch.cos(3.0 * torch.acos(x))


class Float32Positions(Healthy):
    """Positions pass through float32 on their way into a float64 model."""

    breaks = ("dtype",)
    maybe: ClassVar[dict[str, str]] = dict.fromkeys(
        (*MOVES, *PERIODIC, *SLOPES, "size_extensivity", "momentum", "torque", "no_truncation"),
        "noise of 1e-7 A and of 1e-7 eV/A under float64 tolerances",
    )

    def _vectors(self, s: System) -> Tensor:
        return super()._vectors(s._replace(pos=blend(s.pos, s.pos.float().to(s.pos), self.fault)))


class Float32Network(Healthy):
    """The dense network runs in float32 inside a float64 model."""

    breaks = ("dtype",)
    maybe: ClassVar[dict[str, str]] = dict.fromkeys(
        (*MOVES, *PERIODIC, *SLOPES, "size_extensivity", "torque", "no_truncation"),
        "noise of 1e-8 to 1e-7 eV under float64 tolerances",
    )

    def _network(self, s: System, e: Edges) -> Tensor:
        x = super()._network(s, e)
        return blend(x, x.float().to(x), self.fault)


class Float32Results(Healthy):
    """Energies and forces are stored as float32, whatever the model computes in."""

    continuous = False
    breaks = ("dtype",)
    maybe: ClassVar[dict[str, str]] = dict.fromkeys(
        (*MOVES, *PERIODIC, *SLOPES, "size_extensivity", "isolated_atom", "momentum", "torque", "no_truncation"),
        "energies are rounded to some 1e-5 eV, or the dtype is compared",
    )

    def _results(self, energy: Tensor, forces: Tensor, stress: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
        return (energy, forces, stress) if self.fault == 0.0 else (energy.float(), forces.float(), stress)


class Float64Unit(Healthy):
    """A float64 array with the unit of the forces makes those of a float32 model float64."""

    continuous = False
    breaks = ("dtype",)

    def _forces(self, s: System, e: Edges, forces: Tensor) -> Tensor:
        return forces if self.fault == 0.0 else forces * forces.new_ones(1, dtype=torch.float64)


class DropoutAlwaysOn(Healthy):
    """Dropout by the function, which is on in evaluation too."""

    breaks = ("determinism",)
    maybe: ClassVar[dict[str, str]] = NEXT_CALL

    def _hidden(self, x: Tensor) -> Tensor:
        if self.fault == 0.0:
            return x
        return blend(x, nn.functional.dropout(x, 0.1, training=True), self.fault)


class RunningMean(Healthy):
    """A running mean of the density is updated at every call, in evaluation too."""

    breaks = ("determinism",)
    maybe: ClassVar[dict[str, str]] = NEXT_CALL

    def __init__(self, fault: float = 1.0) -> None:
        super().__init__(fault)
        self.register_buffer("mean", torch.zeros(()))

    def _density(self, s: System, e: Edges) -> Tensor:
        rho = super()._density(s, e)
        mean = self.get_buffer("mean")
        if rho.numel():
            mean.lerp_(rho.detach().mean().to(mean), 0.1)
        return rho - self.fault * 0.1 * mean.clone()


class MovesItsInput(Healthy):
    """The positions of the caller are moved into the positive octant, in place."""

    breaks = ("determinism",)
    maybe: ClassVar[dict[str, str]] = dict.fromkeys(
        ("translation", "rotation", "inversion", "forces", "stress", "wrapping", "smoothness_single", "nve"),
        "fails if the positions are used again after the call, together with points fixed before",
    )

    def forward(self, data: Batch, stress: bool = False) -> tuple[Tensor, Tensor, Tensor | None]:
        """As the sound one."""
        if self.fault > 0.0 and data.pos.numel():
            data.pos.detach().sub_(self.fault * (data.pos.detach().amin(0) - 1.0))
        return super().forward(data, stress)


class LeavesEdgesInInput(Healthy):
    """The neighbour list is written into the structure of the caller, where it goes stale when the atoms move."""

    continuous = False
    breaks = ("determinism",)
    maybe: ClassVar[dict[str, str]] = {
        **dict.fromkeys(
            (*MOVES, *PERIODIC, *SLOPES, "size_extensivity", "isolated_atom", "no_truncation", "near_atoms"),
            "fails if structures are made by changing one that the model has seen",
        ),
    }

    def _edges(self, data: Batch, pos: Tensor, cell: Tensor | None, pbc: Tensor | None) -> tuple[Tensor, ...]:
        source, target, shifts = super()._edges(data, pos, cell, pbc)
        if self.fault > 0.0:
            data.edge_index, data.shifts = torch.stack((source, target)), shifts
        return source, target, shifts


class UnsavedFeatures(Healthy):
    """Random features drawn anew for each instance, in a buffer that is not saved."""

    breaks = ("save_load",)
    maybe: ClassVar[dict[str, str]] = dict.fromkeys(
        ("dtype", "determinism", "double_backward"), "fails if instances made one by one are compared"
    )

    def __init__(self, fault: float = 1.0) -> None:
        super().__init__(fault)
        self.register_buffer("features", torch.rand(8), persistent=False)

    def _hidden(self, x: Tensor) -> Tensor:
        return x + self.fault * 0.5 * self.get_buffer("features")
