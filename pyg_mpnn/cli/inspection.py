"""``pyg-mpnn inspect``: structures before a training."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Literal

from pyg_mpnn.data import LabelNames
from pyg_mpnn.data.labels import EnergyUnit, LengthUnit, parse_types
from pyg_mpnn.deploy import threads_for
from pyg_mpnn.files import refuse_input_as_output, write_text
from pyg_mpnn.inspection import Inspection
from pyg_mpnn.models.checks import choose_device

CURVE_MINUTES = 2.0  # of four trainings


def inspect_command(
    data: Sequence[str] | str,
    test: Sequence[str] | str | None = None,
    cutoff: list[float] | None = None,
    size: Literal["small", "base", "large"] = "base",
    batch_size: int = 8,
    steps: int = 5,
    learning_curve: bool = False,
    energy_key: str | None = None,
    forces_key: str | None = None,
    stress_key: str | None = None,
    virial_key: str | None = None,
    energy_unit: EnergyUnit | None = None,
    length_unit: LengthUnit | None = None,
    types: str | None = None,
    json: str | None = None,
    device: str = "auto",
    threads: int | None = None,
) -> Inspection:
    """Look at structures before training on them: units, signs, outliers, duplicates, neighbours, training time.

    Each check ends in ok, note (worth knowing; also where the data cannot tell) or warning (likely wrong). Then the
    training that suits the structures is advised, as a command with its reasons. Nothing is changed. The exit code is 0
    whatever is found, and 1 only if the structures cannot be read.

    Args:
        data: File or files with the structures to learn from: an rMD17/MD17 npz, or anything that ASE reads. The word
            ``ethanol`` means the shipped sample.
        test: File or files with the structures for the test, to look for those that are in both; ``ethanol`` means the
            shipped test structures.
        cutoff: Distance in A up to which two atoms are neighbours, as for train; 5 without it.
        size: Size of the potential whose training is timed.
        batch_size: Structures per step of that training.
        steps: Steps of training to time, in at most about 10 seconds; 0 leaves that out.
        learning_curve: Train on an eighth, a quarter, a half and all structures, in about two minutes in all, and
            extrapolate what more of them would bring.
        energy_key: Name of the energy in files that ASE reads, where it is not ``energy`` or ``REF_energy``. Where one
            label is named, only labels that are named are read.
        forces_key: Name of the forces there.
        stress_key: Name of the stress there.
        virial_key: Name of the virial there, in place of a stress.
        energy_unit: Unit of the energies in the files, and of forces and stresses with ``length_unit``; eV without it,
            or what the file says.
        length_unit: Unit of positions and cells in the files; angstrom without it.
        types: Elements of the numbered types of a LAMMPS file, for instance 1=Cu,2=Ag.
        json: File to write the findings to, with all numbers.
        device: Where the trainings are timed: auto (a GPU if there is one), cpu, cuda or cuda:0.
        threads: Number of CPU threads; PyTorch decides without it.

    Returns:
        The findings.

    Units:
        A and eV, as which the files are read (an MD17 npz is converted from kcal/mol).
    """
    from tqdm import tqdm

    from pyg_mpnn.inspection import inspect_frames, load_labelled
    from pyg_mpnn.inspection.advice import flag_of

    files = [name for item in (data, test or ()) for name in ([item] if isinstance(item, str) else item)]
    refuse_input_as_output("json", json, files)
    place = str(choose_device(device))
    if steps < 0:
        raise ValueError(f"'steps' must not be negative, got {steps}")
    threads = threads_for("off", threads)
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    names = energy_key, forces_key, stress_key, virial_key
    labels = LabelNames(*names, energy_unit, length_unit, parse_types(types))
    frames = load_labelled(data, labels=labels)
    held_out = [] if test is None else load_labelled(test, "test", labels)
    with tqdm(unit="check", leave=False, disable=not sys.stderr.isatty()) as bar:

        def progress(name: str) -> None:
            bar.set_description(name)
            bar.update()

        options: dict[str, Any] = {"size": size, "batch_size": batch_size, "steps": steps, "progress": progress}
        options["device"] = place
        options["minutes"] = CURVE_MINUTES if learning_curve else 0.0
        found = inspect_frames(frames, held_out, cutoff=cutoff or 5.0, **options)
    print(found)
    keys = {"energy_key": energy_key, "forces_key": forces_key, "stress_key": stress_key, "virial_key": virial_key}
    given = {"data": data, "test": test, **keys, "energy_unit": energy_unit, "length_unit": length_unit, "types": types}
    title = "Advised, in this order" if found.advice.units else "Advised training"
    if found.advice.mend:
        title += f", ONLY AFTER what the warnings name is mended ({', '.join(found.advice.mend)})"
    print("\n  ".join([f"\n{title}:", *found.advice.commands(given)]))
    said = " ".join(flag_of("energy_unit", energy_unit) + flag_of("length_unit", length_unit))
    if said and found.advice.mend:
        print(f"- {said} was given: if the file is in other units, leave it out or give those, and inspect again.")
    print("\n".join(f"- {reason}" for reason in found.advice.reasons))
    if not learning_curve:
        print("- What to expect: --learning-curve trains for two minutes and says what more structures would bring.")
    if json is not None:
        write_text(json, found.to_json() + "\n")
        print(f"Written to {json}")
    return found
