"""Are the energies in eV, and the forces in eV/A?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from ase.data import chemical_symbols, covalent_radii
from torch_geometric.data import Data

from pyg_mpnn.geometry import edge_vectors, neighbor_list
from pyg_mpnn.inspection.finding import Finding
from pyg_mpnn.units import BOHR, HARTREE, KCAL_PER_MOL, KJ_PER_MOL, MEV

__all__ = ["check_energy_units", "check_force_units"]


# Hartree-Fock energies of the free atoms in hartree: all electrons, so within 1 or 2% of any method with all of them.
ATOMS = {
    **{1: 0.5, 2: 2.862, 3: 7.433, 4: 14.573, 5: 24.529, 6: 37.689, 7: 54.401, 8: 74.809, 9: 99.409, 10: 128.547},
    **{11: 161.859, 12: 199.615, 13: 241.877, 14: 288.854, 15: 340.719, 16: 397.505, 17: 459.482, 18: 526.818},
    **{19: 599.165, 20: 676.758, 35: 2572.441, 36: 2752.055},
}
ENERGY_UNITS = {
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
    of these, only ones beyond 30 eV per atom are remarked on. Energies of xTB in eV are as large as those of all
    electrons in rydberg; forces in eV/A tell them apart.

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
        for unit, size in ENERGY_UNITS.items():
            if 0.975 < ratio * size < 1.06:
                text = f"Total energies of all electrons in {unit} ({ratio:.4g} of those of the free atoms in eV)."
                right = unit == "eV"
                numbers["unit"] = unit
                if unit == "rydberg" and _forces_fit(frames):
                    text = (
                        "Those of valence electrons in eV (xTB, pseudopotentials), for the forces are in eV/A; of all "
                        f"electrons in rydberg they would be as large ({ratio:.4g} of the free atoms in eV)."
                    )
                    return Finding(name, "note", text, {**numbers, "unit": "eV"})
                wrong = "" if right else " They are read as eV: CONVERT them."
                return Finding(name, "ok" if right else "warning", text + wrong, numbers)
    if abs(per_atom) > BINDING:
        text = (
            f"Cannot tell: {per_atom:.4g} per atom fits a pseudopotential in eV, or binding energies in another unit."
        )
        return Finding(name, "note", text, numbers)
    return Finding(name, "ok", f"{per_atom:.4g} per atom, as of binding energies or pseudopotentials in eV.", numbers)


def _forces_fit(frames: Sequence[Data]) -> bool:
    """Whether there are forces, and they are in eV/A."""
    known = [frame for frame in frames if "forces" in frame]
    return bool(known) and check_force_units(known).severity == "ok"


NONMETALS = (1, 5, 6, 7, 8, 9, 14, 15, 16, 17, 32, 33, 34, 35, 53)
TYPICAL = 40.0  # eV: stiffness times length squared; 11 (C-O in aspirin) to 113 (C=O) in rMD17, 21 to 24 in Si
SPREAD = 5.0  # about as far from the typical one as stiffness goes
FORCE_UNITS = {
    "eV/A": 1.0,
    "kcal/mol/A": KCAL_PER_MOL,
    "kJ/mol/A": KJ_PER_MOL,
    "hartree/A": HARTREE,
    "hartree/bohr": HARTREE / BOHR,
    "meV/A": MEV,
}
MAX_FRAMES = 200
FEWEST = 50


def check_force_units(frames: Sequence[Data]) -> Finding:
    r"""Measure the stiffness of bonds between nonmetals, which is much the same in all of chemistry.

    .. math:: k d^2 = -d^2 \, \partial_d \big\langle \tfrac{1}{2} (F_j - F_i) \cdot \hat r_{ij} \big\rangle

    of length :math:`d`, by linear regression over the bonds of each kind, those to hydrogen where there are any. Its
    typical size of 40 eV tells the unit of the forces to a factor of 4, and its sign theirs.

    Args:
        frames: structures with forces.

    Returns:
        The finding.

    Units:
        eV where the forces are in eV/A.

    Source:
        own design; the typical size is from revised MD17 and mlearn's Si.
    """
    name = "unit of the forces"
    if "forces" not in frames[0]:
        return Finding(name, "note", "Cannot tell: there are no forces.")
    if not any(bool(frame.forces.any()) for frame in frames if "forces" in frame):
        text = (
            "All forces are ZERO: energies and stresses alone are learned. Add structures with atoms off their sites."
        )
        return Finding(name, "note", text)
    kinds: defaultdict[tuple[int, int], list[np.ndarray]] = defaultdict(list)
    for frame in frames[:: -(-len(frames) // MAX_FRAMES)]:
        _add_bonds(frame, kinds)
    stiffness = {}
    for kind, parts in kinds.items():
        distances, forces = np.concatenate(parts, axis=1)
        if len(distances) >= FEWEST and distances.std() > 0.005:  # A
            label = "-".join(chemical_symbols[z] for z in kind)
            stiffness[label] = -float(np.polyfit(distances, forces, 1)[0] * np.median(distances) ** 2)
    numbers: dict[str, object] = {"stiffness_times_length_squared_eV": stiffness}
    if not stiffness:
        return Finding(
            name, "note", "Cannot tell: there are too few bonds between nonmetals of varied length.", numbers
        )
    of_hydrogen = [value for label, value in stiffness.items() if label.startswith("H-")]
    middle = float(np.median(of_hydrogen or list(stiffness.values())))
    if middle == 0:
        return Finding(name, "warning", "The forces along the bonds are ZERO.", numbers)
    unit = min(FORCE_UNITS, key=lambda unit: abs(np.log(abs(middle) * FORCE_UNITS[unit] / TYPICAL)))
    numbers["unit"] = unit
    numbers["could_be"] = [
        name for name, size in FORCE_UNITS.items() if 1 / SPREAD < abs(middle) * size / TYPICAL < SPREAD
    ] or [unit]
    measured = f"stiffness times squared length of bonds is {middle:.3g} (about {TYPICAL:g} in eV)"
    if middle < 0:
        return Finding(
            name, "warning", f"The forces have the WRONG SIGN: {measured}; they push long bonds apart.", numbers
        )
    if unit != "eV/A":
        return Finding(name, "warning", f"The forces are likely in {unit.upper()}, not eV/A: {measured}.", numbers)
    return Finding(name, "ok", f"eV/A: {measured}.", numbers)


def _add_bonds(frame: Data, kinds: dict[tuple[int, int], list[np.ndarray]]) -> None:
    z = frame.z.numpy()
    cell, pbc = getattr(frame, "cell", None), getattr(frame, "pbc", None)
    pos = frame.pos.double()
    longest = 2.5 * float(covalent_radii[z].max())
    edge_index, shifts = neighbor_list(pos, longest, cell=cell, pbc=pbc)
    edges = edge_vectors(pos, edge_index, shifts, None if cell is None else cell.double()).numpy()
    first, second = edge_index.numpy()
    distances = np.linalg.norm(edges, axis=1)
    bonded = distances < 1.25 * (covalent_radii[z[first]] + covalent_radii[z[second]])
    bonded &= np.isin(z[first], NONMETALS) & np.isin(z[second], NONMETALS) & (z[first] <= z[second])
    forces = frame.forces.double().numpy()
    # from centre (second) to neighbour (first): the force that drives them apart
    apart = 0.5 * ((forces[first] - forces[second]) * edges).sum(axis=1) / distances
    for kind in np.unique(z[first[bonded]] * 200 + z[second[bonded]]):
        chosen = bonded & (z[first] * 200 + z[second] == kind)
        kinds[int(kind) // 200, int(kind) % 200].append(np.stack([distances[chosen], apart[chosen]]))
