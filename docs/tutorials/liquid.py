r"""
A liquid: water
===============

From frames of a small box to structure, diffusion and density. The frames are 27 molecules with energies, forces and
stress of GFN1-xTB, a tight-binding method that stands in for a DFT code (``benchmarks/water/label.py`` made them; a
folder of DeePMD or an ``OUTCAR`` is read in the same way). What comes out is the water of that method, not that of the
laboratory.
"""

# %%
# Look at the frames
# ------------------
#
# A liquid needs frames at several densities and temperatures, or the pressure is a guess. For constant pressure it
# needs the stress.

import contextlib
import json
import shlex
import tempfile
from pathlib import Path

import ase.io
import matplotlib.pyplot as plt
from ase import units
from ase.visualize.plot import plot_atoms

from pyg_mpnn.cli import main

root = Path("../..").resolve()  # of the clone
folder = Path(tempfile.mkdtemp())
for name in ("water", "water_test"):
    (folder / f"{name}.extxyz.xz").write_bytes((root / f"benchmarks/water/{name}.extxyz.xz").read_bytes())
frames = ase.io.read(folder / "water.extxyz.xz", index=":")
densities = [sum(a.get_masses()) / a.get_volume() / units.kg * 1e27 for a in frames]
print(len(frames), "frames of", frames[0].get_chemical_formula())
print(f"densities from {min(densities):.2f} to {max(densities):.2f} g/cm3")
figure, axes = plt.subplots(figsize=(3.5, 3.5), layout="constrained")
plot_atoms(frames[0], axes, rotation="10x,-15y")
axes.set_axis_off()
plt.show()


# %%


def run(command: str) -> None:
    """What the terminal does."""
    print("$", command)
    with contextlib.chdir(folder):
        assert main(shlex.split(command)[1:]) == 0


run("pyg-mpnn inspect --data water.extxyz.xz --test water_test.extxyz.xz --cutoff 4 --steps 0")

# %%
# Train
# -----
#
# This was done before, by a script (``python -m benchmarks.water.run``), and the potential is in the clone. Its
# command, and its errors on frames that it was not trained on:

results = root / "benchmarks/results/water"
record = json.loads((results / "water.json").read_text())
print(record["commands"][0])
(folder / "water.pt").write_bytes((results / "potential.pt").read_bytes())
run("pyg-mpnn evaluate --model water.pt --data water_test.extxyz.xz --json errors.json")

# %%
# Run
# ---
#
# A tenth of a picosecond at constant pressure, which shows the way; hydrogen takes steps of 0.5 fs. ``--pdamp`` is the
# time in which the volume follows.

run(
    "pyg-mpnn md --model water.pt --structure water_test.extxyz.xz --frame 0 --ensemble npt --pressure 1bar "
    "--pdamp 100 --temperature 300 --timestep 0.5 --steps 200 --compile off --out npt"
)
pictures = [folder / "npt/energy_drift.png"]

# %%
# Structure and diffusion
# -----------------------
#
# From the committed run at constant volume, by these commands:

print(*record["commands"][1:], sep="\n")
pairs, moved = (record["nvt"][key] for key in ("pair_distribution", "mean_squared_displacement"))
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
for name, of in pairs["pairs"].items():
    left.plot(pairs["r_A"], of["g"], label=name)
left.axhline(1, color="grey", linewidth=0.6)
left.set(xlabel="r (Å)", ylabel="g(r)", xlim=(0, pairs["r_A"][-1]), ylim=(0, 5))
left.legend()
for name, of in moved["elements"].items():
    right.plot(moved["lag_ps"], of["msd_A2"], label=name)
right.set(xlabel="lag (ps)", ylabel="mean squared displacement (Å$^2$)", xlim=(0, None), ylim=(0, None))
right.legend()
plt.show()
print(f"mean temperature {record['nvt_summary']['mean_temperature_last_half_K']:.0f} K")
for name, of in moved["elements"].items():
    print(f"{name}: D = {of['D_A2_per_ps']:.2f} +- {of['D_error_A2_per_ps']:.2f} A^2/ps", end=", ")
    print("seen" if of["diffusion_seen"] else "not seen beyond its error")

# %%
# Some picoseconds are short: D is a slope with an error, and the command says so where it cannot be told from zero. A
# box of 27 molecules makes D smaller than that of a large one (I.-C. Yeh and G. Hummer, J. Phys. Chem. B 108, 15873
# (2004)).
#
# Density
# -------
#
# The committed run at 1 bar starts at 1 g/cm³. A mean is worth something only after the drift has ended: its parts must
# agree. The structures of the training have 0.8 to 1.3 g/cm³.

log = record["npt_log"]
mass = sum(frames[0].get_masses()) / units.kg * 1e27
figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
axes.plot([time / 1000 for time in log["time_fs"]], [mass / volume for volume in log["volume_A3"]])
axes.set(xlabel="time (ps)", ylabel="density (g/cm$^3$)")
plt.show()
density, error = record["npt_summary"]["density_last_half_g_per_cm3"]
print(f"last half: {density:.3f} +- {error:.3f} g/cm3")
sixth = len(log["volume_A3"]) // 6
parts = [sum(log["volume_A3"][k * sixth : (k + 1) * sixth]) / sixth for k in range(6)]
print("sixths of the run:", ", ".join(f"{mass / volume:.2f}" for volume in parts), "g/cm3")

# %%
# After 6 ps the density still rises, and it has left the densities of the training: from there the potential guesses.
# **This is not a density of water, nor of the method**; the error of the mean is of its scatter alone and does not see
# that. In the laboratory at 25 °C it is 0.997 g/cm³, and D = 0.23 Å²/ps (M. Holz, S. R. Heil and A. Sacco, Phys. Chem.
# Chem. Phys. 2, 4740 (2000)), half of what is found here at 1 g/cm³; the hydrogen bonds, at 2.0 Å in g(r) of H and O,
# hardly stand out. The frames are of dynamics with a force field of fixed charges, so the
# potential has not seen where its own dynamics goes. How much of the difference is the method's, only dynamics of the
# method itself tells.
#
# For a result: a hundred frames more, taken from dynamics of the potential itself (:doc:`pyg-mpnn learn </learning>`),
# 64 molecules and more, tens of picoseconds, and the g(r) of the reference method beside it.
