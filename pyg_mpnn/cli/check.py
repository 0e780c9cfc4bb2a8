"""``pyg-mpnn check``: a potential and the laws of physics."""

from __future__ import annotations

import functools
import sys
from typing import Any, Literal

from pyg_mpnn.data.labels import LengthUnit
from pyg_mpnn.deploy import threads_for
from pyg_mpnn.files import refuse_input_as_output, write_text
from pyg_mpnn.models import EnergyModel
from pyg_mpnn.models.checks import choose_device
from pyg_mpnn.models.files import open_model
from pyg_mpnn.models.rebuild import rebuild
from pyg_mpnn.testing import Report


def check_command(
    model: str,
    structures: str | None = None,
    count: int = 2,
    dtype: Literal["float64", "float32"] = "float64",
    cutoff: list[float] | None = None,
    json: str | None = None,
    picture: str | None = None,
    device: str = "auto",
    threads: int | None = None,
    length_unit: LengthUnit | None = None,
    types: str | None = None,
    trust: list[str] | None = None,
    strict: bool = False,
) -> Report:
    """Hold a potential to the laws of physics; the exit code is 0 if all hold and 3 if one is broken.

    Args:
        model: Checkpoint of a training (best.ckpt), saved potential, or a Python object as ``package.module:name`` or
            ``file.py:name``: a model, or a class or function without arguments that makes one.
        structures: File of structures that the model knows, in any format that training reads; labels are not needed.
            The word ``ethanol`` means the shipped structures. Without it, training structures that the file of the
            model keeps; ``ethanol`` for code, and for an older file whose model knows those elements.
        count: Number of structures to use, evenly spaced in the file.
        dtype: Precision to check in.
        cutoff: Cutoff radii of the model, in A; its own attribute ``cutoff`` or ``cutoffs`` without it.
        json: File to write the report to.
        picture: File to draw energy and force along a bond scan to, for example scan.png.
        device: Where to compute: auto (a GPU if there is one), cpu, cuda or cuda:0.
        threads: Number of CPU threads; PyTorch decides without it.
        length_unit: Unit of positions and cells in the file; angstrom without it.
        types: Elements of the numbered types of a LAMMPS file, for instance 1=Cu,2=Ag.
        trust: Code of your own that a saved model is made of and that may run, for example my_net.py.
        strict: Whether findings (atoms that attract each other where no data are) count as broken laws.

    Returns:
        The report.

    Units:
        eV, A.
    """
    import torch
    from tqdm import tqdm

    from pyg_mpnn.data import LabelNames
    from pyg_mpnn.data.labels import parse_types
    from pyg_mpnn.data.read import load_frames
    from pyg_mpnn.data.record import kept_distances, kept_structures
    from pyg_mpnn.testing import FINDINGS, LAWS, bond_scan, check_potential, draw_scan

    for name, out in (("json", json), ("picture", picture)):
        refuse_input_as_output(name, out, [model, *([] if structures is None else [structures])])
    if count < 1:
        raise ValueError(f"'count' must be at least 1, got {count}")
    threads = threads_for("off", threads)
    if threads is not None:
        torch.set_num_threads(threads)
    place = choose_device(device)
    potential = open_model(model, trust=trust or ())
    if isinstance(potential, torch.nn.Module):
        potential = potential.to(place)
    elif device not in ("auto", "cpu"):
        raise ValueError(f"'device' must be left out for {model}, which is no module of torch, got {device!r}")
    record = getattr(potential, "record", {})
    known = kept_structures(record) if structures is None else []
    if known:
        print(f"On training structures that {model} keeps ({len(known)}; --structures takes others)")
    else:
        labels = LabelNames(length_unit=length_unit, types=parse_types(types))
        known = load_frames(structures or _sample_for(potential, model), "test", labels, wanted=())
    if inputs := getattr(potential, "graph_inputs", ()):
        print(f"With {' and '.join(f'{name} 0' for name in inputs)} in all structures, also those that the laws make")
    frames = known[:: max(1, len(known) // count)][:count]
    adapter: dict[str, Any] = {"cutoff": cutoff, "dtype": getattr(torch, dtype), "name": model}
    if isinstance(potential, EnergyModel):
        adapter["rebuild"] = functools.partial(rebuild, potential)
    with tqdm(total=len(LAWS) + len(FINDINGS), unit="law", leave=False, disable=not sys.stderr.isatty()) as bar:

        def progress(name: str) -> None:
            bar.set_description(name)
            bar.update()

        options: dict[str, Any] = {"distances": kept_distances(record), "strict": strict}
        report = check_potential(potential, frames, progress=progress, **options, **adapter)
    print(report)
    for name in report.failed if not report.errors else ():
        print(f"  {report.results[name]}")
    if "repulsion" in report.warnings:
        print("  Dynamics at high temperature or pressure may end there. Train with --zbl, or add ZBL() to the model.")
    if json is not None:
        write_text(json, report.to_json() + "\n")
        print(f"Written to {json}")
    if picture is not None:
        try:
            draw_scan(bond_scan(potential, frames, **adapter), picture, title=model)
            print(f"Drawn to {picture}")
        except Exception as error:  # the verdict stands whatever the model does on the scan
            print(f"Not drawn: {error}")
    return report


def _sample_for(potential: Any, model: str) -> str:
    """The shipped structures, if the model may know them."""
    needed = {1, 6, 8}
    if isinstance(potential, EnergyModel) and not needed <= set(potential.elements):
        raise ValueError(
            f"'structures' must be given for {model}, which keeps no training structures and does not know those of "
            "ethanol (H, C, O): pass --structures FILE with some that it knows"
        )
    return "ethanol"
