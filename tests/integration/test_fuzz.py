"""Random calls and damaged files: eager, compiled and exported code agree or raise an error that names the argument.

Seeded; each test stops after its share of 60 seconds, and says so if that left too few cases.
"""

from __future__ import annotations

import copy
import random
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from pyg_mpnn import Potential, RadiusGraph, load_potential
from pyg_mpnn.data import ethanol, read_structures

pytestmark = [
    pytest.mark.usefixtures("unchecked"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning"),
]
CUTOFF = 4.0
SECONDS = {"calls": 12.0, "files": 6.0}
FEWEST = {"calls": 60, "files": 40}
SMALL = {"hidden_channels": 8, "edge_dim": 4, "channels": 2, "num_layers": 1, "num_radial": 4, "l_max": 1}
ELEMENTS = (1, 6, 8, 14)


def spread(tensor: Tensor) -> Tensor:
    block = tensor.new_ones(2 * tensor.numel() + 1)
    return block[1::2].copy_(tensor.flatten()).unflatten(0, tensor.shape)


def offset(tensor: Tensor) -> Tensor:
    return torch.cat([tensor.flatten()[:1], tensor.flatten()])[1:].view(tensor.shape)


def inference(tensor: Tensor) -> Tensor:
    with torch.inference_mode():
        return tensor.clone()


# what changes no number
HARMLESS: dict[str, Callable[[Tensor], Tensor]] = {
    "transposed memory": lambda t: t.mT.contiguous().mT if t.dim() > 1 else spread(t),
    "first axis last": lambda t: t.movedim(0, -1).contiguous().movedim(-1, 0),
    "spread": spread,
    "offset": offset,
    "inference mode": inference,
    "parameter": lambda t: nn.Parameter(t, requires_grad=t.is_floating_point()),
    "narrow integers": lambda t: t if t.is_floating_point() or t.dtype == torch.bool else t.to(torch.int32),
    "needs a gradient": lambda t: t.clone().requires_grad_() if t.is_floating_point() else t,
}


def with_value(tensor: Tensor, value: float) -> Tensor:
    changed = tensor.clone()
    changed.view(-1)[0] = value
    return changed


# what must be an error, with the names of which one is in the message
HARMFUL: dict[str, tuple[str, Callable[[Tensor], Any], tuple[str, ...]]] = {
    "z of no element": ("z", lambda t: with_value(t, 0), ("z",)),
    "z not trained on": ("z", lambda t: with_value(t, 9), ("z",)),
    "z of fractions": ("z", lambda t: t + 0.5, ("z",)),
    "z in a column": ("z", lambda t: t[:, None], ("z",)),
    "a z too few": ("z", lambda t: t[1:], ("z", "pos", "edge_index")),
    "pos not finite": ("pos", lambda t: with_value(t, float("nan")), ("pos",)),
    "pos in the plane": ("pos", lambda t: t[:, :2], ("pos",)),
    "pos of integers": ("pos", lambda t: t.long(), ("pos",)),
    "pos of NumPy": ("pos", lambda t: t.numpy(), ("pos",)),
    "batch in disorder": ("batch", lambda t: t.flip(0) + torch.arange(len(t)) % 2, ("batch",)),
    "batch too short": ("batch", lambda t: t[1:], ("batch",)),
    "edges of no atom": ("edge_index", lambda t: with_value(t, 10**6), ("edge_index",)),
    "edges in one row": ("edge_index", lambda t: t[:1], ("edge_index",)),
    "an edge to itself": (
        "edge_index",
        lambda t: torch.cat([t[:1, :1].expand(2, 1), t[:, 1:]], 1),
        ("edge_index", "pos"),
    ),
    "shifts of half a cell": ("shifts", lambda t: t + 0.5, ("shifts",)),
    "shifts too few": ("shifts", lambda t: t[1:], ("shifts",)),
    "cell without volume": ("cell", lambda t: torch.zeros_like(t), ("cell",)),
    "cell not finite": ("cell", lambda t: with_value(t, float("inf")), ("cell",)),
    "pbc of numbers": ("pbc", lambda t: t.double() * 0.5, ("pbc",)),
    "pbc left out": ("pbc", lambda t: None, ("pbc", "cell")),
}


def structures(draw: random.Random) -> Batch:
    """One to four random molecules or crystals with edges; atoms at least 0.7 A apart."""
    periodic, frames = draw.random() < 0.6, []
    for _ in range(draw.randint(1, 4)):
        size = draw.uniform(3.0, 6.0)
        placed: list[list[float]] = []
        while len(placed) < draw.randint(2, 6):
            point = [draw.uniform(0.0, size) for _ in range(3)]
            if all(np.linalg.norm(np.subtract(point, other)) > 0.7 for other in placed):
                placed.append(point)
        frame = Data(z=torch.tensor([draw.choice(ELEMENTS) for _ in placed]), pos=torch.tensor(placed).double())
        if periodic:
            frame.cell = torch.eye(3, dtype=torch.float64)[None] * (size + 0.8)
            frame.cell[0, 1, 0] = draw.uniform(-1.0, 1.0)
            frame.pbc = torch.tensor([[True, True, draw.random() < 0.7]])
        frames.append(RadiusGraph(CUTOFF)(frame))
    return Batch.from_data_list(frames)


def arguments(batch: Batch) -> dict[str, Any]:
    names = ("z", "pos", "batch", "edge_index", *(("cell", "pbc", "shifts") if "cell" in batch else ()))
    return {name: batch[name].detach().clone() for name in names}


def call(potential: Any, given: dict[str, Any]) -> Any:
    """Energies, forces and, of crystals, stress; or the error."""
    tensors = {"data" if name == "z" else name: value for name, value in given.items()}
    try:
        found = potential(**tensors, stress="cell" in given)
    except Exception as error:  # which it may be is what is tested
        return error
    return [value for value in (found.energy, found.forces, found.stress) if value is not None]


def cases(what: str) -> Iterator[random.Random]:
    """A generator of numbers for each case: as many as there is time for, but not fewer than needed (some compile)."""
    start, number = time.monotonic(), 0
    while number < FEWEST[what] or time.monotonic() - start < SECONDS[what]:
        yield random.Random(f"{what} {number}")
        number += 1


@pytest.fixture(scope="module")
def eager() -> Potential:
    torch.manual_seed(0)
    potential = Potential.from_size("small", **SMALL, cutoff=CUTOFF, zbl=True).double().eval()
    potential.set_reference(dict.fromkeys(ELEMENTS, -1.0), 0.5, [6.0])
    return potential


def agree(found: Any, wanted: list[Tensor]) -> bool:
    return not isinstance(found, Exception) and all(
        torch.allclose(one.detach(), other.detach(), rtol=1e-9, atol=1e-9)
        for one, other in zip(found, wanted, strict=True)
    )


@pytest.mark.long
def test_calls(eager: Potential, tmp_path: Path) -> None:
    """Whatever holds the numbers, the three agree; whatever they are, an error has the name of the argument."""
    if shutil.which("g++") is None:
        pytest.skip("no C++ compiler g++")
    compiled = copy.deepcopy(eager).compile("on")
    package = tmp_path / "potential.pt2"
    eager.export(package)
    exported = torch._inductor.aoti_load_package(str(package))
    call(compiled, arguments(structures(random.Random(0))))
    seen = {"agree": 0, "exported": 0, "refused": 0}
    for draw in cases("calls"):
        batch = structures(draw)
        given = arguments(batch)
        wanted = call(eager, given)
        if isinstance(wanted, Exception):  # atoms of two images at one place, for instance
            assert isinstance(wanted, ValueError), repr(wanted)
            assert type(call(compiled, given)) is type(wanted)
            continue
        changed, done = dict(given), []
        for name in draw.sample(sorted(given), draw.randint(1, len(given))):
            form = draw.choice(sorted(HARMLESS))
            changed[name] = HARMLESS[form](given[name])
            done.append((name, form))
        for potential in (eager, compiled):
            found = call(potential, changed)
            assert agree(found, wanted), (done, found)
        seen["agree"] += 1
        if batch.num_graphs == 1 and bool(batch.get("pbc", torch.zeros(1)).all()) and batch.num_edges > 1:
            whole = given["z"], given["pos"], given["edge_index"], given["shifts"].long(), given["cell"][0], ()
            energy, forces, stress, _ = exported(*whole)
            assert agree([energy[None], forces, stress[None]], wanted)
            seen["exported"] += 1
        possible = [name for name, (of, *_) in sorted(HARMFUL.items()) if of in given and given[of].numel()]
        fault = draw.choice([name for name in possible if name != "an edge to itself" or "shifts" not in given])
        name, spoil, named = HARMFUL[fault]
        spoiled = {**given, name: spoil(given[name])}
        for potential in (eager, compiled):
            found = call(potential, spoiled)
            assert isinstance(found, (ValueError, TypeError)), (fault, found)
            assert any(f"'{word}'" in str(found) for word in named), (fault, str(found))
        seen["refused"] += 1
    assert min(seen.values()) > 3, seen


def flipped(content: bytes, draw: random.Random) -> bytes:
    changed = bytearray(content)
    changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


@pytest.mark.long
def test_files(eager: Potential, tmp_path: Path) -> None:
    """A file with one flipped bit is an error, or is read to the same bits."""
    eager.save(tmp_path / "model.pt")
    frame = ethanol("test")[:20]
    np.savez(
        tmp_path / "data.npz",
        nuclear_charges=frame[0].z.numpy(),
        coords=np.stack([one.pos.numpy() for one in frame]),
        energies=np.array([float(one.energy) for one in frame]),
        forces=np.stack([one.forces.numpy() for one in frame]),
    )

    def of_model(path: Path) -> Any:
        potential = load_potential(path)
        return [potential.config, *(value.numpy().tobytes() for value in potential.state_dict().values())]

    def of_data(path: Path) -> Any:
        return [value.numpy().tobytes() for one in read_structures(path) for _, value in sorted(one.to_dict().items())]

    whole = {name: (tmp_path / name).read_bytes() for name in ("model.pt", "data.npz")}
    read = {"model.pt": of_model, "data.npz": of_data}
    wanted = {name: read[name](tmp_path / name) for name in whole}
    messages = []
    for draw in cases("files"):
        name = draw.choice(sorted(whole))
        path = tmp_path / f"flipped-{name}"
        path.write_bytes(flipped(whole[name], draw))
        try:
            found = read[name](path)
        except ValueError as error:
            messages.append(str(error))
        else:
            assert found == wanted[name], f"{name} is read to other values"
    assert len(messages) > 20
    assert not [message for message in messages if "flipped-" not in message]
