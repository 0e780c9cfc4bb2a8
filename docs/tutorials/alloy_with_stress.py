r"""
An alloy with stress: equation of state, elastic constants, phonons
===================================================================

Crystals have stresses besides energies and forces, and what one wants of them are derivatives. Here the reference is
ASE's EMT potential for copper and gold, which stands in for a quantum calculation: it costs nothing, so that all
results can be compared with what they should be.
"""

# %%
# Frames
# ------
#
# Cells of four atoms on the fcc sites with random elements, strained by up to 4 %, atoms moved by 0.05 Å or so.
# Without strained cells there is nothing to learn an elastic constant from, without moved atoms no phonon.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.eos import EquationOfState
from ase.phonons import Phonons

from pyg_mpnn import PotentialCalculator
from pyg_mpnn.data import to_data
from pyg_mpnn.training import TrainingSettings, train

random = np.random.default_rng(0)


def ordered(lattice_constant: float) -> Atoms:
    """Cu3Au: gold at the corners, copper at the faces."""
    atoms = bulk("Cu", "fcc", a=lattice_constant, cubic=True)
    atoms.symbols[0] = "Au"
    return atoms


def frame() -> Atoms:
    gold = random.integers(0, 5)
    atoms = bulk("Cu", "fcc", a=3.61 + 0.115 * gold, cubic=True)
    atoms.symbols = random.permutation(["Au"] * gold + ["Cu"] * (4 - gold))
    strain = random.uniform(-0.04, 0.04, (3, 3))
    atoms.set_cell(atoms.cell @ (np.eye(3) + (strain + strain.T) / 2), scale_atoms=True)
    atoms.rattle(random.uniform(0.01, 0.08), rng=random)
    atoms.calc = EMT()
    atoms.get_stress()
    return atoms


frames = [to_data(frame()) for _ in range(160)]
print(frames[0])

# %%
# Training
# --------
#
# Nothing has to be said about the stress: where structures have one, it is learned.

folder = Path(tempfile.mkdtemp())
settings = TrainingSettings(
    data="Cu-Au by EMT",
    out=f"{folder}/run",
    size="small",
    cutoff=5,
    epochs=12,
    batch_size=4,
    valid_size=20,
    compile="off",
)
result = train(settings, frames=frames)
models = {"reference": EMT(), "learned": PotentialCalculator(result.potential.double())}

# %%
# Equation of state
# -----------------
#
# Energies at nine volumes, fitted with that of Birch and Murnaghan.

lattice = np.linspace(3.62, 3.90, 9)
figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
constants, table = {}, []
for name, calculator in models.items():
    volumes, energies = [], []
    for constant in lattice:
        atoms = ordered(constant)
        atoms.calc = calculator
        volumes.append(atoms.get_volume())
        energies.append(atoms.get_potential_energy())
    volume, energy, modulus = EquationOfState(volumes, energies, eos="birchmurnaghan").fit()
    constants[name] = volume ** (1 / 3)
    table.append(f"{name:10} a {constants[name]:.3f} Å, bulk modulus {modulus / units.GPa:.0f} GPa")
    axes.plot(volumes, 1000 * (np.array(energies) - energy) / 4, "o-" if name == "reference" else "s--", label=name)
axes.set(xlabel="volume of the cell (Å³)", ylabel="energy above the minimum (meV/atom)")
axes.legend()
plt.show()
print(*table, sep="\n")

# %%
# Elastic constants
# -----------------
#
# A cubic crystal has three. Each is a slope of the stress with a strain of ±0.5 %, at the lattice constant of each
# model: :math:`C_{11}` and :math:`C_{12}` from a stretch along x, :math:`C_{44}` from a shear of y and z. In Cu3Au no
# atom is free to move under these strains, as each sits on an inversion centre. The bulk modulus is :math:`(C_{11} + 2
# C_{12}) / 3`.


def stress(calculator, constant: float, strain: np.ndarray) -> np.ndarray:
    atoms = ordered(constant)
    atoms.set_cell(atoms.cell @ (np.eye(3) + strain), scale_atoms=True)
    atoms.calc = calculator
    return atoms.get_stress() / units.GPa  # xx, yy, zz, yz, xz, xy


stretch, shear, size = np.zeros((3, 3)), np.zeros((3, 3)), 0.005
stretch[0, 0] = size
shear[1, 2] = shear[2, 1] = size / 2
elastic = {}
for name, calculator in models.items():
    of_stretch, of_shear = (
        (stress(calculator, constants[name], s) - stress(calculator, constants[name], -s)) / (2 * size)
        for s in (stretch, shear)
    )
    elastic[name] = [of_stretch[0], of_stretch[1], of_shear[3], (of_stretch[0] + 2 * of_stretch[1]) / 3]
    print(
        f"{name:10}", *(f"{k} {v:4.0f}" for k, v in zip(("C11", "C12", "C44", "B"), elastic[name], strict=True)), "GPa"
    )
assert np.allclose(elastic["learned"], elastic["reference"], rtol=0.35)

# %%
# Phonons
# -------
#
# Forces of a cell of 2 x 2 x 2 with one atom moved by 0.02 Å, by ASE.

figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
found = []
for name, calculator in models.items():
    phonons = Phonons(ordered(constants[name]), calculator, supercell=(2, 2, 2), delta=0.02, name=str(folder / name))
    phonons.run()
    phonons.read(acoustic=True)
    bands = phonons.get_band_structure(ordered(constants[name]).cell.bandpath("GXMGR", npoints=60), verbose=False)
    found.append(bands.energies[0] / units.invcm)
    distance, ticks, labels = bands.path.get_linear_kpoint_axis()
    style = {"reference": "k-", "learned": "C1--"}[name]
    lines = axes.plot(distance, found[-1], style, linewidth=1)
    lines[0].set_label(name)
axes.set_xticks(ticks, labels)
axes.set(ylabel="wavenumber (cm$^{-1}$)", xlim=(0, distance[-1]))
axes.axhline(0, color="grey", linewidth=0.5)
axes.legend()
plt.show()

difference = abs(found[1] - found[0])
print(f"{difference.mean():.0f} cm^-1 apart on average, {difference.max():.0f} at most")
assert difference.mean() < 25

# %%
# The slopes at G are velocities of sound, and as good as the elastic constants. The differences are largest at the
# border of the zone, where neighbours move against each other: a training of seconds, and 160 frames.
#
# From a trained file the same is done by commands: ``pyg-mpnn relax --cell`` and ``pyg-mpnn vib``
# (:doc:`/commands`). How silicon and lithium come out against DFT: ``benchmarks/periodic``.
