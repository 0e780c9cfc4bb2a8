"""TorchSim with a potential of this package: many structures in one graph."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pyg_mpnn.deploy import CompileMode
from pyg_mpnn.engines.evaluator import Evaluator, missing
from pyg_mpnn.models import EnergyModel, SumPotential

__all__ = ["torchsim_model"]


def torchsim_model(
    potential: EnergyModel | SumPotential | str | Path,
    *,
    dtype: torch.dtype = torch.float64,
    device: str | torch.device | None = None,
    compute_forces: bool = True,
    compute_stress: bool = True,
    compile: CompileMode = "off",
    inputs: Mapping[str, float] | None = None,
) -> Any:
    """A potential as a model of TorchSim, for its integrators, optimizers and batching.

    Args:
        potential: a potential or a sum of potentials, or the path of a saved one or of a training checkpoint.
        dtype: torch.float32 or torch.float64; states must be of the same.
        device: where to run; the potential's own device if None.
        compute_forces: whether forces are returned.
        compute_stress: whether the stress is returned; NaN for states that are not periodic.
        compile: as of :meth:`pyg_mpnn.Potential.compile`.
        inputs: numbers that the potential reads of a structure, such as ``{"charge": 1}``, the same for all systems.

    Returns:
        a ``torch_sim.models.interface.ModelInterface``.

    Units:
        eV, A, eV/A, eV/A^3 as TorchSim's metal units.

    Raises:
        ImportError: TorchSim is missing.
        ValueError: what :class:`~pyg_mpnn.engines.Evaluator` refuses; when called: an element that the potential does
            not know, a state of another dtype.

    Source:
        O. Cohen et al., AI Sci. 1, 025003 (2025), doi:10.1088/3050-287X/ae1799 (TorchSim).
    """
    try:
        import torch_sim
        from torch_sim.models.interface import ModelInterface
    except ImportError as error:
        raise ImportError(missing("TorchSim", "torchsim")) from error

    evaluator = Evaluator(potential, dtype=dtype, device=device, compile=compile, inputs=inputs)

    class PotentialModel(ModelInterface):
        """A potential of pyg_mpnn as a model of TorchSim."""

        def __init__(self) -> None:
            super().__init__()
            self.potential = evaluator.potential
            self._device, self._dtype = evaluator.device, evaluator.dtype
            self._compute_forces, self._compute_stress = compute_forces, compute_stress
            self._memory_scales_with = "n_atoms_x_density"

        def forward(self, state: Any, **_: Any) -> dict[str, Tensor]:
            """Energy, forces and stress of each system."""
            if isinstance(state, dict):
                state = torch_sim.SimState(**state, masses=torch.ones_like(state["positions"][:, 0]))
            if state.positions.dtype != self._dtype:
                raise ValueError(f"'state' must be {self._dtype} as the model, got {state.positions.dtype}")
            crystal = bool(state.pbc)
            output = self.potential(
                state.atomic_numbers.long(),
                state.positions,
                state.system_idx,
                state.cell.mT if crystal else None,  # TorchSim has cell vectors in columns
                torch.ones(3, dtype=torch.bool, device=self._device) if crystal else None,
                forces=self._compute_forces,
                stress=self._compute_stress and crystal,
                outputs=False,
                inputs=evaluator.inputs,
            )
            results = {"energy": output.energy.to(self._dtype)}
            if self._compute_forces:
                results["forces"] = output.forces
            if self._compute_stress:
                shape = (len(output.energy), 3, 3)
                results["stress"] = state.positions.new_full(shape, torch.nan) if not crystal else output.stress
            return results

    print(evaluator.announce(f"TorchSim {_version()}", "metal (eV, A)", "of the integrator"))
    return PotentialModel().eval()


def _version() -> str:
    from importlib.metadata import version

    return version("torch-sim-atomistic")
