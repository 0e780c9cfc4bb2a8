"""Are published potentials, composed from our blocks, the same functions, and which laws do they break?

    python -m benchmarks.architectures              both questions: results/architectures/*.json; then the page
    python -m benchmarks.architectures --page       only the tables of examples/architectures/README.md
    python -m benchmarks.architectures --smoke      a few laws, nothing written

Equality: on the outputs of the originals in examples/architectures/references. Laws: `check_potential` with random
weights (seed 0, biases of 0.1), 64 channels, 3 layers, 5 A, scaled to an RMS force of 2 eV/A, on ethanol and a
distorted primitive cell of silicon carbide, as in benchmarks.laws.run. How long they take, beside the originals:

    python benchmarks/speed/compare.py --keep-memory --cpu-time --works aspirin32 --json FILE
        --models schnet,our-schnet,painn,our-painn --modes eager,torchscript,our-schnet:compiled,our-painn:compiled

with FILE benchmarks/results/speed/architectures.json; CPU time, because other work ran on the machine.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch_geometric.nn import SchNet

from benchmarks.laws.run import REFERENCE
from benchmarks.record import RESULTS, provenance, write
from benchmarks.speed import table
from pyg_mpnn import Potential
from pyg_mpnn.testing import LAWS, Report, check_potential, crystal, laws, molecule

HERE = Path(__file__).resolve().parents[1] / "examples" / "architectures"
FOLDER = RESULTS / "architectures"
PAGE = HERE / "README.md"
MARK = "<!-- made by python -m benchmarks.architectures, do not edit below -->\n"
NAMES = {"schnet": "SchNet", "painn": "PaiNN"}
ORIGINALS = {"schnet": "PyG", "painn": "SchNetPack"}
# of the laws; the last is no published one, but says what breaks PaiNN's laws
VARIANTS = {"SchNet": ("schnet", {}), "PaiNN": ("painn", {}), "PaiNN, eps 0.01": ("painn", {"eps": 0.01})}
SIZES = {"cutoff": 5.0, "hidden_channels": 64, "num_layers": 3, "num_radial": 20}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--page", action="store_true")
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.smoke:
        for variant in VARIANTS:
            print(checked(variant, torch.float64, [laws.rotation, laws.forces]))
        return
    if not options.page:
        write(
            FOLDER / "equality.json", provenance() | {"records": [record for name in NAMES for record in equal(name)]}
        )
        for variant in VARIANTS:
            for dtype in (torch.float64, torch.float32):
                report = checked(variant, dtype)
                print(report, flush=True)
                path = laws_file(variant, str(dtype).removeprefix("torch."))
                write(path, provenance() | {"weights": "random weights, seed 0"} | report.to_dict())
    PAGE.write_text(page())
    print(f"written to {PAGE}")


def architecture(name: str) -> ModuleType:
    """The file of an architecture in examples/architectures."""
    if str(HERE) not in sys.path:
        sys.path.insert(0, str(HERE))
    return importlib.import_module(name)


def taken_over(name: str, file: Any, dtype: torch.dtype) -> Potential:
    """The composition with the weights of the original."""
    weights = {key.removeprefix("weights/"): torch.from_numpy(file[key]) for key in file.files if "/" in key}
    if name == "painn":
        return architecture(name).take_over({key: value.to(dtype) for key, value in weights.items()})
    sizes = {"hidden_channels": weights["lin1.weight"].shape[1]}
    sizes["num_filters"] = weights["interactions.0.mlp.2.weight"].shape[0]
    sizes["num_interactions"] = sum(key.endswith(".lin.weight") for key in weights)
    sizes["num_gaussians"] = len(weights["distance_expansion.offset"])
    original = SchNet(cutoff=float(file["cutoff"]), **sizes).to(dtype)
    original.load_state_dict(weights)
    return architecture(name).take_over(original)


def equal(name: str) -> list[dict[str, Any]]:
    """Largest difference from the original, over the spread of what it gives."""
    records = []
    with np.load(HERE / "references" / f"{name}.npz") as file:
        z, pos = torch.from_numpy(file["z"]), torch.from_numpy(file["pos"])
        for dtype in (torch.float64, torch.float32):
            label = str(dtype).removeprefix("torch.")
            potential = taken_over(name, file, dtype)
            batch = torch.arange(len(pos)).repeat_interleave(len(z))
            output = potential(z.repeat(len(pos)), pos.flatten(0, 1).to(dtype), batch)
            record = {"model": name, "dtype": label, "frames": len(pos), "original": str(file["versions"])}
            for key, found in (("energy", output.energy), ("forces", output.forces)):
                wanted = file[f"{key}_{label}"]
                difference = np.abs(found.detach().numpy().reshape(wanted.shape) - wanted).max()
                record[f"{key}_difference_over_spread"] = float(difference / wanted.std())
            records.append(record)
    return records


def laws_file(variant: str, dtype: str) -> Path:
    """Where the verdicts on a composition are."""
    return FOLDER / f"laws-{variant.lower().replace(', ', '-').replace(' ', '-')}-{dtype}.json"


def composed(name: str, sizes: dict[str, float]) -> Potential:
    """The composition with seeded random weights."""
    torch.manual_seed(0)
    potential = architecture(name).potential(**sizes)
    with torch.no_grad():
        for key, parameter in potential.named_parameters():
            if key.endswith("bias"):
                parameter += 0.1 * torch.randn_like(parameter)
    potential.set_reference(REFERENCE, 1.0)
    forces = potential(molecule()).forces
    assert forces is not None
    potential.set_reference(REFERENCE, 2.0 / float(forces.detach().square().mean().sqrt()))
    return potential


def checked(variant: str, dtype: torch.dtype, chosen: Any = LAWS) -> Report:
    """The laws on a composition."""
    name, options = VARIANTS[variant]
    sizes = SIZES | options
    rebuild = functools.partial(architecture(name).potential, **sizes)
    structures = [molecule(), crystal()]
    potential = composed(name, sizes)
    return check_potential(potential, structures, dtype=dtype, name=variant, rebuild=rebuild, laws=chosen)


def page() -> str:
    """README.md with its tables made anew."""
    head = PAGE.read_text().partition(MARK)[0]
    return f"{head}{MARK}\n{equality_table()}\n\n{speed_table()}\n\n{laws_table()}\n"


def equality_table() -> str:
    """How equal the compositions are."""
    rows = [table.row(["", "dtype", "energy", "forces", "original"]), "|---" * 5 + "|"]
    records = json.loads((FOLDER / "equality.json").read_text())["records"]
    for record in records:
        numbers = [f"{record[f'{key}_difference_over_spread']:.0e}" for key in ("energy", "forces")]
        rows.append(table.row([NAMES[record["model"]], record["dtype"], *numbers, record["original"]]))
    text = f"Largest difference over the spread (standard deviation) on {records[0]['frames']} frames of ethanol:"
    return "\n".join([text, "", *rows])


def speed_table() -> str:
    """Milliseconds of the originals and of the compositions, each mode."""
    result = json.loads((RESULTS / "speed" / "architectures.json").read_text())
    rows = [table.row(["work", "model", "mode", "ms", "10 to 90 %", "original eager / this"]), "|---" * 6 + "|"]
    for work in dict.fromkeys(record["work"] for record in result["records"]):
        for name in NAMES:
            found = [
                record for record in result["records"] if record["work"] == work and record["model"].endswith(name)
            ]
            eager = next(
                record["median_ms"] for record in found if (record["model"], record["mode"]) == (name, "eager")
            )
            for record in found:
                kind = "composed" if record["model"].startswith("our-") else ORIGINALS[name]
                cells = [f"{work} ({record['atoms']} atoms)", f"{NAMES[name]}, {kind}", record["mode"]]
                if "error" in record:
                    rows.append(table.row([*cells, "did not run", record["error"].replace("|", "/"), ""]))
                    continue
                cells += [table.number(record["median_ms"])]
                cells += [f"{table.number(record['p10_ms'])} to {table.number(record['p90_ms'])}"]
                rows.append(table.row([*cells, f"{eager / record['median_ms']:.2f}"]))
    text = (
        f"Energies and forces, float32, one thread, cutoff 5 A; medians of {result['clock']}, calls of all models in "
        f"{result['rounds']} rounds:"
    )
    return "\n".join([text, "", *rows, "", compiled_originals()])


def compiled_originals() -> str:
    """What torch.compile makes of the originals, from the comparison of all peers."""
    found = json.loads((RESULTS / "speed" / "inference-kept.json").read_text())["records"]
    times = {
        (record["model"], record["mode"]): record["median_ms"] for record in found if record["work"] == "aspirin32"
    }
    gains = [f"{NAMES[name]} {times[name, 'eager'] / times[name, 'compiled']:.2f}" for name in NAMES]
    return (
        "`torch.compile` of the originals was timed in another run, on a quiet machine (`speed/inference-kept.json`):\n"
        f"eager / compiled is {', '.join(gains)}; SchNetPack does not document it. This run shared its core with other "
        "work,\nand another core was busy."
    )


def laws_table() -> str:
    """Laws that each breaks."""
    rows = [table.row(["", "dtype", "hold", "do not apply", "broken: measured, allowed"]), "|---" * 5 + "|"]
    for variant in VARIANTS:
        for dtype in ("float64", "float32"):
            report = json.loads(laws_file(variant, dtype).read_text())
            results = report["results"]
            count = {word: sum(result["verdict"] == word for result in results.values()) for word in ("pass", "n/a")}
            broken = [
                f"`{law}`: {result['value']:.2g}, {result['tolerance']:.2g} {result['unit']}"
                if isinstance(result["value"], float)
                else f"`{law}`: {result['reason']}"
                for law, result in results.items()
                if result["verdict"] == "fail"
            ]
            cells = [variant, dtype, f"{count['pass']} of {len(results)}", str(count["n/a"])]
            rows.append(table.row([*cells, "; ".join(broken) or "none"]))
    return "\n".join(["Laws of `check` on the compositions, random weights, ethanol and silicon carbide:", "", *rows])


if __name__ == "__main__":
    main()
