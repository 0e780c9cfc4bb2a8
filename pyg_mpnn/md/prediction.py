"""Energies, forces and stresses of the structures of a file, into a file."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any, Literal

import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io.extxyz import write_extxyz
from ase.stress import full_3x3_to_voigt_6_stress
from torch_geometric.data import Batch, Data
from tqdm import tqdm

from pyg_mpnn.data.convert import to_data
from pyg_mpnn.data.formats import find_format
from pyg_mpnn.data.labels import LabelNames, LengthUnit, parse_types
from pyg_mpnn.data.read import SAMPLE, iterate_structures, unused_values
from pyg_mpnn.deploy import threads_for
from pyg_mpnn.files import refuse_input_as_output, write_whole
from pyg_mpnn.md.entrance import cpu_threads, note_unlike_trained
from pyg_mpnn.md.graph_inputs import graph_inputs, names_of_inputs
from pyg_mpnn.models import EnergyModel, open_potential
from pyg_mpnn.models.checks import choose_device

__all__ = ["run_prediction"]

_LABELS = ("energy", "forces", "stress", "energies", "free_energy", "virial")


def run_prediction(
    model: str | Path,
    structures: str | Path,
    out: str | Path,
    *,
    stress: bool = False,
    batch_size: int = 32,
    overwrite: bool = False,
    dtype: Literal["float32", "float64"] | None = None,
    device: str = "auto",
    threads: int | None = None,
    compile: Literal["auto", "on", "off"] = "off",
    trust: list[str] | None = None,
    length_unit: LengthUnit | None = None,
    types: str | None = None,
) -> int:
    """Write energies, forces and atom energies of the structures of a file as extended XYZ.

    Per structure ``energy`` and, if asked for, ``stress`` of crystals and slabs; per atom ``forces`` and ``energies``,
    whose sum is the energy: ASE's names, so that ``ase.io.read`` gives them as results of a calculator. Other outputs
    of the model have their own names; they read the ``charge`` of a structure, neutral without one. Structures keep
    their order and what they carry, except labels (energy, forces, stress and the same with ``REF_``), which would be
    taken for predictions. Columns of numbers have 8 decimals, as ASE writes them. The file appears when it is complete.

    Args:
        model: saved potential or training checkpoint, or Python code of yours as file.py:name or package.module:name.
        structures: file of structures, in any format that training reads; labels are not needed. The
            word ethanol means the shipped test structures.
        out: file to write; its name ends in .xyz or .extxyz.
        stress: predict stresses too, of the structures that are periodic in two or three directions.
        batch_size: structures per batch; it changes the speed and the memory, not the result.
        overwrite: replace the file if there is one.
        dtype: float32 or float64; by default that of the potential.
        device: auto (a GPU if there is one), cpu, cuda or cuda:0.
        threads: of torch on the CPU; by default one where compiled, else torch's own choice.
        compile: compile energies and forces, which takes a minute or more once and then is kept: for many structures.
            It needs a CPU and a C++ compiler; auto warns where they are missing, on raises.
        trust: code of your own that the model is made of and that may run, for example my_net.py.
        length_unit: unit of positions and cell in the file; angstrom without it.
        types: elements of the numbered types of a LAMMPS file, for instance 1=Cu,2=Ag.

    Returns:
        The number of structures.

    Units:
        eV, eV/A, eV/A^3 with ASE's sign, positions in A.

    Raises:
        FileNotFoundError: if there is no such file of structures.
        FileExistsError: if 'out' exists and is not to be replaced.
        ValueError: if an argument is out of its range, a structure is unusable (the message names it) or has an element
            that the potential was not trained on, or a stress is asked for and no structure has one.
    """
    target = _check_target(Path(out), structures, model, overwrite)
    if batch_size < 1:
        raise ValueError(f"'batch_size' must be at least 1, got {batch_size}")
    labels = LabelNames(length_unit=length_unit, types=parse_types(types))
    if structures != SAMPLE:
        find_format(Path(structures))
    place = choose_device(device)
    threads = threads_for(compile, threads)
    potential = open_potential(model, trust=trust).compile(compile)
    potential.to(device=place, dtype=None if dtype is None else getattr(torch, dtype))
    frames = enumerate(iterate_structures(structures, "test", labels))
    unused: set[str] = set()
    count = crystals = 0
    seen: dict[str, Atoms] = {}  # one structure of each composition
    with cpu_threads(threads), write_whole(target) as file, tqdm(unit="structure", disable=None) as bar:
        while batch := list(islice(frames, batch_size)):
            unused.update(*(unused_values(atoms) for _, atoms in batch))
            batch = [(index, _bare(atoms)) for index, atoms in batch]
            crystals += _predict(potential, batch, structures, stress)
            seen |= {atoms.get_chemical_formula(): atoms for _, atoms in batch}
            write_extxyz(file, [atoms for _, atoms in batch])
            count += len(batch)
            bar.update(len(batch))
        if stress and not crystals:
            raise ValueError(
                f"'stress' needs a structure that is periodic in two or three directions, got none in {structures}"
            )
    unused -= set(names_of_inputs(potential))
    if unused and structures != SAMPLE:
        print(f"{structures}: present but not used: {', '.join(sorted(unused))}")
    note_unlike_trained(potential, seen.values())
    what = ["energy, forces, atom energies"] if potential.has_energy else []
    what += [*([f"stress ({crystals} of them)"] if stress else [])]
    what += [name for name, output in potential.all_outputs().items() if output.molecules or stress]
    print(f"{count} structures with {', '.join(what)} written to {target}")
    return count


def _check_target(out: Path, structures: str | Path, model: str | Path, overwrite: bool) -> Path:
    if out.suffix not in (".xyz", ".extxyz"):
        raise ValueError(f"'out' must end in .xyz or .extxyz, the format that is written, got {out}")
    if out.exists() and (not overwrite or out.is_dir()):
        raise FileExistsError(f"'out' must be a new file, got {out}: choose another name or say overwrite")
    refuse_input_as_output("out", out, [structures, model])
    return out


def _bare(atoms: Atoms) -> Atoms:
    """A structure without labels, which would be taken for predictions."""
    atoms.calc = None
    for name in _LABELS:
        for key in (name, f"REF_{name}"):
            atoms.info.pop(key, None)
            atoms.arrays.pop(key, None)
    return atoms


def _predict(potential: EnergyModel, batch: list[tuple[int, Atoms]], where: str | Path, stress: bool) -> int:
    """Attach the predictions to the structures; return how many have a stress."""
    data = [_to_data(atoms, f"frame {index} of {where}", potential) for index, atoms in batch]
    crystals = [bool(atoms.pbc.sum() >= 2 and atoms.cell.rank == 3) for _, atoms in batch]
    place = next(potential.parameters()).device
    try:
        output = potential(Batch.from_data_list(data).to(place), stress=stress and any(crystals))
    except ValueError:
        for (index, _), frame in zip(batch, data, strict=True):  # which of them is it?
            try:
                potential(frame.to(place), forces=False)
            except ValueError as error:
                raise ValueError(f"frame {index} of {where}: {error}") from error
        raise
    sizes = [len(atoms) for _, atoms in batch]
    for name, values in output.others.items():
        of_atoms = potential.all_outputs()[name].level == "atom"
        rows = values.detach().cpu().split(sizes) if of_atoms else values.detach().cpu()
        for (_, atoms), row in zip(batch, rows, strict=True):
            held: dict[str, Any] = atoms.arrays if of_atoms else atoms.info
            held[name] = row.numpy() if row.ndim else float(row)
    if not potential.has_energy:
        return sum(crystals)
    assert output.forces is not None
    energies, forces, atom_energies = (
        item.detach().double().cpu() for item in (output.energy, output.forces, output.atom_energies)
    )
    parts = zip(forces.split(sizes), atom_energies.split(sizes), strict=True)
    for k, ((_, atoms), (force, atom_energy)) in enumerate(zip(batch, parts, strict=True)):
        results = {"energy": float(energies[k]), "forces": force.numpy(), "energies": atom_energy.numpy()}
        if output.stress is not None and crystals[k]:
            results["stress"] = full_3x3_to_voigt_6_stress(output.stress[k].detach().double().cpu().numpy())
        atoms.calc = SinglePointCalculator(atoms, **results)
    return sum(crystals)


def _to_data(atoms: Atoms, where: str, potential: EnergyModel) -> Data:
    data, neutral = to_data(atoms), torch.zeros(1, dtype=torch.float64)
    inputs = graph_inputs(potential, atoms, where)
    for name in names_of_inputs(potential):
        data[name] = inputs.get(name, neutral)  # a charge as where no structure says otherwise
    if "cell" not in data:  # all structures of a batch have the same fields
        data.cell, data.pbc = torch.zeros(1, 3, 3, dtype=torch.float64), torch.zeros(1, 3, dtype=torch.bool)
    return data
