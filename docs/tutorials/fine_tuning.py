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


for name, make, count in (("old", crystal, 120), ("new", surface, 12), ("test", surface, 40)):
    write(name, make, count)
figure, axes = plt.subplots(figsize=(3, 3), layout="constrained")
plot_atoms(ase.io.read(folder / "new.extxyz", index=0), axes, rotation="-80x,10y")
axes.set_axis_off()
plt.show()


# %%
# The start
# ---------
#
# A training as any other, on the old structures.


def run(command: str) -> None:
    """What the terminal does."""
    print("$", command)
    with contextlib.chdir(folder):
        assert main(shlex.split(command)[1:]) == 0


run("pyg-mpnn train --data old.extxyz --size small --cutoff 5 --batch-size 4 --epochs 12 --compile off --out start")

# %%
# Go on with the new ones
# -----------------------
#
# ``--start-from`` takes size, cutoff and weights of the file. A learning rate that is lower than usual keeps what is
# there. For comparison the same from random weights, which has to find everything in twelve frames.

again = "--data new.extxyz --test test.extxyz --valid-size 2 --batch-size 2 --epochs 25 --compile off"
run(f"pyg-mpnn train {again} --size small --cutoff 5 --out random")
run(f"pyg-mpnn train {again} --start-from start/best.ckpt --learning-rate 2e-3 --out tuned")

# %%
# And remember the old ones
# -------------------------
#
# ``--replay`` names the old structures, or others like them. Half of each epoch are old ones then
# (``--replay-share``), and those that are left over show what was forgotten.

run(
    f"pyg-mpnn train {again} --start-from start/best.ckpt --learning-rate 2e-3 --replay old.extxyz --replay-share 0.5 "
    "--out replayed"
)

# %%
# Or change less
# --------------
#
# ``--freeze`` leaves parts of the network as they are. What is not trained cannot forget, and cannot learn either.

run(
    f"pyg-mpnn train {again} --start-from start/best.ckpt --learning-rate 2e-3 --freeze representation.embedding "
    "representation.layers.0 --out frozen"
)

# %%
# What was gained, what was lost
# ------------------------------
#
# Forces of new structures that were not trained on, and of the old ones.

names = {"start": "start", "random": "random weights", "tuned": "tuned", "replayed": "with replay", "frozen": "frozen"}
errors = {}
for name in names:
    for which in ("test", "old"):
        file = folder / f"{name}-{which}.json"
        with contextlib.redirect_stdout(None):
            run(f"pyg-mpnn evaluate --model {name}/best.ckpt --data {which}.extxyz --json {file}")
        errors[name, which] = json.loads(file.read_text())["forces_mae_meV_per_A"]
for name, words in names.items():
    print(f"{words:15} new {errors[name, 'test']:5.0f} meV/Å, old {errors[name, 'old']:5.0f} meV/Å")
