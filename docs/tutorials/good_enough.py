r"""
When is it good enough, how many frames, which size, how long
=============================================================

Four questions, each with a rule, where the rule is from, and a way to answer it on your data.
"""

# %%
# When is it good enough?
# -----------------------
#
# ``train`` and ``evaluate --out`` hold the errors of structures that were not trained on against three rules of thumb,
# for optimisation, dynamics at 300 K and phonons: :ref:`the rules and their sources <good-enough>`. An error alone says
# little: 50 meV/Å are much where forces are 0.1 eV/Å, and little where they are 5. Look at the error of the forces over
# their mean size too.
#
# They are necessary and not sufficient. What you need the potential for is the last judge: relax, vibrate or run with
# it, and compare with the reference method.
#
# How many frames?
# ----------------
#
# Errors fall as a power of the number of training structures,
#
# .. math:: \log \varepsilon = a - b \log n
#
# (B. Huang and O. A. von Lilienfeld, J. Chem. Phys. 145, 161102 (2016)). So each halving of the error costs the same
# factor of frames, and four trainings say which. On your data: ``pyg-mpnn inspect --data file.extxyz
# --learning-curve``. Here with equal numbers of steps, on shipped ethanol.

import json
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from matplotlib.ticker import NullLocator, ScalarFormatter

from pyg_mpnn.data import ethanol
from pyg_mpnn.inspection import extrapolate
from pyg_mpnn.training import TrainingSettings, evaluate, train

frames, valid = ethanol("train")[:200], ethanol("test")[:40]
counts, steps, batch_size = [25, 50, 100, 200], 250, 4
errors, seen = [], []
folder = Path(tempfile.mkdtemp())
for count in counts:
    settings = TrainingSettings(
        data="ethanol",
        out=f"{folder}/{count}",
        size="small",
        cutoff=4,
        epochs=steps * batch_size // count,
        batch_size=batch_size,
        compile="off",
    )
    result = train(settings, frames=frames[:count], valid=valid)
    errors.append(result.errors.forces_mae_meV_per_A)
    seen.append(evaluate(result.potential, frames[:count]).forces_mae_meV_per_A)

# %%
# The dashed line is the error of the structures trained on. Where both lines meet, more frames do not help: train
# for longer, or take a larger model. Where they part, the model has learned its frames by heart, and more of them
# help. After so few steps the lines come near each other on the right: there it is time that lacks.

slope, middle, low, high, falls = extrapolate(counts, errors)
print(f"error ~ n^{slope:.2f}; with {2 * counts[-1]} frames about {middle:.0f} meV/Å ({low:.0f} to {high:.0f})")
print("the errors fall" if falls else "the errors do not fall beyond their scatter: the extrapolation says nothing")
figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
axes.loglog(counts, errors, "o-", label="other structures")
axes.loglog(counts, seen, "o--", label="those trained on")
axes.errorbar(
    [2 * counts[-1]], [middle], [[middle - low], [high - middle]], fmt="s", capsize=4, label="extrapolated, 68 %"
)
axes.set(xlabel="training structures", ylabel="force MAE (meV/Å)")
axes.set_xticks([*counts, 2 * counts[-1]], [*map(str, counts), str(2 * counts[-1])])
axes.xaxis.set_minor_locator(NullLocator())
axes.yaxis.set_minor_formatter(ScalarFormatter())
axes.legend()
plt.show()
assert seen[0] < errors[0]

# %%
# How the frames are chosen matters more than their number. 1000 frames of one trajectory at 300 K say nothing of
# 600 K, of a broken bond or of another cell. Take them from where the potential will go: higher temperatures than you
# need, strained cells, other densities; then run dynamics with error bars (:doc:`/uncertainty`), compute the
# structures where these are large, and add them.
#
# Which size?
# -----------
#
# ``base``, unless steps are too slow. Below, the errors of validation structures against the minutes of training on
# one core, for 950 frames each (measured, ``benchmarks/results/peers``; both sizes with Adam and compiled, one seed).
# At equal minutes the larger one is better after the first minute, though it makes fewer steps. The peak on the left
# is a training that nearly diverged and went on.

results = Path("../../benchmarks/results/peers")  # from this page in the clone
figure, panels = plt.subplots(1, 2, figsize=(9, 4), layout="constrained", sharey=True)
for axes, molecule in zip(panels, ("ethanol", "aspirin"), strict=True):
    for name, label in (("ours-small", "small"), ("ours", "base")):
        curve = json.loads((results / f"{molecule}-{name}-seed0.json").read_text())["learning_curve"]
        minutes, error = ([point[key] for point in curve] for key in ("minutes", "forces_mae_meV_per_A"))
        axes.loglog(minutes, error, label=f"{label}, {error[-1]:.1f} meV/Å at the end")
    axes.set(title=molecule, xlabel="minutes of training")
    axes.legend()
panels[0].set_ylabel("force MAE (meV/Å)")
plt.show()

# %%
# How long?
# ---------
#
# Our own rule: 5000 steps are a fair start, ten minutes for a small molecule on one core. The learning rate falls to
# zero at the end of the time that you give, so a training that was stopped early is worse than one that was short from
# the start: choose ``--minutes`` before, and do not judge the curve in its middle. Twice as long is worth trying as
# long as the errors of training and validation structures are near each other.

assert torch.tensor(errors).isfinite().all()
