"""A metatomic file of a potential, run in ASE; LAMMPS, i-PI, GROMACS and others of metatomic's engines read it too."""

from __future__ import annotations

from metatomic_ase import MetatomicCalculator

from pyg_mpnn.data import ethanol, to_atoms
from pyg_mpnn.engines import export_metatomic

export_metatomic("best.ckpt", "ethanol.pt")
atoms = to_atoms(ethanol("test")[0])
atoms.calc = MetatomicCalculator("ethanol.pt")
print("energy:", atoms.get_potential_energy(), "eV")
