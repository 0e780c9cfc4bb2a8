"""How should messages be summed over neighbours? PyTorch against torch-scatter, by index and in segments.

Sums and the softmax of an attention; value, first derivative, and the derivative of that one, as training with forces
needs it. Edges are sorted by receiver, so that each atom's messages are one segment. PyG's `EdgeIndex` speeds up
products of a sparse matrix with node features; for messages that edges hold PyG has `segment`, which is listed.

python -m benchmarks.speed.scatter             writes benchmarks/results/scatter.json
python -m benchmarks.speed.scatter --smoke     two repetitions, nothing written
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from importlib.metadata import version

import torch
from torch import Tensor
from torch_geometric.utils import segment
from torch_scatter import segment_csr

from benchmarks.record import RESULTS, provenance, write
from pyg_mpnn import SoftmaxAttention, scatter_backend
from pyg_mpnn.scatter import scatter_sum

SIZES = ((72, 8, 32), (72, 8, 144), (672, 17, 32), (672, 17, 144), (10_000, 28, 32))  # atoms, neighbours, channels
PARTS = ("value", "first derivative", "second derivative")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    repeats = 2 if options.smoke else 50
    records = [record for size in SIZES[: 1 if options.smoke else None] for record in measure(*size, repeats)]
    result = provenance() | {"torch-scatter": version("torch-scatter"), "repeats": repeats, "records": records}
    if options.smoke:
        print(json.dumps(records, indent=2))
    else:
        write(RESULTS / "scatter.json", result)


def measure(atoms: int, neighbors: int, channels: int, repeats: int) -> list[dict[str, object]]:
    """Times of every way, interleaved: value, first and second derivative; a way without a derivative says so."""
    torch.manual_seed(0)
    target = torch.arange(atoms).repeat_interleave(neighbors)
    starts = torch.arange(atoms + 1) * neighbors
    edge_index = torch.stack([torch.randint(atoms, target.shape), target])
    messages = torch.randn(len(target), channels, requires_grad=True)
    x, envelope = torch.randn(atoms, 16), torch.rand(len(target))
    attention = SoftmaxAttention(16, channels)
    works: dict[tuple[str, str], Callable[[], Tensor]] = {
        ("sum", "torch index_add"): lambda: scatter_sum(messages, target, atoms),
        ("sum", "torch-scatter scatter"): with_scatter(lambda: scatter_sum(messages, target, atoms)),
        ("sum", "torch segment_reduce"): lambda: torch.segment_reduce(messages, "sum", offsets=starts),
        ("sum", "torch-scatter segment_csr"): lambda: segment_csr(messages, starts),
        ("sum", "PyG segment"): lambda: segment(messages, starts),
        ("softmax attention", "torch"): lambda: attention(x, edge_index, messages, envelope),
        ("softmax attention", "torch-scatter"): with_scatter(lambda: attention(x, edge_index, messages, envelope)),
    }
    times: dict[tuple[str, str, str], list[float]] = {(*key, part): [] for key in works for part in PARTS}
    missing: dict[tuple[str, str], str] = {}
    for _ in range(repeats + 5):
        for key, work in works.items():
            marks = [time.perf_counter()]
            try:
                loss = work().square().sum()
                marks.append(time.perf_counter())
                (first,) = torch.autograd.grad(loss, messages, create_graph=True)
                marks.append(time.perf_counter())
                torch.autograd.grad(first.square().sum(), messages)
                marks.append(time.perf_counter())
            except RuntimeError as error:
                missing[key] = str(error).splitlines()[0]
            for part, start, end in zip(PARTS, marks, marks[1:], strict=False):
                times[(*key, part)].append(1e6 * (end - start))
    records: list[dict[str, object]] = []
    for (work_name, way, part), values in times.items():
        record = {
            "work": work_name,
            "way": way,
            "part": part,
            "atoms": atoms,
            "edges": len(target),
            "channels": channels,
        }
        kept = sorted(values[5:])
        quantile = {q: kept[int(q * (len(kept) - 1))] for q in (0.1, 0.5, 0.9)} if kept else {}
        numbers = {"median_us": quantile[0.5], "p10_us": quantile[0.1], "p90_us": quantile[0.9]} if kept else {}
        records.append(record | (numbers or {"error": missing[work_name, way]}))
    return records


def with_scatter(work: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """The same with torch-scatter as the package's backend."""

    def run() -> Tensor:
        with scatter_backend("torch-scatter"):
            return work()

    return run


if __name__ == "__main__":
    main()
