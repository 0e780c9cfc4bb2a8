"""Run by mpiexec from test_lammps.py: structures of several kinds in LAMMPS, results from process 0 to a file.

python domains.py FOLDER RESULT [fail]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from mpi4py import MPI

from pyg_mpnn.engines.lammps import Lammps

folder, result, *mode = sys.argv[1:]
world = MPI.COMM_WORLD
results = {}
for data in sorted(Path(folder).glob("*.data")):
    lmp = Lammps(["-screen", "none", "-log", "none"])
    boundary, model = data.with_suffix(".txt").read_text().split("\n")[:2]
    lmp.commands_string(f"""
        units metal
        atom_style atomic
        atom_modify map yes
        boundary {boundary}
        read_data {data}
        pair_style pyg_mpnn skin 0.4
        pair_coeff * * {model} H C O Si
        thermo_style custom step pe pxx pyy pzz pxy pxz pyz etotal vol
        run 0
    """)
    forces = np.array(lmp.gather_atoms("f", 1, 3)).reshape(-1, 3)
    values = [lmp.get_thermo(name) for name in ["pe", "pxx", "pyy", "pzz", "pxy", "pxz", "pyz", "vol"]]
    if mode and world.rank == world.size - 1:
        lmp.evaluator.potential = None  # what breaks on one process only
    lmp.commands_string(
        """
        velocity all create 600 1 loop geom
        timestep 0.0005
        fix box all npt temp 600 600 0.05 aniso 1000 1000 0.1
    """
        if boundary == "p p p"
        else """
        velocity all create 600 1 loop geom
        timestep 0.0005
        fix atoms all nve
    """
    )
    lmp.command("run 12")
    positions = np.array(lmp.gather_atoms("x", 1, 3)).reshape(-1, 3)
    after = [lmp.get_thermo(name) for name in ("pe", "etotal", "vol")]
    for name, value in {"forces": forces, "values": values, "positions": positions, "after": after}.items():
        results[f"{data.stem}_{name}"] = np.asarray(value)
    lmp.close()
if world.rank == 0:
    np.savez(result, **results)
