"""``pyg-mpnn export``: a potential as a file that runs without this package."""

from __future__ import annotations

from pathlib import Path

from pyg_mpnn.files import refuse_input_as_output
from pyg_mpnn.models import open_potential
from pyg_mpnn.models.checks import choose_device


def export_command(
    model: str,
    out: str,
    dtype: str | None = None,
    device: str = "auto",
    inputs: dict[str, float] | None = None,
    trust: list[str] | None = None,
) -> Path:
    """Write energy, forces and stress of one structure as an AOTInductor package, for Python or C++.

    The package takes ``z, pos, edge_index, shifts, cell`` and needs torch, not this package: examples/export shows both
    languages. Compiling takes a minute or more and, for the CPU, a C++ compiler; what comes of it is compared with
    eager evaluation before it is written.

    Args:
        model: Checkpoint of a training (best.ckpt) or saved potential, or Python code of yours as file.py:name or
            package.module:name.
        out: File to write; its name ends in .pt2. An existing one is replaced.
        dtype: Precision to compute in, float32 or float64; by default that of the potential. Input and output are
            float64 in any case.
        device: Where the package is to run: auto (a GPU if there is one here), cpu, cuda or cuda:0.
        inputs: A number for each of what the potential reads of a structure, for example --inputs.charge 1; the package
            has it for good.
        trust: Code of your own that the model is made of and that may run, for example my_net.py.

    Returns:
        The file.

    Units:
        A in; eV, eV/A, eV/A^3 out.

    Raises:
        ValueError: The name does not end in .pt2, the precision is another one, the device is not there, or a number
            that the potential reads is missing.
    """
    import torch

    target = Path(out)
    if target.suffix != ".pt2":
        raise ValueError(f"'out' must end in .pt2, got {out}")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"'out' must lie in a folder that exists, got {out}")
    if dtype not in (None, "float32", "float64"):
        raise ValueError(f"'dtype' must be float32 or float64, got {dtype!r}")
    refuse_input_as_output("out", target, [model])
    place = choose_device(device)
    potential = open_potential(model, trust=trust)
    potential.to(device=place, dtype=None if dtype is None else getattr(torch, dtype)).export(target, inputs=inputs)
    size = target.stat().st_size / 1e6
    fixed = "".join(f", at {name} {value:g}" for name, value in (inputs or {}).items())
    print(f"Written to {target}, {size:.1f} MB, for {place}{fixed}: z, pos, edge_index, shifts, cell in this order")
    return target
