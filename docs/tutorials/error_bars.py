r"""
How wrong may it be? Error bars
===============================

A potential answers every question, also those that nothing in its training prepares it for. Error bars tell the two
apart, as far as they go. Two ways: several trainings that disagree, or the last layer of one. What both are worth on a
potential for use, and where they fail: :doc:`/uncertainty`. Here the trainings take seconds, to show the way.
"""

# %%
# A committee
# -----------
#
# Three trainings with other random numbers and the same validation structures. These set a factor, so that error bars
# are as large as errors there. The test structures judge.

import contextlib
import csv
import json
import shlex
import tempfile
from pathlib import Path

import ase.io
import matplotlib.pyplot as plt
import numpy as np

from pyg_mpnn import PotentialCalculator
from pyg_mpnn.cli import main
from pyg_mpnn.data import ethanol, to_atoms

folder = Path(tempfile.mkdtemp())
ase.io.write(folder / "train.extxyz", [to_atoms(frame) for frame in ethanol("train")[:140]])
ase.io.write(folder / "test.extxyz", [to_atoms(frame) for frame in ethanol("test")[:60]])


def run(command: str, code: int = 0) -> None:
    """What the terminal does."""
    print("$", command)
    with contextlib.chdir(folder):
        assert main(shlex.split(command)[1:]) == code


with contextlib.redirect_stdout(None):  # the tables of three trainings, as on the other pages
    run(
        "pyg-mpnn train --data train.extxyz --test test.extxyz --valid-size 32 --size small --cutoff 4 --batch-size 4 "
        "--epochs 5 --compile off --committee 3 --out run"
    )
print(*(f"{file.relative_to(folder)}" for file in sorted((folder / "run").glob("committee*"))), sep="\n")

# %%
# Are they true?
# --------------
#
# Of a normal distribution, half of the errors lie inside the central 50 %, and so on. In the picture,
# each point is a group of errors with like error bars; above the line their bars are too small. Three members that
# were trained for seconds leave the error bars of the energies too small: so judge them before you use them.

table = json.loads((folder / "run/committee.json").read_text())["test"]
for name, found in table.items():
    inside = ", ".join(f"{share:.0%} in the central {level}" for level, share in found["coverage"].items())
    print(f"{name}: RMSE {1000 * found['rmse']:.0f}, error bars {1000 * found['rms_std']:.0f} meV or meV/Å; {inside}")
pictures = [folder / "run/committee.png"]

# %%
# Of one training
# ---------------
#
# The last layer is linear, so its weights have a posterior, given the training structures. No second training.

run("pyg-mpnn calibrate --runs run/member-0 --out uncertain.pt")

# %%
# In Python
# ---------
#
# The file is a potential as any other, with more outputs. A molecule whose O-H bond is drawn out leaves the training
# structures, and the error bar says so. Far out it falls again: it tells that something is wrong, not how much.

atoms = to_atoms(ethanol("test")[0])
hydrogen = min((k for k, z in enumerate(atoms.numbers) if z == 1), key=lambda k: atoms.get_distance(2, k))
assert atoms.numbers[2] == 8
figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
lengths = np.linspace(0.8, 1.8, 11)
for file in ("run/committee.pt", "uncertain.pt"):
    calculator = PotentialCalculator(folder / file)
    bars = []
    for length in lengths:
        stretched = atoms.copy()
        stretched.set_distance(2, hydrogen, length, fix=0)
        bars.append(calculator.get_property("forces_std", stretched)[hydrogen])
    axes.semilogy(lengths, 1000 * np.array(bars), "o-", label={"run": "committee"}.get(file[:3], "last layer"))
known = [to_atoms(frame).get_distance(2, hydrogen) for frame in ethanol("train")[:140]]
axes.axvspan(min(known), max(known), color="lightgrey", label="in the training structures")
axes.set(xlabel="length of the O-H bond (Å)", ylabel="error bar of the force on H (meV/Å)")
axes.legend()
plt.show()

# %%
# In dynamics
# -----------
#
# ``--max-uncertainty`` looks at the error bars with each frame of the trajectory and stops where one is above the
# limit, here 1000 K with a potential that has seen 500. The structure is kept: compute it with the reference method,
# add it, and train again. With ``--on-uncertain store`` it goes on and keeps all of them.

run(
    "pyg-mpnn md --model run/committee.pt --structure test.extxyz --steps 100 --timestep 0.5 --temperature 1000 "
    "--trajectory-interval 5 --max-uncertainty 0.35 --on-uncertain store --compile off --out md"
)
with (folder / "md/uncertainty.csv").open(newline="") as file:
    rows = list(csv.reader(file))[1:]
figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
axes.plot([float(row[1]) for row in rows], [1000 * float(row[3]) for row in rows], "o-")
axes.axhline(350, color="grey", linestyle="--", label="limit")
axes.set(xlabel="time (fs)", ylabel="largest error bar of a force (meV/Å)", ylim=(0, None))
axes.legend()
plt.show()

# %%
# The whole circle, from one structure and a program that computes energies and forces, is one command:
# :doc:`pyg-mpnn learn </learning>`.
