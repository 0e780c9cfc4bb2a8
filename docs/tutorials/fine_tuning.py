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


_ = run("pyg-mpnn train --data old.extxyz --size small --cutoff 5 --batch-size 4 --epochs 8 --compile off --out start")

# %%
# Go on with the new ones
# -----------------------
#
# ``--start-from`` takes size, cutoff and weights of the file. For molecules of H, C, N, O and F a start comes with the
# package, ``--start-from organic`` (:doc:`/training`). For comparison the same from random weights, which has to
# find everything in twelve frames.

again = "--data new.extxyz --test test.extxyz --valid-size 2 --batch-size 2 --epochs 16 --compile off"
_ = run(f"pyg-mpnn train {again} --size small --cutoff 5 --out random")
_ = run(f"pyg-mpnn train {again} --start-from start/best.ckpt --out tuned")

# %%
# And remember the old ones
# -------------------------
#
# ``--replay`` names the old structures, or others like them. Half of each epoch are old ones then
# (``--replay-share``), and those that are left over show what was forgotten. ``--replay-labels same`` says that old
# and new labels are of one method: what the start leaves on the new energies, here those of surfaces, which it has
# never seen, is its error then, and is learned.

printed = run(
    f"pyg-mpnn train {again} --start-from start/best.ckpt --replay old.extxyz --replay-labels same --out replayed"
)
print(printed[printed.index("What was forgotten") :])

# %%
# What was gained, what was lost
# ------------------------------
#
# Forces and energies of new structures that were not trained on, and of the old ones.

names = {"start": "the start", "random": "random weights", "tuned": "fine-tuned", "replayed": "with replay"}
errors = {}
for name in names:
    for which in ("test", "old"):
        run(f"pyg-mpnn evaluate --model {name}/best.ckpt --data {which}.extxyz --json {name}-{which}.json")
        errors[name, which] = json.loads((folder / f"{name}-{which}.json").read_text())
figure, panels = plt.subplots(2, figsize=(6.5, 6), sharex=True, layout="constrained")
places = np.arange(len(names))
quantities = {"forces_mae_meV_per_A": "force MAE (meV/Å)", "energy_mae_meV_per_atom": "energy MAE (meV/atom)"}
for axes, (quantity, label) in zip(panels, quantities.items(), strict=True):
    for offset, (which, kind) in enumerate({"test": "surfaces (new)", "old": "crystals (old)"}.items()):
        heights = [errors[name, which][quantity] for name in names]
        bars = axes.bar(places + 0.4 * offset - 0.2, heights, width=0.38, label=kind)
        axes.bar_label(bars, fmt="%.3g")
    axes.set(ylabel=label)
    axes.margins(y=0.15)
panels[0].legend()
panels[-1].set_xticks(places, list(names.values()))
plt.show()
for quantity in quantities:
    assert errors["tuned", "old"][quantity] > 1.5 * errors["replayed", "old"][quantity]

# %%
# Fine-tuned alone, the potential has forgotten the crystals. With replay its forces forget far less of them, and those
# of the new ones are no worse: half of what it trains on then is about the same bonds.
#
# Look at the energies too. The start misses those of surfaces by 250 meV an atom. Fine-tuned alone, most of this goes
# into the reference energies of the elements, which are fitted to the new structures: right for these at once, wrong
# for the crystals by more than that. With replay and ``--replay-labels same`` it has to be learned as what it is, the
# energy of a surface, and that takes longer than this page has: so far both kinds are halfway.
#
# Three things to know. Labels of another method: without ``--replay-labels same`` the reference energies are fitted to
# the new structures, and old energies are brought to them. Steps: a lower ``--learning-rate`` forgets less and learns
# less. Parts: ``--freeze representation.embedding representation.layers.0`` leaves these as they are; a wrong name is
# answered with a list of the parts. More: :doc:`/training`.
