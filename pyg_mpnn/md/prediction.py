"""Energies, forces and stresses of the structures of a file, into a file."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Literal

import ase.io
import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io.extxyz import write_extxyz
from ase.stress import full_3x3_to_voigt_6_stress
from torch_geometric.data import Batch, Data
from tqdm import tqdm

from pyg_mpnn.deploy import threads_for
from pyg_mpnn.files import refuse_input_as_output, write_whole
from pyg_mpnn.md.entrance import cpu_threads, note_unlike_trained
from pyg_mpnn.models import EnergyModel, open_potential
from pyg_mpnn.models.checks import check_device

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
    device: str | None = None,
    threads: int | None = None,
    compile: Literal["auto", "on", "off"] = "off",
    trust: list[str] | None = None,
) -> int:
    """Write energies, forces and atom energies of the structures of a file as extended XYZ.

    Per structure ``energy`` and, if asked for, ``stress`` of crystals; per atom ``forces`` and ``energies``, whose sum
    is the energy: ASE's names, so that ``ase.io.read`` gives them as the results of a calculator. Structures keep their
    order and what they carry, except labels (energy, forces, stress and the same with ``REF_``), which would be taken
    for predictions. Columns of numbers have 8 decimals, as ASE writes them. The file appears when it is complete.

    Args:
        model: saved potential or training checkpoint, or Python code of yours as file.py:name or package.module:name.
        structures: file of structures, in any format that ASE reads or an rMD17/MD17 npz; labels are not needed. The
            word ethanol means the shipped test structures.
        out: file to write; its name ends in .xyz or .extxyz.
        stress: predict stresses too, of the structures that are periodic in three directions.
        batch_size: structures per batch; it changes the speed and the memory, not the result.
        overwrite: replace the file if there is one.
        dtype: float32 or float64; by default that of the potential.
        device: for example cuda; by default the CPU.
        threads: of torch on the CPU; by default one where compiled, else torch's own choice.
        compile: compile energies and forces, which takes a minute or more once and then is kept: for many structures.
            It needs a CPU and a C++ compiler; auto warns where they are missing, on raises.
        trust: code of your own that the model is made of and that may run, for example my_net.py.

    Returns:
        The number of structures.

    Units:
        eV, eV/A, eV/A^3 with ASE's sign, positions in A.

    Raises:
        FileNotFoundError: if there is no such file of structures.
        FileExistsError: if 'out' exists and is not to be replaced.
        ValueError: if an argument is out of its range, a structure is unusable (the message names it) or has an element
            that the potential was not trained on, or a stress is asked for and no structure is a crystal.
    """
    target = _check_target(Path(out), structures, model, overwrite)
    if batch_size < 1:
        raise ValueError(f"'batch_size' must be at least 1, got {batch_size}")
    if structures != "ethanol" and not Path(structures).is_file():
        raise FileNotFoundError(f"'structures' must be a file or the word ethanol, got {structures}")
    check_device(device)
    threads = threads_for(compile, threads)
    potential = open_potential(model, trust=trust).compile(compile)
    potential.to(device=device, dtype=None if dtype is None else getattr(torch, dtype))
    frames = enumerate(_frames(structures))
    count = crystals = 0
    seen: dict[str, Atoms] = {}  # one structure of each composition
    with cpu_threads(threads), write_whole(target) as file, tqdm(unit="structure", disable=None) as bar:
        while batch := list(islice(frames, batch_size)):
            crystals += _predict(potential, batch, structures, stress)
            seen |= {atoms.get_chemical_formula(): atoms for _, atoms in batch}
            write_extxyz(file, [atoms for _, atoms in batch])
            count += len(batch)
            bar.update(len(batch))
        if not count:
            raise ValueError(f"'structures' must hold at least one structure, got none in {structures}")
        if stress and not crystals:
            raise ValueError(
                f"'stress' needs a structure that is periodic in three directions, got none in {structures}"
            )
    note_unlike_trained(potential, seen.values())
    which = f", stress ({crystals} of them)" if stress else ""
    print(f"{count} structures with energy, forces, atom energies{which} written to {target}")
    return count


def _check_target(out: Path, structures: str | Path, model: str | Path, overwrite: bool) -> Path:
    if out.suffix not in (".xyz", ".extxyz"):
        raise ValueError(f"'out' must end in .xyz or .extxyz, the format that is written, got {out}")
    if out.exists() and (not overwrite or out.is_dir()):
        raise FileExistsError(f"'out' must be a new file, got {out}: choose another name or say overwrite")
    refuse_input_as_output("out", out, [structures, model])
    return out


def _frames(structures: str | Path) -> Iterator[Atoms]:
    """Structures without labels, one at a time where the format allows it."""
    from pyg_mpnn.data import ethanol, read_structures, to_atoms

    if structures == "ethanol" or Path(structures).suffix == ".npz":
        for data in ethanol("test") if structures == "ethanol" else read_structures(structures):
            yield _bare(to_atoms(data))
        return
    try:
        for atoms in ase.io.iread(structures):
            yield _bare(atoms)
    except Exception as error:  # each of ASE's readers fails in its own way
        raise ValueError(
            f"'structures' must be readable by ASE, got {type(error).__name__} in {structures}: {error}"
        ) from error


def _bare(atoms: Atoms) -> Atoms:
    atoms.calc = None
    for name in _LABELS:
        for key in (name, f"REF_{name}"):
            atoms.info.pop(key, None)
            atoms.arrays.pop(key, None)
    return atoms


def _predict(potential: EnergyModel, batch: list[tuple[int, Atoms]], where: str | Path, stress: bool) -> int:
    """Attach the predictions to the structures; return how many are crystals."""
    data = [_to_data(atoms, f"frame {index} of {where}") for index, atoms in batch]
    crystals = [bool(atoms.pbc.all()) for _, atoms in batch]
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
    energies, forces, atom_energies = (
        item.detach().double().cpu() for item in (output.energy, output.forces, output.atom_energies)
    )
    sizes = [len(atoms) for _, atoms in batch]
    parts = zip(forces.split(sizes), atom_energies.split(sizes), strict=True)
    for k, ((_, atoms), (force, atom_energy)) in enumerate(zip(batch, parts, strict=True)):
        results = {"energy": float(energies[k]), "forces": force.numpy(), "energies": atom_energy.numpy()}
        if output.stress is not None and crystals[k]:
            results["stress"] = full_3x3_to_voigt_6_stress(output.stress[k].detach().double().cpu().numpy())
        atoms.calc = SinglePointCalculator(atoms, **results)
    return sum(crystals)


def _to_data(atoms: Atoms, where: str) -> Data:
    from pyg_mpnn.data import to_data
    from pyg_mpnn.data.frames import check_frame

    data = to_data(atoms)
    check_frame(data, where)
    if "cell" not in data:  # all structures of a batch have the same fields
        data.cell, data.pbc = torch.zeros(1, 3, 3, dtype=torch.float64), torch.zeros(1, 3, dtype=torch.bool)
    return data
