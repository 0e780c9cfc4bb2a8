"""Train the checkpoints of file format 3 and write what they predict: ``values.json`` beside this file.

It is a record: the numbers are those of commit dec9c62, and it must be run on that commit's package or not at all::

    git worktree add /tmp/dec9c62 dec9c62
    PYTHONPATH=/tmp/dec9c62 python tests/models/golden/make.py

``tests/models/test_golden_checkpoints.py`` holds every later version to them. Each file is a ``best.ckpt`` of
``pyg-mpnn train`` (or a file of ``save``: ``*.pt``), compressed by xz. Those of ``WHOLE`` have all that a training
wrote; of the others the state of the training (optimizer, averages, random numbers) is left out for its size.
"""

from __future__ import annotations

import io
import json
import lzma
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import ase.io
import torch
from torch_geometric.data import Data

import pyg_mpnn
from pyg_mpnn import ZBL, Potential, PropertyModel, SumPotential, load_potential
from pyg_mpnn.cli import main
from pyg_mpnn.data import QM9, ethanol, read_structures, to_atoms

COMMIT = "dec9c62"
HERE = Path(__file__).parent
ASSETS = HERE.parents[1] / "data" / "assets"
SMALL = {"hidden_channels": 8, "edge_dim": 6, "channels": 2, "num_radial": 5}
ALL = '["receiver", "sender", "pair"]'
KEPT = ("pyg_mpnn", "state_dict", "epoch", "global_step", "pytorch-lightning_version")
WHOLE = ("contracted", "intensive")

POTENTIALS: dict[str, dict[str, Any]] = {
    "contracted": {},
    "gaussian_cosine_sigmoid": {
        "model": {"basis": "gaussian", "envelope": "cosine", "attention": "sigmoid", "heads": 2, "invariants": ALL},
    },
    "exp_normal_bump_softmax": {
        "model": {
            "basis": "exp_normal",
            "envelope": "bump",
            "attention": "softmax",
            "heads": 2,
            "readout": "learned",
            "potential_heads": "last",
        }
    },
    "raw": {"model": {"directions": "raw", "symmetry": "unconstrained", "attention": "sigmoid", "envelope": "cosine"}},
    "radial": {
        "model": {"directions": "radial", "basis": "gaussian", "attention": "softmax", "potential_heads": "last"}
    },
    "two_scales": {
        "flags": ["--cutoff", "3", "5"],
        "model": {"attention": "sigmoid", "invariants": '["sender", "pair"]', "basis": "exp_normal"},
    },
    "three_scales_zbl": {"flags": ["--cutoff", "2.5", "4", "5.5", "--zbl"], "model": {"attention": "softmax"}},
    "zbl": {"flags": ["--cutoff", "4", "--zbl"], "model": {"l_max": 3, "num_layers": 1, "envelope": "bump"}},
    "isolated_float64": {
        "flags": ["--isolated", "{1: -13.6, 6: -1029.5, 8: -2041.8}", "--dtype", "float64", "--loss", "huber"],
        "model": {"l_max": 0, "readout": "learned"},
    },
    "crystal": {"flags": ["--cutoff", "4"], "model": {"attention": "sigmoid"}},
}
PROPERTIES: dict[str, dict[str, Any]] = {
    "extensive": {"target": "U0"},
    "intensive": {"target": "gap", "model": {"attention": "sigmoid"}},
    "dipole": {"target": "mu", "model": {"directions": "radial", "basis": "gaussian"}},
    "spatial_extent": {"target": "r2", "flags": ["--cutoff", "3", "5"], "model": {"basis": "exp_normal"}},
}


def structures() -> dict[str, Data]:
    """What the models are evaluated on."""
    first, last = ethanol("test")[0], ethanol("test")[-1]
    squeezed = Data(z=first.z, pos=0.6 * first.pos)  # where ZBL is not zero
    surface, _, elastic, _ = read_structures(ASSETS / "si.extxyz")
    found = {"ethanol": first, "another ethanol": last, "squeezed": squeezed, "surface": surface, "elastic": elastic}
    found |= {f"molecule {k}": QM9(ASSETS / "qm9")[k] for k in (1, 20, 70, 95)}
    return {name: _place(data) for name, data in found.items()}


def _place(data: Data) -> Data:
    place = Data(z=data.z, pos=data.pos.double())
    if "pbc" in data and bool(data.pbc.any()):
        place.cell, place.pbc = data.cell.double(), data.pbc
    return place


def train(name: str, case: dict[str, Any], folder: Path) -> None:
    """A training of two epochs by the command line, and its best checkpoint here."""
    model = {**SMALL, **case.get("model", {})}
    flags = [word for key, value in model.items() for word in (f"--model.{key}", str(value))]
    if "target" in case:
        data = ["--data", str(ASSETS / "qm9"), "--target", case["target"], "--batch-size", "16"]
    elif name == "crystal":
        data = ["--data", str(ASSETS / "si.extxyz"), "--valid-size", "1", "--batch-size", "1"]
    else:
        data = ["--data", "ethanol.extxyz", "--valid-size", "4", "--batch-size", "4"]
    flags += [*data, *case.get("flags", []), "--size", "small", "--epochs", "2", "--device", "cpu"]
    assert main(["train", *flags, "--out", name, "--threads", "1", "--compile", "off"]) == 0
    best = folder / name / "best.ckpt"
    content = torch.load(best, weights_only=True)
    if name not in WHOLE:
        content = {key: content[key] for key in KEPT}
        del content["pyg_mpnn"]["random_state"]
        file = io.BytesIO()
        torch.save(content, file)
        best.write_bytes(file.getvalue())
    (HERE / f"{name}.ckpt.xz").write_bytes(lzma.compress(best.read_bytes(), preset=9 | lzma.PRESET_EXTREME))


def save(name: str, potential: Potential | SumPotential, folder: Path) -> None:
    """A file of ``save``, here."""
    potential.save(folder / f"{name}.pt")
    content = (folder / f"{name}.pt").read_bytes()
    (HERE / f"{name}.pt.xz").write_bytes(lzma.compress(content, preset=9 | lzma.PRESET_EXTREME))


def evaluate(model: Any, data: Data) -> dict[str, Any]:
    """What a model says of one structure, in float64, as nested lists."""
    if isinstance(model, PropertyModel):
        return {"property": model(data).tolist()}
    periodic = "pbc" in data
    output = model(data, stress=periodic)
    found = {"energy": output.energy, "atom_energies": output.atom_energies, "forces": output.forces}
    found |= {"virial": model.virial(data)}
    if periodic:
        found["stress"] = output.stress
    return {key: value.tolist() for key, value in found.items()}


def write_values(folder: Path, names: list[str]) -> None:
    """Read the files again, evaluate them, and write ``values.json``."""
    places = structures()
    values: dict[str, Any] = {}
    for name in names:
        path = next(folder.glob(f"{name}/best.ckpt"), folder / f"{name}.pt")
        is_property = name in PROPERTIES
        model = (PropertyModel.load(path) if is_property else load_potential(path)).double()
        wanted = [key for key in places if key.startswith("molecule") == is_property]
        wanted = [key for key in wanted if is_property or (key in ("surface", "elastic")) == (name == "crystal")]
        wanted = [key for key in wanted if key != "squeezed" or "zbl" in name or "sum" in name]
        values[f"{name}{path.suffix}"] = {key: evaluate(model, places[key]) for key in wanted}
    record = {
        "commit": COMMIT,
        "torch": torch.__version__,
        "structures": {
            name: {key: value.tolist() for key, value in data.to_dict().items()} for name, data in places.items()
        },
        "values": values,
    }
    (HERE / "values.json").write_text(json.dumps(record) + "\n")


def make() -> None:
    """Train, save and evaluate everything."""
    source = Path(pyg_mpnn.__file__).parents[1]
    git = ["git", "-C", str(source), "status", "--porcelain", "--", "pyg_mpnn"]
    head = ["git", "-C", str(source), "rev-parse", "HEAD:pyg_mpnn", f"{COMMIT}:pyg_mpnn"]
    changed, trees = (subprocess.check_output(command, text=True).split() for command in (git, head))
    assert not changed, f"the package must be that of {COMMIT}, got changes in {source}"
    assert trees[0] == trees[1], f"the package must be that of {COMMIT}, got another in {source}"
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        os.chdir(folder)  # so that the files hold no absolute path
        ase.io.write("ethanol.extxyz", [to_atoms(frame) for frame in ethanol("train")[:16]])
        for name, case in {**POTENTIALS, **PROPERTIES}.items():
            train(name, case, folder)
        contracted, radial = (load_potential(folder / name / "best.ckpt") for name in ("contracted", "radial"))
        save("saved", contracted, folder)
        radii = {(1, 1): 1.0, (1, 6): 0.9, (1, 8): 0.95}
        save("sum", SumPotential(SumPotential(contracted, ZBL(radii)), radial), folder)
        write_values(folder, [*POTENTIALS, *PROPERTIES, "saved", "sum"])


if __name__ == "__main__":
    make()
