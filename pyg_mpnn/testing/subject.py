"""The small adapter between any potential and the laws."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from pyg_mpnn.testing.call import Invoke, choose_call, energy_gradient, read_output

CAPABILITIES = {
    "invariance": "the energy does not change when the structure is rotated or inverted",
    "edges": "takes an edge list that comes with the structure",
    "batches": "takes several structures in one call",
    "empty": "takes structures without atoms",
    "isolated": "takes single atoms",
    "isolated energies": "states the energy of an isolated atom of each element",
    "periodic": "takes a cell",
    "partly periodic": "takes cells that are periodic in one or two directions",
    "stress": "returns a stress",
    "cutoff": "has a finite range",
    "precision": "can be converted to float32 and float64",
    "parameters": "is a torch.nn.Module with parameters to train",
}
"""What a model may declare not to have, and what having it means."""


class Evaluation(NamedTuple):
    """Energies in eV (graphs,), forces in eV/A (nodes, 3) and, where asked for, stress in eV/A^3 (graphs, 3, 3)."""

    energy: Tensor
    forces: Tensor
    stress: Tensor | None


@dataclass(frozen=True)
class Subject:
    """A potential as the laws see it.

    Args:
        model: the potential; a module is a copy of its own, in evaluation mode.
        invoke: calls ``(model, batch, stress)`` and returns what the model returns.
        name: name for the report.
        dtype: precision of the forces that the model returns, and of positions given to it but for :attr:`input_dtype`.
        cutoffs: declared cutoff radii in A, increasing.
        smoothness: declared number of continuous derivatives of the energy.
        lacks: reasons by the name of the capability (:data:`CAPABILITIES`) that the model declares not to have.
        rebuild: makes a new model of the same kind, for the law of saving and loading.
        isolated_energies: energy of an isolated atom in eV by atomic number, as the model states it.
    """

    model: Any
    invoke: Invoke
    name: str
    dtype: torch.dtype
    cutoffs: tuple[float, ...]
    smoothness: float
    lacks: Mapping[str, str]
    rebuild: Callable[[], nn.Module] | None = None
    isolated_energies: Mapping[int, float] = field(default_factory=dict)

    @property
    def input_dtype(self) -> torch.dtype:
        """Precision of positions and cells given to the model: its attribute ``input_dtype``, else its own."""
        return getattr(self.model, "input_dtype", self.dtype)

    def evaluate(
        self, structures: Data | Sequence[Data], *, stress: bool = False, differentiable: bool = False
    ) -> Evaluation:
        """Energies, forces and stress of structures, in one batch.

        Args:
            structures: one or several, positions in any precision.
            stress: whether the stress is asked for.
            differentiable: whether the results carry a graph back to the parameters.

        Returns:
            the results; detached and in float64, unless ``differentiable``.

        Raises:
            ValueError: the model returned something else.
        """
        batch = self.batch([structures] if isinstance(structures, Data) else structures)
        result = self.evaluate_batch(batch, stress=stress, differentiable=differentiable)
        if differentiable:
            return result
        energy, forces, pressure = (None if value is None else value.detach().double().cpu() for value in result)
        assert energy is not None
        assert forces is not None
        return Evaluation(energy, forces, pressure)

    def evaluate_batch(self, batch: Batch, *, stress: bool = False, differentiable: bool = False) -> Evaluation:
        """As :meth:`evaluate`, on a batch as it is and with results as they come."""
        with torch.enable_grad():
            batch.pos.requires_grad_()
            energy, forces, pressure = read_output(self.invoke(self.model, batch, stress), batch)
            if forces is None:
                forces = energy_gradient(energy, batch.pos, differentiable)
        if stress and pressure is None:
            raise ValueError("the model returned no stress; declare it with lacks={'stress': reason} if it has none")
        return Evaluation(energy, forces, pressure if stress else None)

    def batch(self, structures: Sequence[Data]) -> Batch:
        """The structures as a batch of new tensors in the precision that the model takes.

        Numbers of a structure that the model reads (its attribute ``graph_inputs``: charge, spin) are 0: laws make
        structures of which nobody knows them.
        """
        cells = any("cell" in structure for structure in structures)
        parts = []
        for structure in structures:
            part = Data(z=structure.z.clone(), pos=structure.pos.detach().to(self.input_dtype, copy=True))
            part.num_nodes = len(part.z)
            if cells:
                empty = structure.pos.new_zeros(1, 3, 3), torch.zeros(1, 3, dtype=torch.bool)
                part.cell = structure.get("cell", empty[0]).to(self.input_dtype, copy=True)
                part.pbc = structure.get("pbc", empty[1]).clone()
            for name in ("edge_index", "shifts"):
                if name in structure:
                    part[name] = structure[name].clone()
            for name in getattr(self.model, "graph_inputs", ()):
                part[name] = torch.zeros(1, dtype=self.input_dtype)
            parts.append(part)
        return Batch.from_data_list(parts).to(self.device)

    @property
    def device(self) -> torch.device:
        """Where the model is; the CPU for one that is not a module."""
        tensors = [*self.model.parameters(), *self.model.buffers()] if isinstance(self.model, nn.Module) else []
        return tensors[0].device if tensors else torch.device("cpu")

    def convert(self, dtype: torch.dtype) -> Subject:
        """The same potential in another precision."""
        if dtype == self.dtype:
            return self
        if "precision" in self.lacks:
            raise ValueError(f"'dtype' must be {self.dtype}, got {dtype}: {self.lacks['precision']}")
        return dataclasses.replace(self, model=copy.deepcopy(self.model).to(dtype), dtype=dtype)


def as_subject(
    model: Any,
    *,
    cutoff: float | Sequence[float] | None = None,
    smoothness: float | None = None,
    lacks: Mapping[str, str] | None = None,
    call: Callable[[Any, Batch], Any] | None = None,
    dtype: torch.dtype | None = None,
    name: str | None = None,
    rebuild: Callable[[], nn.Module] | None = None,
    isolated_energies: Mapping[int, float] | None = None,
) -> Subject:
    """Wrap a potential for the laws.

    Args:
        model: called with a PyG ``Batch``, or by name with those of ``z, pos, batch, cell, pbc`` that it takes; or an
            ASE calculator. It returns energies, or energies and forces (and stress) as tuple, dictionary or object.
        cutoff: cutoff radius, or several, in A; the model's own attribute ``cutoffs`` or ``cutoff`` if None.
        smoothness: number of continuous derivatives of the energy that the model declares; its attribute
            ``smoothness`` if None, else 1 (continuous forces).
        lacks: capabilities that the model does not have, each with the reason; beside those of its own attribute
            ``lacks``.
        call: how to call the model with a batch, in place of the ways above.
        dtype: precision to check in; the model's own if None.
        name: name for the report.
        rebuild: makes a new model of the same kind, see :func:`check_potential`.
        isolated_energies: energy of an isolated atom in eV by atomic number; the model's attribute of that name if
            None.

    Returns:
        the potential as the laws see it; a module is copied, so that the one given stays as it is.

    Raises:
        TypeError: the model cannot be called.
        ValueError: no cutoff is known, or an unknown capability.
    """
    if isinstance(model, Subject):
        return model
    missing = dict(getattr(model, "lacks", {})) | dict(lacks or {})
    unknown = set(missing) - set(CAPABILITIES)
    if unknown:
        raise ValueError(f"'lacks' must name capabilities out of {', '.join(CAPABILITIES)}, got {sorted(unknown)}")
    name = type(model).__name__ if name is None else name
    if hasattr(model, "get_potential_energy"):
        from pyg_mpnn.testing.call import LACKS, invoke_calculator

        invoke: Invoke = invoke_calculator
        missing = LACKS | missing
    else:
        invoke, declared = choose_call(model, call)
        missing = declared | missing
    smoothness = float(getattr(model, "smoothness", 1) if smoothness is None else smoothness)
    if not smoothness >= 0.0:
        raise ValueError(f"'smoothness' must be at least 0, the number of continuous derivatives, got {smoothness}")
    if isolated_energies is None:
        isolated_energies = getattr(model, "isolated_energies", None)
    if isolated_energies is None:
        missing.setdefault("isolated energies", "the model states no energies of isolated atoms")
    if isinstance(model, nn.Module):
        model = copy.deepcopy(model).eval()
        if dtype not in (None, _dtype(model)):
            if "precision" in missing:
                raise ValueError(f"'dtype' must be {_dtype(model)}, got {dtype}: {missing['precision']}")
            model = model.to(dtype)
        if not any(parameter.requires_grad for parameter in model.parameters()):
            missing.setdefault("parameters", "the module has no parameters to train")
    else:
        missing.setdefault("parameters", "not a torch.nn.Module")
        missing.setdefault("precision", "not a torch.nn.Module, so its precision is its own")
    return Subject(
        model=model,
        invoke=invoke,
        name=name,
        dtype=_dtype(model) if dtype is None else dtype,
        cutoffs=_cutoffs(model, cutoff, missing),
        smoothness=smoothness,
        lacks=missing,
        rebuild=rebuild,
        isolated_energies=dict(isolated_energies or {}),
    )


def _dtype(model: Any) -> torch.dtype:
    if not isinstance(model, nn.Module):
        return torch.float64
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.is_floating_point():
            return tensor.dtype
    return torch.get_default_dtype()


def _cutoffs(model: Any, cutoff: float | Sequence[float] | None, lacks: Mapping[str, str]) -> tuple[float, ...]:
    if cutoff is None:
        cutoff = getattr(model, "cutoffs", getattr(model, "cutoff", None))
    if "cutoff" in lacks:
        return ()
    if cutoff is None:
        raise ValueError(
            "'cutoff' must be given (in A) for a model without an attribute of that name, got None: pass it, or "
            "lacks={'cutoff': reason} if its range is infinite"
        )
    try:
        radii = sorted(torch.as_tensor(cutoff, dtype=torch.float64).reshape(-1).tolist())
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"'cutoff' must be a radius or several (in A), got {cutoff!r}: pass cutoff=") from error
    if not radii or not all(0.0 < radius < math.inf for radius in radii):
        raise ValueError(f"'cutoff' must be positive and finite (in A), got {cutoff!r}")
    return tuple(radii)
