"""Which package should sum over neighbours? PyTorch against torch-scatter, sums and softmax, with derivatives.

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

from benchmarks.record import RESULTS, provenance, write
from pyg_mpnn import SoftmaxAttention, scatter_backend
from pyg_mpnn.scatter import scatter_sum

SIZES = ((72, 8, 32), (72, 8, 144), (672, 17, 32), (672, 17, 144), (10_000, 28, 32))  # atoms, neighbours, channels
BACKENDS = ("torch", "torch-scatter")


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
    """Times of both packages, interleaved: value, and value with first derivative."""
    torch.manual_seed(0)
    target = torch.arange(atoms).repeat_interleave(neighbors)
    edge_index = torch.stack([torch.randint(atoms, target.shape), target])
    messages = torch.randn(len(target), channels, requires_grad=True)
    x, envelope = torch.randn(atoms, 16), torch.rand(len(target))
    attention = SoftmaxAttention(16, channels)
    works: dict[str, Callable[[], torch.Tensor]] = {
        "sum": lambda: scatter_sum(messages, target, atoms),
        "softmax attention": lambda: attention(x, edge_index, messages, envelope),
    }
    records = []
    for name, work in works.items():
        times: dict[tuple[str, str], list[float]] = {(b, p): [] for b in BACKENDS for p in ("value", "with gradient")}
        for _ in range(repeats + 5):
            for backend in BACKENDS:
                with scatter_backend(backend):  # type: ignore[arg-type]
                    start = time.perf_counter()
                    result = work()
                    middle = time.perf_counter()
                    torch.autograd.grad(result.square().sum(), messages)
                    end = time.perf_counter()
                times[backend, "value"].append(1e6 * (middle - start))
                times[backend, "with gradient"].append(1e6 * (end - start))
        for (backend, part), values in times.items():
            kept = sorted(values[5:])
            quantile = {q: kept[int(q * (len(kept) - 1))] for q in (0.1, 0.5, 0.9)}
            records.append(
                {"work": name, "part": part, "backend": backend, "atoms": atoms, "edges": len(target)}
                | {"channels": channels, "median_us": quantile[0.5], "p10_us": quantile[0.1], "p90_us": quantile[0.9]}
            )
    return records


if __name__ == "__main__":
    main()
