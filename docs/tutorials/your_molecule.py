r"""
Your own molecule in ten minutes
================================

From a file of structures with energies and forces to dynamics: look at the data, train, judge, run. Here the file has
200 frames of ethanol and the training takes seconds, so that this page runs whenever the site is built; the ten
minutes are those of a training that you would use.
"""

# %%
# The file
# --------
#
# Most programs can be read directly (:doc:`formats </data>`), and ``pyg-mpnn convert`` makes extended XYZ of them: one
# line with the number of atoms, one with cell, energy and the names of the columns, one for each atom. Energies are in
# eV, forces in eV/Å.

import contextlib
import shlex
import tempfile
from pathlib import Path

import ase.io

from pyg_mpnn.cli import main
from pyg_mpnn.data import ethanol, to_atoms

folder = Path(tempfile.mkdtemp())
ase.io.write(folder / "molecule.extxyz", [to_atoms(frame) for frame in ethanol("train")[:200]])
ase.io.write(folder / "test.extxyz", [to_atoms(frame) for frame in ethanol("test")[:50]])
print(*(folder / "molecule.extxyz").read_text().splitlines()[:11], sep="\n")


# %%
# Look at it
# ----------
#
# In a terminal you type what stands after the ``$``. ``inspect`` says whether units and signs can be right, whether
# frames are there twice, what the data leave open, and which training it would run.


def run(command: str) -> None:
    """What the terminal does."""
    print("$", command)
    with contextlib.chdir(folder):
        assert main(shlex.split(command)[1:]) == 0


run("pyg-mpnn inspect --data molecule.extxyz --test test.extxyz")

# %%
# The note says: all frames have one composition. Forces and energy differences will mean something, the energies of
# other molecules will not.
#
# Train
# -----
#
# Six epochs of the small model. For a potential to use, take the advised command.

run(
    "pyg-mpnn train --data molecule.extxyz --test test.extxyz --size small --cutoff 4 --batch-size 4 "
    "--epochs 6 --compile off --out run"
)
pictures = [folder / "run/parity.png", folder / "run/learning_curve.png"]

# %%
# Judge
# -----
#
# The table compares the errors with those of a predictor that knows nothing, and three rules of thumb say what they
# are good enough for (:doc:`whose rules </gallery/good_enough>`). ``run/report.html`` has the errors by element and by
# size of the force, and the worst frames. A file that comes later is judged by ``evaluate``:

run("pyg-mpnn evaluate --model run/best.ckpt --data test.extxyz --json later.json")

# %%
# Run
# ---
#
# 0.1 ps at constant energy. The drift of the conserved energy comes with its error, here as large as the drift itself:
# the time is too short to tell. Look at the fluctuation, and run for longer.

run(
    "pyg-mpnn md --model run/best.ckpt --structure test.extxyz --steps 200 --timestep 0.5 --temperature 300 "
    "--compile off --out md"
)
pictures = [folder / "md/energy_drift.png"]

# %%
# From Python
# -----------
#
# The file is a calculator of ASE.

from pyg_mpnn import Potential, PotentialCalculator

atoms = ase.io.read(folder / "test.extxyz", index=0)
reference = atoms.get_forces()
atoms.calc = PotentialCalculator(Potential.load(folder / "run/best.ckpt"))
error = 1000 * abs(atoms.get_forces() - reference).mean()
print(f"forces of the first test frame: MAE {error:.0f} meV/Å of {1000 * abs(reference).mean():.0f}")
assert error < 250

# %%
# Next: :doc:`is it good enough, and what would make it better? </gallery/good_enough>`; relax, vibrate, predict:
# :doc:`/commands`; put it into LAMMPS or OpenMM: :doc:`/engines`; :doc:`error bars </uncertainty>`; :doc:`messages
# that you may meet </questions>`.
