"""From a folder outside the clone, with no edit in the package: parts in a file of the user's, in every command."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import ase.io
import pytest
import torch

from pyg_mpnn import Potential, load_potential
from pyg_mpnn.cli import main
from pyg_mpnn.data import ethanol, to_atoms, to_data

PARTS = '''
import torch
from torch import nn

from pyg_mpnn import Attention, EnergyTerm, Output
from pyg_mpnn.scatter import scatter_sum


class Net(nn.Module):
    """Two sums over neighbours, blind to directions; ``depth`` is not kept: it has its default."""

    cutoff, num_layers, symmetry, smoothness = 4.0, 2, "invariant", 2

    def __init__(self, width=8, depth=1):
        super().__init__()
        self.out_channels, self.width = width, width
        self.embedding = nn.Embedding(119, width)
        self.mixing = nn.ModuleList(nn.Linear(width, width) for _ in range(self.num_layers))

    def forward(self, z, edge_index, edge_vec):
        envelope = (1 - edge_vec.square().sum(dim=1) / self.cutoff**2).clamp(min=0) ** 3
        x, features = self.embedding(z), []
        for linear in self.mixing:
            messages = linear(x)[edge_index[0]] * envelope[:, None]
            x = x + torch.tanh(scatter_sum(messages, edge_index[1], x.shape[0]))
            features.append(x)
        return features


class Magnet(Net):
    """Reads the spin of the structure."""

    graph_inputs = ("spin",)

    def forward(self, z, edge_index, edge_vec, spin):
        return [x * (1 + spin[:, None]) for x in super().forward(z, edge_index, edge_vec)]


class Chebyshev(nn.Module):
    def __init__(self, cutoff, num_radial, degree=4):
        super().__init__()
        self.cutoff, self.num_radial = cutoff, degree

    def forward(self, dist):
        n = torch.arange(self.num_radial, dtype=dist.dtype)
        return torch.cos(n * torch.acos((dist / self.cutoff).clamp(max=0.999)).unsqueeze(-1))


class Uniform(Attention):
    def forward(self, x, edge_index, edge_attr, envelope):
        return (0.1 * edge_attr).tanh().mean(dim=1, keepdim=True).expand(-1, self.heads) + 0.5


class Count(Output):
    """The number of atoms times a number that is learned."""

    extensive, unit = True, "1"

    def __init__(self, start=1.0):
        super().__init__()
        self.start = start
        self.weight = nn.Parameter(torch.tensor(float(start)))

    def forward(self, features, structure):
        ones = torch.ones(len(structure.z), dtype=torch.float64)
        return self.weight.double() * scatter_sum(ones, structure.batch, structure.num_graphs)


class Springs(EnergyTerm):
    cutoff, smoothness = 3.0, 3

    def __init__(self, strength=0.1):
        super().__init__()
        self.strength = strength

    def forward(self, geometry):
        squared = geometry.edge_vec.square().sum(dim=1)
        energies = self.strength * (1 - squared / self.cutoff**2).clamp(min=0) ** 4
        return scatter_sum(energies, geometry.edge_index[1], geometry.z.shape[0])
'''
TRAIN = [
    "train",
    "--data",
    "frames.extxyz",
    "--epochs",
    "1",
    "--valid-size",
    "2",
    "--batch-size",
    "2",
    "--device",
    "cpu",
]
SMALL = ["--size", "small", "--model.hidden_channels", "8", "--model.edge_dim", "8", "--model.channels", "2"]
OWN = ["--model.basis", "parts.py:Chebyshev", "--model.basis.degree", "5", "--model.attention", "parts.py:Uniform"]
OWN += ["--model.terms", '[{"class": "parts.py:Springs", "strength": 0.2}]', "--outputs.size", "parts.py:Count"]
TRUST = ["--trust", "parts.py"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "parts.py").write_text(PARTS)
    frames = [to_atoms(frame) for frame in ethanol("train")[:6]]
    for atoms in frames:
        atoms.info["size"] = 9.0
    ase.io.write(tmp_path / "frames.extxyz", frames)
    yield tmp_path
    for name in [name for name, module in sys.modules.items() if str(tmp_path) in str(getattr(module, "__file__", ""))]:
        del sys.modules[name]


def energies_in_a_new_process(*paths: str) -> list[float]:
    code = """
import sys
from pyg_mpnn import load_potential
from pyg_mpnn.data import ethanol
for path in sys.argv[1:]:
    print(float(load_potential(path, trust=["parts.py"])(ethanol("test")[0]).energy))
"""
    command = [sys.executable, "-c", code, *paths]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [float(energy) for energy in shown.split()]


@pytest.mark.long
def test_a_representation_is_trained_resumed_evaluated_and_run(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [*TRAIN, "--model", "parts.py:Net", "--model.width", "12", "--out", "run"]
    assert main(command) == 0
    command[command.index("--epochs") + 1] = "2"
    assert main([*command, "--resume"]) == 0
    model = ["--model", "run/best.ckpt"]
    assert main(["evaluate", *model, "--data", "frames.extxyz"]) == 1
    assert "parts.py:Net is code that is not of this package: read it, and if you trust it pass --trust parts.py" in (
        capsys.readouterr().err
    )
    assert main(["evaluate", *model, "--data", "frames.extxyz", *TRUST]) == 0
    assert main(["predict", *model, "--structures", "frames.extxyz", "--out", "predicted.xyz", *TRUST]) == 0
    assert main(["md", *model, "--structure", "frames.extxyz", "--steps", "3", "--out", "md", *TRUST]) == 0
    assert main(["relax", *model, "--structure", "frames.extxyz", "--steps", "1", "--out", "relaxed", *TRUST]) in (0, 3)
    start = [*TRAIN, "--start-from", "run/best.ckpt", "--out", "tuned", *TRUST]
    assert main(start) == 0
    loaded = load_potential("run/best.ckpt", trust=["parts.py"])
    assert loaded.config["representation"] == {"class": "parts.py:Net", "width": 12}
    predicted = ase.io.read("predicted.xyz", index=0).get_potential_energy()
    frame = ethanol("train")[0]
    assert predicted == pytest.approx(float(loaded(frame).energy), abs=1e-3)
    assert main([*TRAIN, *SMALL, *OWN, "--out", "own"]) == 0
    paths, frame = ("run/best.ckpt", "own/best.ckpt"), ethanol("test")[0]
    wanted = [float(load_potential(path, trust=["parts.py"])(frame).energy) for path in paths]
    assert energies_in_a_new_process(*paths) == pytest.approx(wanted, abs=1e-4)


@pytest.mark.long
def test_basis_attention_term_and_output_are_flags(folder: Path) -> None:
    assert main([*TRAIN, *SMALL, *OWN, "--out", "run"]) == 0
    assert main(["evaluate", "--model", "run/best.ckpt", "--data", "frames.extxyz", *TRUST]) == 0
    loaded = load_potential("run/best.ckpt", trust=["parts.py"])
    assert isinstance(loaded, Potential)
    assert loaded.config["representation"]["basis"] == {"factory": "parts.py:Chebyshev", "degree": 5}
    assert loaded.config["terms"] == [{"class": "parts.py:Springs", "strength": 0.2}]
    frame = ethanol("test")[0]
    assert loaded(frame).size.shape == (1,)
    without = load_potential("run/best.ckpt", trust=["parts.py"])
    without.terms = torch.nn.ModuleList()
    assert abs(float(without(frame).energy - loaded(frame).energy)) > 1e-3, "control: the term counts"


@pytest.mark.long
def test_a_spin_travels_from_the_file_to_the_representation(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [*TRAIN, "--model", "parts.py:Magnet", "--out", "run"]
    assert main(command) == 1
    assert "'spin' must be a number of every structure, because the model reads it, got 6 without" in (
        capsys.readouterr().err
    )
    assert not (folder / "run").exists()
    frames = ase.io.read("frames.extxyz", index=":")
    for k, atoms in enumerate(frames):
        atoms.info["spin"] = float(k % 3)
    ase.io.write("frames.extxyz", frames)
    assert main(command) == 0
    model = ["--model", "run/best.ckpt", *TRUST]
    assert main(["evaluate", *model, "--data", "frames.extxyz", "--json", "errors.json"]) == 0
    assert main(["predict", *model, "--structures", "frames.extxyz", "--out", "predicted.xyz"]) == 0
    loaded, written = load_potential("run/best.ckpt", trust=["parts.py"]), ase.io.read("predicted.xyz", index=":")
    errors = []
    for atoms, result in zip(frames, written, strict=True):
        data = to_data(atoms)
        energies = []
        for spin in (atoms.info["spin"], 5.0):
            data.spin = torch.tensor([spin])
            energies.append(float(loaded(data).energy))
        assert result.get_potential_energy() == pytest.approx(energies[0], abs=1e-4)
        assert abs(energies[1] - energies[0]) > 1e-2, "control: another spin gives another energy"
        errors.append(abs(energies[0] - atoms.get_potential_energy()))
    capsys.readouterr()
    assert main(["check", *model, "--count", "1"]) == 0, "it is held to the laws at spin 0"
    shown = capsys.readouterr().out
    assert "With spin 0 in all structures" in shown
    assert "laws hold" in shown
    mean = 1e3 * sum(errors) / len(errors)
    assert json.loads((folder / "errors.json").read_text())["energy_mae_meV"] == pytest.approx(mean, abs=0.1)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--model", "parts.py:Absent"], "'parts.py:Absent' must exist, got no 'Absent' in"),
        (["--model", "absent.py:Net"], "'absent.py' must be a Python file, got none of that name"),
        (["--model", "parts.py:Net", "--model.wide", "3"], "must have arguments of Net (width, depth), got wide"),
        (["--model", "parts.py:Net", "--cutoff", "5"], "must have arguments of Net (width, depth), got cutoff"),
        (["--model", "parts.py:Net", "--size", "small"], "'size' is for MPNN and must be left out"),
        (["--model.basis", "sine"], "'basis' must be one of ('bessel', 'gaussian', 'exp_normal')"),
        (["--model", "parts.py:Net", "--model.depth", "[1"], "'depth' must be a YAML value, got '[1'"),
    ],
)
def test_what_cannot_be_made_is_an_error_before_anything_is_written(
    folder: Path, flags: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*TRAIN, *flags, "--out", "run"]) == 1
    assert message in capsys.readouterr().err
    assert not (folder / "run").exists()


@pytest.mark.long
def test_a_representation_is_checked_and_exported(folder: Path) -> None:
    assert main([*TRAIN, "--model", "parts.py:Net", "--out", "run"]) == 0
    assert main(["check", "--model", "run/best.ckpt", "--structures", "frames.extxyz", "--count", "1", *TRUST]) in (
        0,
        3,
    )
    assert main(["export", "--model", "run/best.ckpt", "--out", "net.pt2", *TRUST]) == 0
    assert (folder / "net.pt2").stat().st_size > 10_000
