"""What a file says of a model and the model itself: whether they are the same."""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from pyg_mpnn.models.build import build, describe, foreign_names, name_of, trust_of

_ATOMS = 6
_TOLERANCE = {torch.float64: 1e-10}
_OTHER_TOLERANCE = 1e-5


def check_rebuilds(model: nn.Module) -> dict[str, Any]:
    """Build a model again from its description, and refuse it where the two differ.

    Compared are the types of all parts, names, shapes and dtypes of weights and buffers, which weights are shared, and
    the results for a probe structure with the same weights.

    Args:
        model: the model.

    Returns:
        its description.

    Raises:
        TypeError: it cannot be described or built again, or the two differ; the first difference is named.
    """
    description = describe(model)
    with torch.random.fork_rng(devices=[]):
        try:
            rebuilt = rebuild(model)
        except ValueError as error:
            raise TypeError(
                f"'model' must be built again by what would be saved, got: {error}. {_advice(model)}"
            ) from error
    difference = _difference(model, rebuilt)
    if difference is None:
        take_weights(rebuilt, model.state_dict())
        with _evaluating(model), _evaluating(rebuilt):
            difference = _different_results(model, rebuilt)
    if difference is not None:
        raise TypeError(f"'model' must be what its description says, got another one: {difference}. {_advice(model)}")
    return dict(description)


def rebuild(model: nn.Module) -> Any:
    """A model of the same description, with random weights.

    Args:
        model: the model.

    Returns:
        another one of the same classes.

    Raises:
        TypeError: it cannot be described.
        ValueError: its description makes no model.
    """
    description = describe(model)
    foreign = [type(part) for part in model.modules() if ":" in _name(type(part))]
    return build(json.loads(json.dumps(description)), [*foreign, *trust_of(foreign_names(description))])


def take_weights(model: nn.Module, state: Mapping[str, Tensor], device: str | torch.device | None = None) -> None:
    """Give a model the weights and buffers of a file, in their dtypes.

    Args:
        model: the model.
        state: weights and buffers by name.
        device: where to; where the state is without it.

    Raises:
        ValueError: names or shapes do not fit.
    """
    own = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    for name, tensor in own.items():
        if name in state:
            tensor.data = tensor.data.to(device=device or state[name].device, dtype=state[name].dtype)
    for part in leaves(model):
        part.to(device=device, dtype=part.dtype)
    try:
        model.load_state_dict(dict(state))
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()[1:3]]
        raise ValueError(f"the weights must fit the model that the file describes, got: {' '.join(lines)}") from error


def leaves(model: nn.Module) -> list[Any]:
    """The models that a sum is made of, and all other models themselves."""
    parts = getattr(model, "potentials", None)
    return [model] if parts is None else [leaf for part in parts for leaf in leaves(part)]


def digest(description: Any, state: Mapping[str, Tensor]) -> str:
    """SHA-256 of a description and the weights that belong to it."""
    content = hashlib.sha256(json.dumps(description, sort_keys=True).encode())
    for name, tensor in sorted(state.items()):
        content.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        content.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return content.hexdigest()


def probe(model: nn.Module, state: Mapping[str, Tensor] | None = None) -> dict[str, Any] | None:
    """The energy of a small cluster, kept in a file to know a model by.

    Args:
        model: the model.
        state: weights in place of its own.

    Returns:
        atomic numbers, positions in A, and energy in eV, plain values; ``None`` for a model without energy.
    """
    z, pos = probe_structure(model)
    with torch.no_grad(), _evaluating(model):
        given = dict(model.state_dict() if state is None else state)
        output = torch.func.functional_call(model, given, _arguments(model, z, pos), _options(model), tie_weights=False)
    energy = getattr(output, "energy", None)
    return None if energy is None else {"z": z.tolist(), "pos": pos.tolist(), "energy": float(energy)}


def same_energy(model: nn.Module, kept: Mapping[str, Any]) -> tuple[float, bool]:
    """Whether a model gives the energy of :func:`probe`.

    Args:
        model: the model.
        kept: what :func:`probe` gave.

    Returns:
        the energy in eV, and whether it is the same up to rounding.
    """
    device = next(iter(model.state_dict().values())).device
    z = torch.tensor(kept["z"], device=device)
    pos = torch.tensor(kept["pos"], dtype=torch.float64, device=device)
    with torch.no_grad(), _evaluating(model):
        output = model(*_arguments(model, z, pos), **_options(model))
    dtype = min((part.dtype for part in leaves(model)), key=lambda kind: kind.itemsize)
    rest = float((output.energy - output.atom_energies.sum()).abs()) + 1.0
    allowed = _TOLERANCE.get(dtype, _OTHER_TOLERANCE) * max(abs(kept["energy"]), rest)
    return float(output.energy), abs(float(output.energy) - kept["energy"]) <= allowed


def probe_structure(model: nn.Module) -> tuple[Tensor, Tensor]:
    """A small cluster of elements that a model knows, all within its cutoff.

    Args:
        model: the model.

    Returns:
        atomic numbers and positions in A.
    """
    known = getattr(model, "elements", (1, 6, 8))
    preferred = [element for element in (1, 6, 8, 7, 14) if element in known] or list(known)
    step = min(1.1, float(max(getattr(model, "cutoffs", (5.0,)))) / 4)
    places = [[0.0, 0.0, 0.0], [1.0, 0.1, 0.0], [-0.2, 1.1, 0.3], [0.3, -0.4, 1.2], [1.3, 1.2, 0.7], [-0.9, 0.4, -0.8]]
    device = next(iter(model.state_dict().values())).device
    z = torch.tensor([preferred[index % len(preferred)] for index in range(_ATOMS)], device=device)
    return z, torch.tensor(places, dtype=torch.float64, device=device) * step


def _name(cls: type) -> str:
    try:
        return name_of(cls)
    except TypeError:
        return ""


def _advice(model: nn.Module) -> str:
    foreign = sorted({type(part).__name__ for part in model.modules() if not _is_ours(type(part))})
    if not foreign:
        return "A part was replaced or changed after the model was made: give it to the constructor"
    return (
        f"Store the arguments of {', '.join(foreign)} under their own names (self.width = width), or give it a mapping "
        "'config' of them; a part that was replaced later goes to the constructor"
    )


def _is_ours(cls: type) -> bool:
    return cls.__module__.split(".")[0] in ("torch", "torch_geometric", "e3nn", "pyg_mpnn")


def _difference(model: nn.Module, rebuilt: nn.Module) -> str | None:
    """What differs in parts, weights and buffers."""
    parts, others = (dict(one.named_modules(remove_duplicate=False)) for one in (model, rebuilt))
    for name in [*parts, *others]:
        mine, other = (type(found[name]).__name__ if name in found else "absent" for found in (parts, others))
        if mine != other or (name in parts and type(parts[name]) is not type(others[name])):
            return f"{name or 'the model'} is {mine} here, {other} when built again"
    for kind in ("named_parameters", "named_buffers"):
        tensors = [dict(getattr(one, kind)(remove_duplicate=False)) for one in (model, rebuilt)]
        for name in [*tensors[0], *tensors[1]]:
            shapes = [tuple(found[name].shape) if name in found else "absent" for found in tensors]
            if shapes[0] != shapes[1]:
                return f"{name} has the shape {shapes[0]} here, {shapes[1]} when built again"
        shared = [_shared(found) for found in tensors]
        if shared[0] != shared[1]:
            return f"weights are shared otherwise: {shared[0]} here, {shared[1]} when built again"
    return None


def _shared(tensors: Mapping[str, Tensor]) -> list[list[str]]:
    groups: dict[int, list[str]] = {}
    for name, tensor in tensors.items():
        groups.setdefault(id(tensor), []).append(name)
    return [names for names in groups.values() if len(names) > 1]


def _different_results(model: nn.Module, rebuilt: nn.Module) -> str | None:
    z, pos = probe_structure(model)
    with torch.no_grad():
        outputs = [_tensors(one(*_arguments(one, z, pos), **_options(one))) for one in (model, rebuilt)]
    for mine, other in zip(*outputs, strict=True):
        tolerance = _TOLERANCE.get(mine.dtype, _OTHER_TOLERANCE)
        spread = float(mine.double().abs().max()) if mine.numel() else 0.0
        if not torch.allclose(mine.double(), other.double(), rtol=0.0, atol=tolerance * (1 + spread), equal_nan=True):
            where = int((mine.double() - other.double()).abs().flatten().argmax())
            values = [float(tensor.flatten()[where]) for tensor in (mine, other)]
            return f"{_ATOMS} atoms have {values[0]:.9g} here, {values[1]:.9g} when built again with the same weights"
    return None


def _tensors(output: Any) -> list[Tensor]:
    """All tensors of an output: sums of energies without what does not depend on positions."""
    if isinstance(output, Tensor):
        return [output]
    values = output.values() if isinstance(output, Mapping) else [*output, *getattr(output, "others", {}).values()]
    return [tensor for value in values if value is not None for tensor in _tensors(value)]


def _arguments(model: nn.Module, z: Tensor, pos: Tensor) -> tuple[Any, ...]:
    """The structure as a model takes it: with neutral numbers of the graph where it reads some."""
    inputs = getattr(model, "graph_inputs", ())
    return (Data(z=z, pos=pos, **{name: torch.zeros(1) for name in inputs}),) if inputs else (z, pos)


def _options(model: nn.Module) -> dict[str, Any]:
    """Energies alone, which are evaluated eagerly."""
    known = inspect.signature(model.forward).parameters
    return {"forces": False} if "forces" in known else {}


@contextlib.contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """In evaluation mode, each part as it was afterwards."""
    modes: Sequence[tuple[nn.Module, bool]] = [(part, part.training) for part in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode
