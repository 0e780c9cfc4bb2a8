"""``pyg-mpnn convert``: any file of structures to extended XYZ or an ASE database."""

from __future__ import annotations

from pathlib import Path

from pyg_mpnn.data import LabelNames
from pyg_mpnn.data.labels import EnergyUnit, LengthUnit, parse_types
from pyg_mpnn.data.rewrite import convert_file
from pyg_mpnn.files import refuse_input_as_output


def convert_command(
    source: str,
    target: str,
    leave_out_wrong: bool = False,
    energy_key: str | None = None,
    forces_key: str | None = None,
    stress_key: str | None = None,
    virial_key: str | None = None,
    energy_unit: EnergyUnit | None = None,
    length_unit: LengthUnit | None = None,
    types: str | None = None,
    overwrite: bool = False,
) -> str:
    """Write structures of any format that is read as extended XYZ or an ASE database, in eV and A.

    Everything that was understood is written (energy, forces, stress, charges, config_type, ...); what was not is
    listed.

    Args:
        source: File or folder of structures, as of train.
        target: File to write: .xyz, .extxyz (also .gz) or .db.
        leave_out_wrong: Leave out and count steps of an output that are not converged or cut short; an error without
            it.
        energy_key: Name of the energy in files that ASE reads, where it is not ``energy`` or ``REF_energy``. Where one
            label is named, only labels that are named are read.
        forces_key: Name of the forces there.
        stress_key: Name of the stress there.
        virial_key: Name of the virial there, in place of a stress.
        energy_unit: Unit of the energies in the file, and of forces and stresses with ``length_unit``; eV without it,
            or what the file says.
        length_unit: Unit of positions and cells in the file; angstrom without it.
        types: Elements of the numbered types of a LAMMPS file, for instance 1=Cu,2=Ag.
        overwrite: Replace the target if it exists.

    Returns:
        What was read and written.

    Raises:
        FileExistsError: the target exists.
    """
    refuse_input_as_output("target", target, [source])
    if Path(target).exists() and not overwrite:
        raise FileExistsError(f"'target' must be a new file, got {target}: choose another name or say --overwrite.")
    names = energy_key, forces_key, stress_key, virial_key
    labels = LabelNames(*names, energy_unit, length_unit, parse_types(types), leave_out_wrong=leave_out_wrong)
    said = convert_file(source, target, labels)
    print(said)
    return said
