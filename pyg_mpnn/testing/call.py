"""How any model is called, and how its answer is read."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch

Invoke = Callable[[Any, Batch, bool], Any]
_TENSORS = ("z", "pos", "batch", "cell", "pbc", "edge_index", "shifts")


def choose_call(model: Any, call: Callable[[Any, Batch], Any] | None) -> tuple[Invoke, dict[str, str]]:
    """How to call a model, and what its signature says that it does not take.

    Args:
        model: called with a PyG ``Batch``, or by name with those of ``z, pos, batch, cell, pbc`` that it takes.
        call: how to call it with a batch, in place of the ways above.

    Returns:
        a function of model, batch and whether the stress is asked for; reasons by the name of the capability.

    Raises:
        TypeError: the model cannot be called, or needs other arguments.
    """
    if call is not None:
        return lambda model, batch, stress: call(model, batch), {}
    if not callable(model):
        raise TypeError(f"'model' must be callable or an ASE calculator, got {type(model).__name__}: pass call=")
    parameters = inspect.signature(model.forward if isinstance(model, nn.Module) else model).parameters
    names = list(parameters)
    extra = {"stress": True} if "stress" in names else {}
    if names[:1] != ["z"]:
        return lambda model, batch, stress: model(batch, **(extra if stress else {})), {}
    taken = [name for name in _TENSORS if name in names]
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    required = {name for name, item in parameters.items() if item.default is item.empty and item.kind in kinds}
    if required - set(taken):
        raise TypeError(
            f"'model' must be called with a batch or with {', '.join(_TENSORS)}, got one that needs "
            f"{', '.join(sorted(required - set(taken)))}: pass call=lambda model, batch: ..."
        )

    def invoke(model: Any, batch: Batch, stress: bool) -> Any:
        return model(**{name: batch.get(name) for name in taken}, **(extra if stress else {}))

    declared = {} if {"edge_index", "shifts"} <= set(taken) else {"edges": "its call takes no edge_index and shifts"}
    if "pbc" not in taken:
        declared["partly periodic"] = "its call takes no pbc"
    if "cell" not in taken:
        declared |= dict.fromkeys(("periodic", "partly periodic", "stress"), "its call takes no cell")
    return invoke, declared


def read_output(output: Any, batch: Batch) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Energies (graphs,), forces and stress out of what a model returned.

    Args:
        output: energies, a tuple (energies, forces[, stress]), or a dictionary or object with ``energy``, ``forces``,
            ``stress``.
        batch: the batch it belongs to.

    Returns:
        the three, None where there is none.

    Raises:
        ValueError: no energies, or shapes that do not fit the batch.
    """
    if isinstance(output, Mapping):
        found = [output.get(name) for name in ("energy", "forces", "stress")]
    elif hasattr(output, "energy"):
        found = [getattr(output, name, None) for name in ("energy", "forces", "stress")]
    elif isinstance(output, tuple):
        found = [*output, None, None][:3]
    else:
        found = [output, None, None]
    energy, forces, stress = found
    if not isinstance(energy, Tensor):
        raise ValueError(f"the model must return energies as a tensor, got {type(energy).__name__}")
    if energy.numel() != batch.num_graphs:
        raise ValueError(f"the model must return {batch.num_graphs} energies, got shape {tuple(energy.shape)}")
    if forces is not None and forces.shape != batch.pos.shape:
        raise ValueError(f"the model must return forces {tuple(batch.pos.shape)}, got {tuple(forces.shape)}")
    if stress is not None:
        stress = stress.reshape(batch.num_graphs, 3, 3)
    return energy.reshape(-1), forces, stress


def energy_gradient(energy: Tensor, pos: Tensor, differentiable: bool) -> Tensor:
    """Forces from the energies of a model that returns none.

    Args:
        energy: energies of all structures.
        pos: positions that they were computed from.
        differentiable: whether the forces carry a graph back to the parameters.

    Returns:
        forces (nodes, 3).

    Raises:
        ValueError: the energies do not depend on the positions.
    """
    if not energy.requires_grad:
        raise ValueError("the model returned no forces, and its energy has no derivative by the positions")
    gradients = torch.autograd.grad(
        energy.sum(), pos, create_graph=differentiable, allow_unused=True, materialize_grads=True
    )
    return -gradients[0]


LACKS = {
    "edges": "an ASE calculator finds its own neighbours",
    "batches": "an ASE calculator takes one structure at a time",
    "empty": "an ASE calculator takes one structure at a time",
}
"""What no ASE calculator has."""


def invoke_calculator(calculator: Any, batch: Batch, stress: bool) -> dict[str, torch.Tensor]:
    """Energies, forces and stress of each structure of a batch.

    Args:
        calculator: an ASE calculator.
        batch: the structures.
        stress: whether the stress is asked for.

    Returns:
        the results as float64 tensors.
    """
    from ase import Atoms

    energies, forces, stresses = [], [], []
    for data in batch.to_data_list():
        cell = {"cell": data.cell[0].numpy(), "pbc": data.pbc[0].numpy()} if "cell" in data else {}
        atoms = Atoms(data.z.numpy(), data.pos.detach().double().numpy(), calculator=calculator, **cell)
        energies.append(torch.tensor(atoms.get_potential_energy(), dtype=torch.float64))
        forces.append(torch.from_numpy(atoms.get_forces().copy()))
        if stress:
            stresses.append(torch.from_numpy(atoms.get_stress(voigt=False).copy()))
    results = {"energy": torch.stack(energies), "forces": torch.cat(forces).double()}
    return results | ({"stress": torch.stack(stresses)} if stress else {})
