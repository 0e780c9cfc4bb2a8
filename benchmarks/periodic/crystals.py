"""How good is a potential of periodic crystals? Errors, equation of state and elastic constants of Si; errors of Li.

Trains on the training frames of mlearn, energies, forces and stresses (PBE; strained cells, molecular dynamics up to
the melt, vacancies, surfaces), and tests on its test frames once. For Si the constants of diamond are computed

- from the set's own energies and stresses: its group "Elastic" has diamond strained uniaxially and in shear by up to
  10 %, atoms not relaxed, which a fit takes to zero strain (``elastic.py``);
- with the potential on the same frames, by the same fit;
- with the potential in its own cell: Birch-Murnaghan equation of state of the two-atom cell (smaller than the cutoff)
  and small strains, for C44 also with relaxed atoms.

No frame of the set has another volume at cubic shape, or relaxed atoms in a sheared cell: it does not determine the
relaxed C44 nor the pressure derivative of the bulk modulus. Its bulk modulus is (C11 + 2 C12) / 3.

    python -m benchmarks.periodic.crystals --element Si --data DIR --epochs 40    DIR holds Si_train.extxyz.gz ...
    python -m benchmarks.periodic.crystals table      Markdown tables of all result files
    python -m benchmarks.periodic.crystals --smoke    six seconds on four shipped frames, and the constants of EMT
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator
from ase.calculators.emt import EMT

from benchmarks.periodic.elastic import Strained, equation_of_state, fit_constants, measure, small_strain_constants
from benchmarks.periodic.picture import draw
from benchmarks.record import RESULTS, provenance, write
from pyg_mpnn import Potential, PotentialCalculator
from pyg_mpnn.training import TrainingSettings, train

FOLDER = RESULTS / "periodic"
SHIPPED = Path(__file__).parents[2] / "tests" / "data" / "assets" / "si.extxyz"
NOT_DETERMINED = "not determined by the set"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=("train", "table"), default="train")
    parser.add_argument("--element", choices=("Si", "Li"), default="Si")
    parser.add_argument("--data", help="folder with ELEMENT_{train,test}.extxyz.gz of mlearn")
    parser.add_argument("--size", default="base")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float, help="without this and --epochs: 12")
    length.add_argument("--epochs", type=int, help="the same on a core that others use too")
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--energy-weight", type=float, default=1.0, help="in the loss until it is raised at the end")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="folder to keep checkpoint, model card and pictures in")
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    if options.minutes is None and options.epochs is None:
        options.minutes = 12.0
    if options.part == "table":
        print(table())
    elif not options.smoke and options.data is None:
        parser.error("--data is needed (or --smoke)")
    else:
        run(options)


def run(options: argparse.Namespace) -> None:
    """Train, test, compute the properties of Si and write the result files."""
    if options.smoke:
        options.size, options.minutes, options.epochs = "small", 0.1, None
        check_elastic()
    files = [SHIPPED, SHIPPED]
    if options.data:
        files = [Path(options.data) / f"{options.element}_{split}.extxyz.gz" for split in ("train", "test")]
    folder = Path(tempfile.mkdtemp()) if options.smoke else FOLDER
    name = f"{options.element.lower()}-{options.size}-seed{options.seed}"
    record, potential = learn(options, files)
    if options.element == "Si" and not options.smoke:
        record["properties"], curves = silicon(files, PotentialCalculator(potential, dtype=torch.float64))
        folder.mkdir(parents=True, exist_ok=True)
        draw(folder / f"{name}.png", *curves)
    write(folder / f"{name}.json", record)


def learn(options: argparse.Namespace, files: list[Path]) -> tuple[dict[str, Any], Potential]:
    """Train and test; what the result file says about it, and the potential."""
    with tempfile.TemporaryDirectory() as scratch:
        settings = settings_of(options, files, f"{scratch}/run")
        start = time.process_time()
        result = train(settings)
        cpu_minutes = (time.process_time() - start) / 60
        card = json.loads((result.out / "model_card.json").read_text())
        if options.keep:
            shutil.copytree(result.out, options.keep, dirs_exist_ok=True)
    test = result.errors
    record = provenance() | {
        "element": options.element,
        "data": [file.name for file in files],
        "split": f"{card['data']['training_structures']} training and {card['data']['validation_structures']} "
        f"validation frames drawn from the training file, {test.n_structures} test frames",
        "size": options.size,
        "seed": options.seed,
        "minutes": options.minutes,
        "epochs": card["training"]["epochs_done"],
        "cpu_minutes": cpu_minutes,
        "batch_size": options.batch_size,
        "energy_weight": options.energy_weight,
        "stress_weight": settings.stress_weight,
        "parameters": sum(parameter.numel() for parameter in result.potential.parameters()),
        "units": "in the names",
        "card": card,
        "test": asdict(test),
        "trivial predictor": asdict(result.trivial),
    }
    return record, result.potential


def settings_of(options: argparse.Namespace, files: list[Path], out: str) -> TrainingSettings:
    """What the training is told; benchmarks/configs/periodic-ELEMENT.yaml says the same to `pyg-mpnn train`."""
    return TrainingSettings(
        data=str(files[0]),
        test=str(files[1]),
        out=out,
        valid_size=1 if options.smoke else 20,
        batch_size=options.batch_size,
        size=options.size,
        minutes=options.minutes,
        epochs=options.epochs,
        energy_weight=options.energy_weight,
        optimizer="adamw",
        seed=options.seed,
        threads=options.threads,
    )


def silicon(files: list[Path], calculator: Calculator) -> tuple[dict[str, Any], tuple[Any, ...]]:
    """The constants of diamond Si from the set and from the potential, and what the picture shows."""
    frames = [frame for file in files for frame in ase.io.read(file, ":") if frame.info["group"] == "Elastic"]
    unstrained = next(frame for frame in frames if is_cube(frame))
    cell, size = unstrained.cell.array, len(unstrained)
    length = float(unstrained.cell.lengths()[0]) / (size / 8) ** (1 / 3)
    reference = [measure(frame, cell) for frame in frames]
    predicted = []
    for frame in frames:
        frame = frame.copy()
        frame.calc = calculator
        predicted.append(measure(frame, cell))
    volume = unstrained.get_volume() / size
    own = own_constants("Si", "diamond", length, calculator)
    properties = {
        "frames": {"elastic": len(frames), "in the test file": groups(files[1]).count("Elastic")},
        "set": fit_constants(reference, volume, length),
        "potential, same frames and fit": fit_constants(predicted, volume, length),
        "potential, own cell": own,
        "unstrained_cell_lattice_constant_A": length,
    }
    return properties, (reference, predicted, volume, own)


def groups(file: Path) -> list[str]:
    """Group of each frame."""
    return [frame.info["group"] for frame in ase.io.read(file, ":")]


def is_cube(atoms: Atoms) -> bool:
    """Whether the cell is one."""
    return bool(np.allclose(atoms.cell.array, atoms.cell.lengths()[0] * np.eye(3), atol=1e-3))


def own_constants(symbol: str, structure: str, guess: float, calculator: Calculator) -> dict[str, Any]:
    """Lattice constant, bulk modulus and elastic constants that a calculator gives a cubic crystal."""
    states = equation_of_state(bulk(symbol, structure, a=guess), calculator)
    per_cell = len(bulk(symbol, structure, a=guess, cubic=True))
    length = (per_cell * states["volume_A3_per_atom"]) ** (1 / 3)
    crystal = bulk(symbol, structure, a=length, cubic=True)
    return {"lattice_constant_A": length, **states, **small_strain_constants(crystal, calculator)}


def check_elastic() -> None:
    """The three ways agree for a calculator with exact derivatives: copper with ASE's effective medium theory."""
    own = own_constants("Cu", "fcc", 3.6, EMT())
    cube = bulk("Cu", "fcc", a=own["lattice_constant_A"], cubic=True)
    samples: list[Strained] = []
    for size in np.linspace(-0.03, 0.03, 9):
        for row, column in ((0, 0), (0, 1)):
            change = np.zeros((3, 3))
            change[row, column] = change[column, row] = 2 * size
            atoms = cube.copy()  # F is the square root of 1 + 2 E; the lower triangular one, turned, serves as well
            atoms.set_cell(cube.cell @ np.linalg.cholesky(np.eye(3) + change), scale_atoms=True)
            atoms.calc = EMT()
            samples.append(measure(atoms, cube.cell.array))
    fitted = fit_constants(samples, cube.get_volume() / 4, own["lattice_constant_A"])
    pairs = {name: (fitted[name], own[name]) for name in ("C11_GPa", "C12_GPa", "C44_clamped_GPa", "bulk_modulus_GPa")}
    pairs |= {name: (fitted[name.replace("_GPa", "_from_energies_GPa")], own[name]) for name in ("C11_GPa",)}
    pairs |= {"lattice_constant_A": (fitted["lattice_constant_A"], own["lattice_constant_A"])}
    for name, (one, other) in pairs.items():
        if abs(one - other) > 0.02 * other:
            raise AssertionError(f"{name} of Cu (EMT) is {one:.3f} from large strains and {other:.3f} from small ones")


def table() -> str:
    """Markdown tables of all result files."""
    found = [json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))]
    rows = [["crystals", "size", "epochs", "CPU minutes", "frames", "energy MAE (meV/atom)"]]
    rows[0] += ["force MAE (meV/A)", "force RMSE (meV/A)", "stress MAE (GPa)"]
    rows.append(["---"] * len(rows[0]))
    for record in found:
        test, card = record["test"], record["card"]
        counts = [card["data"][f"{part}_structures"] for part in ("training", "validation", "test")]
        rows.append([record["element"], record["size"], str(record["epochs"]), f"{record['cpu_minutes']:.0f}"])
        rows[-1] += [" + ".join(map(str, counts))]
        rows[-1] += [f"{test['energy_mae_meV_per_atom']:.1f}", f"{test['forces_mae_meV_per_A']:.0f}"]
        rows[-1] += [f"{test['forces_rmse_meV_per_A']:.0f}", f"{test['stress_mae_GPa']:.2f}"]
    tables = ["\n".join("| " + " | ".join(row) + " |" for row in rows)]
    tables += [constants(record["properties"]) for record in found if "properties" in record]
    return "\n\n".join(tables)


def constants(properties: dict[str, Any]) -> str:
    """Table of the constants of Si."""
    columns = [properties[name] for name in ("set", "potential, same frames and fit", "potential, own cell")]
    quantities = [("lattice constant (A)", "lattice_constant_A", 3), ("bulk modulus (GPa)", "bulk_modulus_GPa", 1)]
    quantities += [(f"{name} (GPa)", f"{name}_GPa", 1) for name in ("C11", "C12")]
    quantities += [
        ("C11 (GPa), from energies", "C11_from_energies_GPa", 1),
        ("C44 (GPa), clamped", "C44_clamped_GPa", 1),
    ]
    quantities += [("C44 (GPa), clamped, from energies", "C44_clamped_from_energies_GPa", 1)]
    quantities += [("C44 (GPa), relaxed atoms", "C44_relaxed_GPa", 1)]
    quantities += [("bulk modulus, pressure derivative", "bulk_modulus_derivative", 2)]
    lines = [
        "| diamond Si | the set's own energies and stresses | potential, same frames and fit | potential, own cell |"
    ]
    lines.append("|---|---|---|---|")
    for title, name, decimals in quantities:
        cells = [f"{column[name]:.{decimals}f}" if name in column else "" for column in columns]
        lines.append(f"| {title} | {cells[0] or (NOT_DETERMINED if not cells[1] else '')} | {cells[1]} | {cells[2]} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
