r"""
An infrared spectrum
====================

Bands lie where the energy has its curvature, and are as high as the dipole moment changes along a mode. So a potential
with a dipole moment as a second output gives a spectrum. The frames are methanol near its minimum, with energies,
forces and dipole moments of GFN2-xTB, a tight-binding method that stands in for a DFT code
(``benchmarks/infrared/label.py`` made them).
"""

# %%
# The frames
# ----------
#
# A dipole moment is a value of the structure beside its energy: ``dipole="..."`` in the comment line of extended XYZ
# (in ASE, ``atoms.info``), here in e Å.

import contextlib
import json
import shlex
import tempfile
from pathlib import Path

import ase.io
import matplotlib.pyplot as plt
import numpy as np

from pyg_mpnn.cli import main

root = Path("../..").resolve()  # of the clone
folder = Path(tempfile.mkdtemp())
frames = ase.io.read(root / "benchmarks/infrared/methanol.extxyz.xz", index=":")
ase.io.write(folder / "methanol.extxyz", frames[:140])
ase.io.write(folder / "test.extxyz", frames[140:])
print(*(folder / "methanol.extxyz").read_text().splitlines()[:3], sep="\n")


# %%
# Train
# -----
#
# ``--outputs.dipole`` adds the output, whose references are the values of this name. Charges of the atoms are learned,
# the dipole moment is theirs.


def run(command: str) -> None:
    """What the terminal does."""
    print("$", command)
    with contextlib.chdir(folder):
        assert main(shlex.split(command)[1:]) == 0


run(
    "pyg-mpnn train --data methanol.extxyz --test test.extxyz --valid-size 20 --size small --cutoff 4 "
    "--outputs.dipole DipoleOutput --batch-size 4 --epochs 25 --compile off --out run"
)
pictures = [folder / "run/parity.png"]

# %%
# The spectrum
# ------------
#
# Second derivatives of the energy and first ones of the dipole moment are exact, without finite steps. Frequencies mean
# something at a minimum of the same potential: ``--relax``.

run("pyg-mpnn vib --model run/best.ckpt --structure test.extxyz --relax --out vib")
pictures = [folder / "vib/infrared.png"]

# %%
# What it is worth
# ----------------
#
# Above the line the method itself, by central differences (``benchmarks/results/infrared.json``), below it what was
# learned.

reference = json.loads((root / "benchmarks/results/infrared.json").read_text())
found = json.loads((folder / "vib/vibrations.json").read_text())
figure, axes = plt.subplots(figsize=(7.5, 3), layout="constrained")
for record, label, color, sign in ((reference, "GFN2-xTB", "k", 1), (found, "learned", "C1", -1)):
    heights = sign * np.array(record["intensities_km_per_mol"])
    axes.vlines(record["frequencies_cm"], 0, heights, color=color, lw=2, label=label)
axes.axhline(0, color="grey", linewidth=0.5)
axes.set(xlabel="wavenumber (cm$^{-1}$)", ylabel="intensity (km/mol)", xlim=(4000, 0))
axes.legend(loc="upper center")
plt.show()
off = np.abs(np.array(found["frequencies_cm"]) - reference["frequencies_cm"])
print(f"frequencies: {off.mean():.0f} cm^-1 apart on average, {off.max():.0f} at most")
assert off.mean() < 60

# %%
# Half a minute of training gives the bands and which of them are strong; a training as for :doc:`your own molecule
# </gallery/your_molecule>` gives more. The spectrum is harmonic and of a gas: with a method for use, stretches of
# hydrogen come out some 100 cm⁻¹ too high, and there are no overtones.
