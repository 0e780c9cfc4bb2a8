r"""
Fine-tuning: new frames, and what is forgotten
==============================================

A potential that was trained on many structures is a better start than random weights where new structures are few. It
forgets the old ones on the way, unless some of them are trained on too. Here the old structures are crystals of copper
and gold, the new ones twelve surfaces. ASE's EMT potential stands in for a quantum calculation.
"""

# %%
# Old and new structures
# ----------------------
#
# The old: cells of four atoms, strained, atoms moved. The new: slabs of three layers with an atom on top, of which a
# crystal says nothing.

import contextlib
import io
import json
import shlex
import tempfile
from pathlib import Path

import ase.io
import matplotlib.pyplot as plt
import numpy as np
from ase import Atoms
from ase.build import add_adsorbate, bulk, fcc111
from ase.calculators.emt import EMT
from ase.visualize.plot import plot_atoms

from pyg_mpnn.cli import main

random = np.random.default_rng(0)
folder = Path(tempfile.mkdtemp())


def crystal() -> Atoms:
    gold = random.integers(0, 5)
    atoms = bulk("Cu", "fcc", a=3.61 + 0.115 * gold, cubic=True)
    atoms.symbols = random.permutation(["Au"] * gold + ["Cu"] * (4 - gold))
    strain = random.uniform(-0.04, 0.04, (3, 3))
    atoms.set_cell(atoms.cell @ (np.eye(3) + (strain + strain.T) / 2), scale_atoms=True)
    return atoms


def surface() -> Atoms:
    atoms = fcc111("Cu", (2, 2, 3), a=3.75, vacuum=6)
    add_adsorbate(atoms, random.choice(["Cu", "Au"]), height=random.uniform(1.8, 2.6), position="fcc")
    atoms.symbols[random.permutation(12)[:4]] = "Au"
    return atoms


def write(name: str, make, count: int) -> None:
    frames = []
    for _ in range(count):
        atoms = make()
        atoms.rattle(random.uniform(0.02, 0.08), rng=random)
        atoms.calc = EMT()
        atoms.get_forces()
        frames.append(atoms)
    ase.io.write(folder / f"{name}.extxyz", frames)


for name, make, count in (("old", crystal, 120), ("new", surface, 12), ("test", surface, 30)):
    write(name, make, count)
figure, axes = plt.subplots(figsize=(3, 3), layout="constrained")
plot_atoms(ase.io.read(folder / "new.extxyz", index=0), axes, rotation="-80x,10y")
axes.set_axis_off()
plt.show()


# %%
# The start
# ---------
#
# A training as any other, on the old structures. This page shows of the trainings only what it needs; the rest is
# in ``report.html`` of each folder.


def run(command: str) -> str:
    """What the terminal does; what it prints comes back."""
    print("$", command)
    printed = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(printed):
        assert main(shlex.split(command)[1:]) == 0
    return printed.getvalue()


run("pyg-mpnn train --data old.extxyz --size small --cutoff 5 --batch-size 4 --epochs 8 --compile off --out start")

# %%
# Go on with the new ones
# -----------------------
#
# ``--start-from`` takes size, cutoff and weights of the file. For comparison the same from random weights, which has to
# find everything in twelve frames.

again = "--data new.extxyz --test test.extxyz --valid-size 2 --batch-size 2 --epochs 16 --compile off"
run(f"pyg-mpnn train {again} --size small --cutoff 5 --out random")
run(f"pyg-mpnn train {again} --start-from start/best.ckpt --out tuned")

# %%
# And remember the old ones
# -------------------------
#
# ``--replay`` names the old structures, or others like them. Half of each epoch are old ones then
# (``--replay-share``), and those that are left over show what was forgotten.

printed = run(f"pyg-mpnn train {again} --start-from start/best.ckpt --replay old.extxyz --out replayed")
print(printed[printed.index("What was forgotten") :])

# %%
# What was gained, what was lost
# ------------------------------
#
# Forces of new structures that were not trained on, and of the old ones.

names = {"start": "the start", "random": "random weights", "tuned": "fine-tuned", "replayed": "with replay"}
errors = {}
for name in names:
    for which in ("test", "old"):
        run(f"pyg-mpnn evaluate --model {name}/best.ckpt --data {which}.extxyz --json {name}-{which}.json")
        errors[name, which] = json.loads((folder / f"{name}-{which}.json").read_text())["forces_mae_meV_per_A"]
figure, axes = plt.subplots(figsize=(6.5, 3.5), layout="constrained")
places = np.arange(len(names))
for offset, (which, label) in enumerate({"test": "surfaces (new)", "old": "crystals (old)"}.items()):
    bars = axes.bar(places + 0.4 * offset - 0.2, [errors[name, which] for name in names], width=0.38, label=label)
    axes.bar_label(bars, fmt="%.0f")
axes.set_xticks(places, list(names.values()))
axes.set(ylabel="force MAE (meV/Å)", ylim=(0, 1.25 * max(errors.values())))
axes.legend()
plt.show()
assert errors["tuned", "old"] > 2 * errors["replayed", "old"]

# %%
# Fine-tuned alone, the potential has forgotten the crystals. With replay it knows both, and is better on the new
# ones too: half of what it trains on then is about the same bonds.
#
# Three things to know. Energies: the reference energies of the elements are corrected to the new structures, so the
# total energies of old ones move by so much an atom; the comparison that ``--replay`` prints brings both to the same
# ones. Steps: a lower ``--learning-rate`` forgets less and learns less. Parts: ``--freeze representation.embedding
# representation.layers.0`` leaves these as they are; a wrong name is answered with a list of the parts. More:
# :doc:`/training`.
