r"""
An infrared spectrum
====================

Bands lie where the energy has its curvature, and are as high as the dipole moment changes along a mode. So a potential
with a dipole moment as a second output gives a spectrum. It is learned here from small molecules, near their
minima, with energies, forces and dipole moments of GFN2-xTB, a tight-binding method that stands in for a DFT code.
"""

# %%
# The molecules
# -------------
#
# A dipole moment is a value of the structure beside its energy: ``dipole="..."`` in the comment line of extended XYZ
# (in ASE, ``atoms.info``), here in e Å. Methanol, whose spectrum is wanted, is not among them.

import contextlib
import json
import shlex
import tempfile
from pathlib import Path

import ase.io
import matplotlib.pyplot as plt
import numpy as np
from ase import Atoms
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator

from pyg_mpnn.cli import main

root = Path("../..").resolve()  # of the clone
folder = Path(tempfile.mkdtemp())
frames = []
with np.load(root / "tests/data/assets/dipoles.npz") as file:
    ends = file["natoms"].astype(int).cumsum()
    for k, (start, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
        atoms = Atoms(file["z"][start:end], file["pos"][start:end], info={"dipole": file["dipole"][k].astype(float)})
        atoms.calc = SinglePointCalculator(atoms, energy=file["energy"][k], forces=file["forces"][start:end])
        frames.append(atoms)
frames = [atoms for atoms in frames if set(atoms.symbols) <= set("HCNO")]  # one has fluorine
methanol = molecule("CH3OH")
assert all(sorted(atoms.numbers) != sorted(methanol.numbers) for atoms in frames)
ase.io.write(folder / "molecules.extxyz", [atoms for k, atoms in enumerate(frames) if k % 10])
ase.io.write(folder / "test.extxyz", frames[::10])
ase.io.write(folder / "methanol.xyz", methanol)
print((folder / "molecules.extxyz").read_text().splitlines()[1])


# %%
# Train
# -----
#
# ``--outputs.dipole`` adds the output; its references are the values of this name. Charges of the atoms are learned
# whose dipole moment it is.


def run(command: str) -> None:
    """What the terminal does."""
    print("$", command)
    with contextlib.chdir(folder):
        assert main(shlex.split(command)[1:]) == 0


run(
    "pyg-mpnn train --data molecules.extxyz --test test.extxyz --valid-size 20 --size small --cutoff 4 "
    "--outputs.dipole DipoleOutput --batch-size 4 --epochs 30 --compile off --out run"
)
pictures = [folder / "run/parity.png"]

# %%
# The spectrum
# ------------
#
# Second derivatives of the energy and first ones of the dipole moment are exact, without finite steps. Frequencies mean
# something at a minimum of the same potential: ``--relax``.

run("pyg-mpnn vib --model run/best.ckpt --structure methanol.xyz --relax --out vib")
pictures = [folder / "vib/infrared.png"]

# %%
# What it is worth
# ----------------
#
# The same by the method itself (``python -m benchmarks.infrared``, central differences).

reference = json.loads((root / "benchmarks/results/infrared.json").read_text())
found = json.loads((folder / "vib/vibrations.json").read_text())
figure, axes = plt.subplots(figsize=(7.5, 3), layout="constrained")
for record, label, color, sign in ((reference, "GFN2-xTB", "k", 1), (found, "learned", "C1", -1)):
    heights = sign * np.array(record["intensities_km_per_mol"])
    axes.vlines(record["frequencies_cm"], 0, heights, color=color, lw=2, label=label)
axes.axhline(0, color="grey", linewidth=0.5)
axes.set(xlabel="wavenumber (cm$^{-1}$)", ylabel="intensity (km/mol)", xlim=(4000, 0))
axes.legend()
plt.show()
off = np.abs(np.array(found["frequencies_cm"]) - reference["frequencies_cm"])
print(f"frequencies: {off.mean():.0f} cm^-1 apart on average, {off.max():.0f} at most")

# %%
# Half a minute and some 180 molecules give the order of the bands and which are strong. For a spectrum to use: frames of the
# molecule itself, from dynamics, and a training as for :doc:`your own molecule </gallery/your_molecule>`; frequencies
# have the errors of the rules for phonons (:ref:`good-enough`). The picture is harmonic and of a gas: stretches of
# hydrogen come out some 100 cm⁻¹ too high, and there are no overtones.
