"""Trained checkpoints of file format 3 predict what commit dec9c62 did (``golden/make.py`` made them there)."""

from __future__ import annotations

import json
import lzma
from pathlib import Path
from typing import Any

import ase.io
import pytest
import torch
from torch_geometric.data import Data

from pyg_mpnn import load_potential
from pyg_mpnn.cli import main
from pyg_mpnn.data import ethanol, to_atoms

FOLDER = Path(__file__).with_name("golden")
GOLDEN: dict[str, Any] = json.loads((FOLDER / "values.json").read_text())
VALUES: dict[str, dict[str, Any]] = GOLDEN["values"]
TOLERANCE = 1e-12  # of the largest component, float64
SMALL = 1e-2  # forces that are zero by symmetry are rounding


def unpack(name: str, folder: Path) -> Path:
    """The file as the training wrote it."""
    path = folder / name
    path.write_bytes(lzma.decompress((FOLDER / f"{name}.xz").read_bytes()))
    return path


def load(name: str, folder: Path) -> Any:
    """The model of a file, in float64."""
    return load_potential(unpack(name, folder)).double()


def structure(name: str) -> Data:
    """One of the structures that all are evaluated on."""
    dtypes = {"z": torch.long, "pos": torch.float64, "cell": torch.float64, "pbc": torch.bool}
    held = GOLDEN["structures"][name]
    return Data(**{key: torch.tensor(value, dtype=dtypes[key]) for key, value in held.items()})


def evaluate(model: Any, data: Data) -> dict[str, torch.Tensor]:
    """All that a model says of a structure."""
    if not model.has_energy:  # PropertyModel of dec9c62
        (name,) = model.all_outputs()
        return {"property": model(data)[name].detach()}
    output = model(data, stress="pbc" in data)
    found = {"energy": output.energy, "atom_energies": output.atom_energies, "forces": output.forces}
    found |= {"virial": model.virial(data)} | ({} if output.stress is None else {"stress": output.stress})
    return {key: value.detach() for key, value in found.items()}


def deviations(model: Any, values: dict[str, Any]) -> dict[str, float]:
    """Largest difference from the values of dec9c62, relative to the largest of them, by structure and quantity."""
    found = {}
    for name, expected in values.items():
        output = evaluate(model, structure(name))
        assert set(output) == set(expected)
        for quantity, value in output.items():
            wanted = torch.tensor(expected[quantity], dtype=torch.float64)
            assert value.dtype == torch.float64
            assert value.shape == wanted.shape
            found[f"{quantity} of {name}"] = float((value - wanted).abs().max() / max(wanted.abs().max(), SMALL))
    return found


@pytest.mark.parametrize("name", VALUES)
def test_file_predicts_what_it_did(name: str, tmp_path: Path) -> None:
    found = deviations(load(name, tmp_path), VALUES[name])
    assert max(found.values()) <= TOLERANCE, {key: value for key, value in found.items() if value > TOLERANCE}


@pytest.mark.slow
@pytest.mark.parametrize("name", VALUES)
def test_file_predicts_what_it_did_control(name: str, tmp_path: Path) -> None:
    """A change of one matrix by a millionth is seen, in whichever part of the network it is."""
    model = load(name, tmp_path)
    matrices = [item for item in model.named_parameters() if item[0].endswith("weight")]
    parts = {key.split(".layers")[0].split(".heads")[0]: parameter for key, parameter in matrices}
    assert len(parts) >= 3
    for part, parameter in parts.items():
        kept = parameter.detach().clone()
        with torch.no_grad():
            parameter.mul_(1 + 1e-6)
        found = deviations(model, VALUES[name])
        assert max(found.values()) > TOLERANCE, f"a change of {part} is not seen"
        with torch.no_grad():
            parameter.copy_(kept)


@pytest.mark.slow
def test_whole_checkpoint_predicts_and_starts_a_training(tmp_path: Path) -> None:
    model, data = str(unpack("contracted.ckpt", tmp_path)), str(tmp_path / "ethanol.extxyz")
    ase.io.write(data, [to_atoms(frame) for frame in ethanol("train")[:8]])
    assert main(["predict", "--model", model, "--structures", data, "--out", str(tmp_path / "out.xyz")]) == 0
    assert len(ase.io.read(tmp_path / "out.xyz", ":")) == 8
    flags = ["--data", data, "--valid-size", "4", "--epochs", "1", "--device", "cpu", "--compile", "off"]
    assert main(["train", *flags, "--start-from", model, "--out", str(tmp_path / "run")]) == 0


def test_every_shipped_part_is_in_a_file(tmp_path: Path) -> None:
    """What these files hold: a part that leaves the package has to stay loadable."""
    held = [unpack(f"{path.stem}", tmp_path) for path in FOLDER.glob("*.xz")]
    assert {path.name for path in held} == set(VALUES)
    texts = [json.dumps(torch.load(path, weights_only=True)["pyg_mpnn"]["config"]) for path in held]
    parts = ["bessel", "gaussian", "exp_normal", "polynomial", "cosine", "bump", "contracted", "raw", "radial"]
    parts += ["sigmoid", "softmax", "sum", "learned", "all", "last", "sender", "pair", "unconstrained", "SumPotential"]
    parts += ["extensive", "intensive", "dipole", "spatial_extent", "ZBL"]
    missing = [part for part in parts if not any(f'"{part}"' in text for text in texts)]
    assert not missing
    assert any('"zbl": true' in text for text in texts)
    assert sum(path.stat().st_size for path in FOLDER.iterdir() if path.is_file()) < 600_000
