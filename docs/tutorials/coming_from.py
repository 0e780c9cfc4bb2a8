r"""
Coming from SchNet (PyG), SchNetPack, NequIP or MACE
====================================================

Files that these programs are trained on, read as they are; and what their settings are called here. Weights of PyG's
SchNet and SchNetPack's PaiNN are taken over by ``take_over`` in ``examples/architectures``; of all others none
are: train again. Each file below is in the layout of its program, made here of a few frames of ethanol.
"""

# %%
# SchNet in PyG
# -------------
#
# PyG's ``MD17`` keeps ``processed/data.pt``: fields of all frames joined, in kcal/mol, the forces under ``force``.

import tempfile
from pathlib import Path

import ase.db
import ase.io
import torch
from ase import Atoms, units
from torch_geometric.data import Data, InMemoryDataset

from pyg_mpnn import Potential
from pyg_mpnn.data import ethanol, read_structures, to_atoms

folder = Path(tempfile.mkdtemp())
frames = ethanol("train")[:20]
KCAL = units.kcal / units.mol


def compare(name: str) -> None:
    """Read a file and compare it with what it was made of."""
    read = read_structures(folder / name)[-len(frames) :]
    for given, found in zip(frames, read, strict=True):
        torch.testing.assert_close(found.energy, given.energy, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(found.forces, given.forces, rtol=1e-5, atol=1e-6)
    print(f"{name}: {len(read)} frames, the first {read[0].energy.item():.3f} eV")


joined, slices = InMemoryDataset.collate(
    [Data(z=f.z, pos=f.pos, energy=f.energy / KCAL, force=f.forces / KCAL) for f in frames]
)
torch.save((joined.to_dict(), slices, Data), folder / "data.pt")
compare("data.pt")

# %%
# In code, a ``Potential`` takes the place of the network, is called in the same way, and gives the forces too.
# SchNet's own search stops at 32 neighbours (``max_num_neighbors``); here none is left out.

z, pos, batch = frames[0].z, frames[0].pos.float(), torch.zeros(9, dtype=torch.long)
output = Potential.from_size("small")(z, pos, batch=batch)
print(output.energy.shape, output.forces.shape)

# %%
# SchNetPack
# ----------
#
# An ASE database with properties in ``data`` and their units in the metadata, from which they are converted.

with ase.db.connect(folder / "schnetpack.db", use_lock_file=False) as database:
    database.metadata = {
        "_property_unit_dict": {"energy": "kcal/mol", "forces": "kcal/mol/Ang"},
        "_distance_unit": "Ang",
        "atomrefs": {},
    }
    for f in frames:
        labels = {"energy": f.energy.numpy() / KCAL, "forces": f.forces.numpy() / KCAL}
        database.write(Atoms(f.z.numpy(), f.pos.numpy()), data=labels)
compare("schnetpack.db")

# %%
# NequIP and Allegro
# ------------------
#
# Extended XYZ with ``energy`` and ``forces``, in eV and Å, or the npz of sGDML (``R``, ``z``, ``E``, ``F``), in
# kcal/mol.

ase.io.write(folder / "nequip.extxyz", [to_atoms(f) for f in frames])
compare("nequip.extxyz")

# %%
# MACE
# ----
#
# Extended XYZ with ``REF_energy`` and ``REF_forces``, and isolated atoms with ``config_type=IsolatedAtom``, whose
# energies become the reference energies here too. Below their numbers are made up.

structures = []
for symbol, energy in (("H", -13.6), ("C", -1027.0), ("O", -2041.0)):
    atom = Atoms(symbol, info={"config_type": "IsolatedAtom", "REF_energy": energy})
    atom.arrays["REF_forces"] = atom.positions * 0
    structures.append(atom)
for f in frames:
    atoms = Atoms(f.z.numpy(), f.pos.numpy(), info={"REF_energy": f.energy.item()})
    atoms.arrays["REF_forces"] = f.forces.numpy()
    structures.append(atoms)
ase.io.write(folder / "mace.xyz", structures)
compare("mace.xyz")

# %%
# Settings
# --------
#
# .. list-table::
#    :header-rows: 1
#
#    * - here
#      - SchNet (PyG)
#      - SchNetPack
#      - NequIP
#      - MACE
#    * - ``--cutoff 5``
#      - ``cutoff=5``
#      - ``globals.cutoff``
#      - ``r_max``
#      - ``--r_max``
#    * - ``--model.num_layers``
#      - ``num_interactions``
#      - ``n_interactions``
#      - ``num_layers``
#      - ``--num_interactions``
#    * - ``--model.hidden_channels``
#      - ``hidden_channels``
#      - ``n_atom_basis``
#      - ``num_features``
#      - ``--num_channels``
#    * - ``--model.l_max`` (of the directions; features of the atoms stay invariant)
#      - none
#      - none in SchNet and PaiNN
#      - ``l_max``
#      - ``--max_ell``
#    * - ``--model.num_products`` (of densities at the atom, in each layer)
#      - none
#      - none
#      - none
#      - ``--correlation`` (not equal in number: ours are repeated products)
#    * - ``--model.num_radial``
#      - ``num_gaussians``
#      - ``n_rbf``
#      - ``num_bessels``
#      - ``--num_radial_basis``
#    * - ``--energy-weight``, ``--force-weight``, ``--stress-weight``
#      - your loop
#      - ``loss_weight`` of an output
#      - coefficients of the loss
#      - ``--energy_weight`` and so on
#    * - ``--isolated``, or isolated atoms in the file
#      - ``atomref``
#      - ``atomrefs``
#      - ``per_type_energy_shifts``
#      - ``--E0s``, or isolated atoms in the file
#    * - ``--start-from best.ckpt``
#      - load the state
#      - load the model
#      - from a checkpoint
#      - ``--foundation_model``
#
# Here all is in eV and Å. The stress has ASE's sign; a virial is read by ``--virial-key``.
