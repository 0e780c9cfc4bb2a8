"""Laws of the computer: near atoms, precision, repeatability, copies, compilation."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import io
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch_geometric.data import Data

from pyg_mpnn.testing.law import law
from pyg_mpnn.testing.probes import ROUNDING, compare, rattled, scales, worst
from pyg_mpnn.testing.result import Check
from pyg_mpnn.testing.subject import Subject


@law()
def near_atoms(subject: Subject, structures: Sequence[Data]) -> list[Check]:
    """Atoms very near each other, down to 0.001 A, give finite numbers; atoms at one place too, or a ValueError."""
    checks = []
    for distance in (0.3, 0.1, 0.01, 0.001, 0.0):
        probe = structures[0].clone()
        if len(probe.z) == 1:
            probe.z, probe.pos = probe.z.repeat(2), probe.pos.repeat(2, 1)
        probe.pos[1] = probe.pos[0] + distance * torch.tensor([0.6, 0.0, 0.8], dtype=torch.float64)
        try:
            energy, forces, _ = subject.evaluate(probe)
        except ValueError:
            if distance > 0.0:
                raise
            continue  # refused with an error, as it may be
        count = int((~energy.isfinite()).sum() + (~forces.isfinite()).sum())
        checks.append(Check(f"at {distance} A", float(count), "values not finite", 0.0, "exact: none may be"))
    return checks


@law("precision")
def dtype(subject: Subject, structures: Sequence[Data]) -> list[Check]:
    """float32 and float64 agree to rounding; in float64 every step is float64, and results come as asked for."""
    double, single = subject.convert(torch.float64), subject.convert(torch.float32)
    scale, checks = scales(double, structures), []
    for structure in structures:
        checks += compare(single, "float32 and float64", single.evaluate(structure), double.evaluate(structure), scale)
        watch = _Float32Watch()
        batch = double.batch([structure])
        with watch:
            result = double.evaluate_batch(batch)
        what = f"rounded to float32 in float64 (first in {watch.first})" if watch.first else "rounded to float32"
        checks.append(Check(what, float(watch.count), "operations", 0.0, "exact: none may be"))
        lower = [result.energy.dtype != torch.float64, result.forces.dtype != torch.float64]
        lower.append(single.evaluate_batch(single.batch([structure])).forces.dtype != torch.float32)
        checks.append(Check("results in another precision", float(sum(lower)), "results", 0.0, "exact: none may be"))
        checks.append(_noise(double, structure, scale.force))
    return checks


@law()
def determinism(subject: Subject, structures: Sequence[Data]) -> list[Check]:
    """The same call gives the same bits, also after other calls; inputs are left as they were."""
    scales(subject, structures)
    checks = []
    for structure in structures:
        batch = subject.batch([structure])
        before = {key: value.detach().clone() for key, value in batch.to_dict().items() if isinstance(value, Tensor)}
        first = subject.evaluate_batch(batch)
        changed = sum(not torch.equal(batch[key].detach(), value) for key, value in before.items())
        changed += len({key for key, value in batch.to_dict().items() if isinstance(value, Tensor)} - set(before))
        checks.append(Check("inputs changed", float(changed), "tensors", 0.0, "exact: none may be"))
        again = subject.evaluate_batch(subject.batch([structure]))
        for k in range(2):
            subject.evaluate(rattled(structure, 0.1, seed=k))
        torch.manual_seed(1)
        later = subject.evaluate_batch(subject.batch([structure]))
        for what, other in (("called again", again), ("after other calls", later)):
            for name, unit in (("energy", "eV"), ("forces", "eV/A")):
                difference = worst((getattr(other, name) - getattr(first, name)).detach())
                checks.append(Check(f"{name} {what}", difference, unit, 0.0, "exact: the same bits"))
    return checks


@law("parameters")
def save_load(subject: Subject, structures: Sequence[Data]) -> list[Check]:
    """``state_dict``, written, read with ``weights_only=True`` and loaded elsewhere, gives the same results."""
    scales(subject, structures)
    file = io.BytesIO()
    torch.save(subject.model.state_dict(), file)
    file.seek(0)
    other = _another(subject)
    other.load_state_dict(torch.load(file, weights_only=True))
    loaded = dataclasses.replace(subject, model=other.eval())
    checks = []
    for structure in structures:
        before, after = subject.evaluate(structure), loaded.evaluate(structure)
        for name, unit in (("energy", "eV"), ("forces", "eV/A")):
            difference = worst(getattr(after, name) - getattr(before, name))
            checks.append(Check(f"{name} after loading", difference, unit, 0.0, "exact: the same bits"))
    return checks


@law("parameters")
def compiled(
    subject: Subject, structures: Sequence[Data], compile: Callable[[Any], Any] = torch.compile
) -> list[Check]:
    """The compiled model gives what the eager one gives. Opt-in: compiling takes minutes."""
    scale = scales(subject, structures)
    fast = dataclasses.replace(subject, model=compile(copy.deepcopy(subject.model)))
    return [
        check
        for structure in structures
        for check in compare(subject, "compiled", fast.evaluate(structure), subject.evaluate(structure), scale)
    ]


def _noise(subject: Subject, structure: Data, force: float) -> Check:
    """Second difference of the forces over 1e-7 A: zero for a smooth function, up to rounding."""
    move = torch.randn_like(structure.pos)
    results = []
    for size in (-1e-7, 0.0, 1e-7):
        moved = structure.clone()
        moved.pos = structure.pos + size * move
        results.append(subject.evaluate(moved).forces)
    relative = ROUNDING[torch.float64]
    why = f"rounding: {relative:.0e} of the RMS force; float32 would leave 1e-8"
    return Check(
        "noise of the forces in float64", worst(results[0] - 2 * results[1] + results[2]), "eV/A", relative * force, why
    )


def _another(subject: Subject) -> nn.Module:
    """Another model of the same kind with other weights."""
    model = subject.model
    torch.manual_seed(1)  # what a constructor draws is another draw
    if subject.rebuild is not None:
        other = subject.rebuild()
    elif [*inspect.signature(type(model).__init__).parameters] == ["self"]:  # of the class, Python 3.10 tells __new__'s
        other = type(model)()
    else:
        other = copy.deepcopy(model)  # state outside the state_dict goes along and is not tested
    other = other.to(device=subject.device, dtype=subject.dtype)
    with torch.no_grad():
        for tensor in other.state_dict().values():
            if tensor.is_floating_point():
                tensor.normal_()
            else:
                tensor.zero_()
    return other


class _Float32Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts operations that round to float32 or lower; whole numbers, as of masks and counts, do not count."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count, self.first = 0, ""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for item in result if isinstance(result, (tuple, list)) else [result]:
            low = isinstance(item, Tensor) and item.dtype in (torch.float32, torch.float16, torch.bfloat16)
            if low and bool((item != item.round()).any()):
                self.count += 1
                self.first = self.first or str(func)
        return result
