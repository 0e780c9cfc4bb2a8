"""``pyg-mpnn evaluate``: the errors of a trained potential."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pyg_mpnn.data import LabelNames
from pyg_mpnn.data.dataset import as_prepared
from pyg_mpnn.data.labels import EnergyUnit, LengthUnit, parse_types
from pyg_mpnn.deploy import threads_for
from pyg_mpnn.files import refuse_input_as_output, write_json
from pyg_mpnn.models import open_potential
from pyg_mpnn.models.checks import choose_device
from pyg_mpnn.training import Errors
from pyg_mpnn.training.evaluate import label_shapes, predict, structures_to_test, units
from pyg_mpnn.training.judgement import PAGE, JudgedSet, write_judgement
from pyg_mpnn.training.metrics import compute_errors
from pyg_mpnn.training.table import error_table, kinds_table


def evaluate_command(
    model: str,
    data: Sequence[str] | str,
    energy_key: str | None = None,
    forces_key: str | None = None,
    stress_key: str | None = None,
    virial_key: str | None = None,
    energy_unit: EnergyUnit | None = None,
    length_unit: LengthUnit | None = None,
    types: str | None = None,
    json: str | None = None,
    out: str | None = None,
    batch_size: int = 32,
    batch_atoms: int | None = None,
    batch_edges: int | None = None,
    device: str = "auto",
    threads: int | None = None,
    compile: Literal["auto", "on", "off"] = "off",
    trust: list[str] | None = None,
) -> Errors:
    """Print the errors of a trained potential on a set of structures.

    Args:
        model: Checkpoint of a training (best.ckpt) or saved potential, or Python code of yours as file.py:name or
            package.module:name.
        data: File or files of structures with energies and forces: an rMD17/MD17 npz or anything that ASE reads. The
            word ``ethanol`` means the shipped test structures.
        energy_key: Name of the energy in files that ASE reads, where it is not ``energy`` or ``REF_energy``. Where one
            label is named, only labels that are named are read.
        forces_key: Name of the forces there.
        stress_key: Name of the stress there.
        virial_key: Name of the virial there, in place of a stress.
        energy_unit: Unit of the energies in the files, and of forces and stresses with ``length_unit``; eV without it,
            or what the file says.
        length_unit: Unit of positions and cells in the files; angstrom without it.
        types: Elements of the numbered types of a LAMMPS file, for instance 1=Cu,2=Ag.
        json: File to write the errors to, as numbers in meV and A.
        out: Folder to write a report to that judges the errors: report.html, parity.png and a file for chemiscope.
        batch_size: Structures per batch; it changes the speed and the memory, not the result.
        batch_atoms: Atoms per batch at most, in place of the number of structures.
        batch_edges: Edges per batch at most, in place of the number of structures.
        device: Where to compute: auto (a GPU if there is one), cpu, cuda or cuda:0.
        threads: Number of CPU threads; by default one where compiled, else PyTorch's own choice.
        compile: Compile energies and forces, which takes a minute or more once and then is kept: for many structures.
            It needs a CPU and a C++ compiler; ``auto`` warns where they are missing, ``on`` raises.
        trust: Code of your own that the model is made of and that may run, for example my_net.py.

    Returns:
        The errors.

    Units:
        meV, meV/A, meV/A^3 and GPa.
    """
    refuse_input_as_output("json", json, [model, *([data] if isinstance(data, str) else data)])
    threads = threads_for(compile, threads)
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    place = choose_device(device)
    potential = open_potential(model, trust=trust).to(place).compile(compile)
    sizes = {"batch_size": batch_size, "batch_atoms": batch_atoms, "batch_edges": batch_edges}
    names = energy_key, forces_key, stress_key, virial_key
    labels = LabelNames(*names, energy_unit, length_unit, parse_types(types))
    structures = as_prepared(
        structures_to_test(potential, data, labels), potential.cutoff, potential.dtype, label_shapes(potential)
    )
    predictions = predict(potential, structures, **sizes)  # type: ignore[arg-type]
    errors = compute_errors(predictions, units(potential))
    plural = "s" * (errors.n_structures != 1)
    print(f"Errors on {errors.n_structures} structure{plural}\n\n{error_table({'error': errors})}")
    tested = JudgedSet("tested", predictions, structures)
    if kinds := kinds_table(tested.parts.by_kind()):
        print(f"\n{kinds}")
    if json is not None:
        write_json(json, errors.summary())
        print(f"\nWritten to {json}")
    if out is not None:
        from pyg_mpnn.training.plots import plot_parity

        folder = Path(out)
        heading = f"{len(structures)} tested structures"
        plot_parity(predictions, tested.energy_zero(), folder / "parity.png", heading, units(potential))
        verdicts = write_judgement(folder, f"Test of {model}", potential, [tested], units=units(potential))
        print("".join(f"\n- {text}" for text in verdicts) + f"\n\nReport: {folder / PAGE}")
    else:
        print("\n--out FOLDER writes a report with pictures that judges them")
    return errors
