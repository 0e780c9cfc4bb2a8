"""Are the energies in eV? Total energies beside those of the free atoms."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch_geometric.data import Data

from pyg_mpnn.inspection.finding import Finding
from pyg_mpnn.units import HARTREE, KCAL_PER_MOL, KJ_PER_MOL, MEV

__all__ = ["check_energy_units"]

# Hartree-Fock energies of the free atoms in hartree: all electrons, so within 1 or 2% of any method with all of them.
ATOMS = {
    **{1: 0.5, 2: 2.862, 3: 7.433, 4: 14.573, 5: 24.529, 6: 37.689, 7: 54.401, 8: 74.809, 9: 99.409, 10: 128.547},
    **{11: 161.859, 12: 199.615, 13: 241.877, 14: 288.854, 15: 340.719, 16: 397.505, 17: 459.482, 18: 526.818},
    **{19: 599.165, 20: 676.758, 35: 2572.441, 36: 2752.055},
}
UNITS = {
    "eV": 1.0,
    "hartree": HARTREE,
    "kcal/mol": KCAL_PER_MOL,
    "kJ/mol": KJ_PER_MOL,
    "rydberg": HARTREE / 2,
    "meV": MEV,
}
BINDING = 30.0  # eV/atom: more than any solid or molecule gains from its free atoms


def check_energy_units(frames: Sequence[Data]) -> Finding:
    """Compare the energies with those of the free atoms, which only methods with all electrons have.

    The ratio tells the unit to a few percent. Energies of pseudopotentials and relative energies have no such mark;
    of these, only ones beyond 30 eV per atom are remarked on.

    Args:
        frames: structures with energies.

    Returns:
        The finding.

    Units:
        eV where they are right.

    Source:
        atoms: E. Clementi and C. Roetti, At. Data Nucl. Data Tables 14, 177 (1974).
    """
    name = "unit of the energies"
    energies = np.array([float(frame.energy) for frame in frames])
    sizes = np.array([frame.z.numel() for frame in frames])
    per_atom = float(np.median(energies / sizes))
    numbers: dict[str, object] = {"energy_per_atom_median": per_atom, "energy_span": float(np.ptp(energies))}
    if all(int(z) in ATOMS for frame in frames for z in frame.z.unique()):
        free = np.array([-HARTREE * sum(ATOMS[z] for z in frame.z.tolist()) for frame in frames])
        ratio = float(np.median(energies / free))
        numbers["ratio_to_free_atoms"] = ratio
        for unit, size in UNITS.items():
            if 0.975 < ratio * size < 1.06:
                text = f"Total energies of all electrons in {unit} ({ratio:.4g} of those of the free atoms in eV)."
                right = unit == "eV"
                wrong = "" if right else " They are read as eV: CONVERT them."
                return Finding(name, "ok" if right else "warning", text + wrong, numbers)
    if abs(per_atom) > BINDING:
        text = (
            f"Cannot tell: {per_atom:.4g} per atom fits a pseudopotential in eV, or binding energies in another unit."
        )
        return Finding(name, "note", text, numbers)
    return Finding(name, "ok", f"{per_atom:.4g} per atom, as of binding energies or pseudopotentials in eV.", numbers)
