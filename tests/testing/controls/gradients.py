"""Faults of forces and stress: no gradient, a wrong one, or one that cannot be trained on."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from pyg_mpnn.testing.healthy import Edges, Healthy, System
from tests.testing.controls.faults import atom_counts, blend


class DirectForces(Healthy):
    """Forces come from a head of their own, which is near the gradient but is none."""

    breaks = ("forces", "momentum", "torque", "nve")

    def _head(self, s: System, e: Edges) -> Tensor:
        return 0.05 * self._density(s, e).unsqueeze(1) * self._moments(s, e)[:, :3]

    def _forces(self, s: System, e: Edges, forces: Tensor) -> Tensor:
        return forces + self.fault * self._head(s, e)


class MeanForceRemoved(DirectForces):
    """A head for the forces, with the net force of the structure shared out among its atoms and taken away."""

    breaks = ("forces", "torque", "nve", "size_extensivity")
    maybe: ClassVar[dict[str, str]] = {"isolated_atom": "fails if its force is looked at beside far others"}

    def _head(self, s: System, e: Edges) -> Tensor:
        head = super()._head(s, e)
        net = head.new_zeros(s.num_graphs, 3).index_add(0, s.batch, head)
        return head - (net / atom_counts(s).clamp(min=1.0).unsqueeze(1))[s.batch]


class AntisymmetricHead(Healthy):
    """Learned pair forces that obey actio = reactio but do not point along the pair."""

    breaks = ("forces", "torque", "nve")

    def _forces(self, s: System, e: Edges, forces: Tensor) -> Tensor:
        moments = self._moments(s, e)[:, :3]
        pair = (e.weight * torch.exp(-e.sq / 4.0)).unsqueeze(1) * (moments[s.source] - moments[s.target])
        return forces + self.fault * 0.1 * self._sum(s, pair)


class ForceUnit(Healthy):
    """Forces are converted with a Bohr radius of 0.5292 A, energies and distances with the exact one."""

    breaks = ("forces",)
    maybe: ClassVar[dict[str, str]] = {"nve": "a relative error of 4e-5 may drown in that of the integrator"}

    def _forces(self, s: System, e: Edges, forces: Tensor) -> Tensor:
        return forces * (1.0 + self.fault * (0.529177210903 / 0.5292 - 1.0))


class DetachedDensity(Healthy):
    """The density is computed without gradient: forces and stress miss the embedding term."""

    breaks = ("forces", "stress", "nve")

    def _density(self, s: System, e: Edges) -> Tensor:
        rho = super()._density(s, e)
        return blend(rho, super()._density(s, Edges(*(x.detach() for x in e))), self.fault)


class DetachedCutoff(Healthy):
    """The cutoff function is computed without gradient: forces and stress miss its slope."""

    breaks = ("forces", "stress", "nve")

    def _cutoff(self, sq: Tensor) -> Tensor:
        weight = super()._cutoff(sq)
        return blend(weight, weight.detach(), self.fault)


class DetachedNeighbours(Healthy):
    """Positions of the neighbours are constants: an atom feels its own energy, not that of its neighbours."""

    breaks = ("forces", "stress", "momentum", "torque", "nve", "supercell")
    maybe: ClassVar[dict[str, str]] = dict.fromkeys(("wrapping", "cell_choice"), "fails if stresses are compared")

    def _vectors(self, s: System) -> Tensor:
        source = s.pos.index_select(0, s.source)
        return blend(source, source.detach(), self.fault) - s.pos.index_select(0, s.target) + self._images(s)


class StrainWithoutCell(Healthy):
    """For the stress the positions are strained and the cell is not."""

    breaks = ("stress",)
    maybe: ClassVar[dict[str, str]] = dict.fromkeys(("wrapping", "cell_choice"), "fails if stresses are compared")

    def _strained(self, s: System, strain: Tensor) -> System:
        assert s.cell is not None
        return super()._strained(s, strain)._replace(cell=s.cell + s.cell @ ((1.0 - self.fault) * strain))


class OrthorhombicVolume(Healthy):
    """The volume for the stress is the product of the three lengths."""

    breaks = ("stress",)
    maybe: ClassVar[dict[str, str]] = {"cell_choice": "fails if stresses are compared"}

    def _volume(self, cell: Tensor) -> Tensor:
        return blend(super()._volume(cell), cell.norm(dim=2).prod(1), self.fault)


class VirialAsStress(Healthy):
    """The sign of the virial on the stress."""

    breaks = ("stress",)

    def _stress(self, s: System, slope: Tensor) -> Tensor:
        return super()._stress(s, slope) * (1.0 - 2.0 * self.fault)


class EngineeringShear(Healthy):
    """Shear stresses are halved, by a Voigt factor that belongs to strains."""

    breaks = ("stress",)
    maybe: ClassVar[dict[str, str]] = {"rotation": "fails if the stress is rotated along"}

    def _stress(self, s: System, slope: Tensor) -> Tensor:
        shear = 1.0 - torch.eye(3).to(slope)
        return super()._stress(s, slope) * (1.0 - self.fault * 0.5 * shear)


class ForcesWithoutGraph(Healthy):
    """The graph of the forces is not made (create_graph=False): a loss on them trains nothing."""

    breaks = ("double_backward",)

    def _forces(self, s: System, e: Edges, forces: Tensor) -> Tensor:
        return blend(forces, forces.detach(), self.fault)


class _FusedGauss(torch.autograd.Function):
    """The Gaussian of the density with a backward pass that has no backward pass."""

    @staticmethod
    def forward(ctx: Any, sq: Tensor) -> Tensor:
        result = torch.exp(-sq / 3.0)
        ctx.save_for_backward(result)
        return result

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (result,) = ctx.saved_tensors
        with torch.no_grad():
            slope: Tensor = grads[0] * result / -3.0
        return slope


class KernelWithoutDoubleBackward(Healthy):
    """A fused kernel with a hand-written gradient, which is a constant to the gradient of a loss on forces."""

    breaks = ("double_backward",)

    def _gauss(self, sq: Tensor) -> Tensor:
        fused: Tensor = _FusedGauss.apply(sq)  # type: ignore[no-untyped-call]
        return blend(super()._gauss(sq), fused, self.fault)
