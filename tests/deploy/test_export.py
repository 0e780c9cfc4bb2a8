"""An exported package gives what the potential gives, from Python and from C++, without this package."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import ase.io
import pytest
import torch

from pyg_mpnn import Potential, RadiusGraph
from pyg_mpnn.data import to_atoms

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("unchecked", "compiler"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning"),
]
EXAMPLES = Path(__file__).parents[2] / "examples" / "export"
SMALL = {"hidden_channels": 8, "edge_dim": 4, "channels": 2, "num_layers": 1, "num_radial": 4, "l_max": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("exported")


@pytest.fixture
def structures(ethanol, silicon):
    """Molecule and crystal with edges, and what a potential says about them."""
    torch.manual_seed(0)
    potential = Potential.from_size("small", cutoff=4.0, zbl=True, **SMALL).double().eval()
    potential.set_reference({1: -13.6, 6: -1029.0, 8: -2041.0, 14: -7800.0}, 0.5, [6.0])
    potential.zbl.set_radii({(1, 6): 2.0, (14, 14): 2.5})  # edges that it acts on
    ethanol.pos, silicon.pos, silicon.cell = ethanol.pos.double(), silicon.pos.double(), silicon.cell.double()
    return potential, RadiusGraph(4.0)(ethanol), RadiusGraph(4.0)(silicon)


@pytest.fixture
def package(folder, structures):
    path = folder / "potential.pt2"
    if not path.exists():
        structures[0].export(path)
    return path


@pytest.fixture
def inputs(structures, folder):
    """The files of the example, written by it."""
    path = folder / "structures.traj"  # which keeps every bit
    ase.io.write(path, [to_atoms(structure) for structure in structures[1:]])
    subprocess.run([sys.executable, str(EXAMPLES / "write_inputs.py"), "4.0", str(path)], check=True, cwd=folder)
    return folder / "inputs.pt", folder / "structure.txt"


def test_python_without_this_package(package, structures, inputs, folder):
    potential, *data = structures
    command = [sys.executable, str(EXAMPLES / "run.py"), str(package), str(inputs[0]), str(folder / "out.pt")]
    (folder / "shadow").mkdir()
    (folder / "shadow" / "pyg_mpnn.py").write_text("raise ImportError('pyg_mpnn is not to be imported')")
    environment = {**os.environ, "PYTHONPATH": str(folder / "shadow")}
    subprocess.run(command, check=True, cwd=folder, env=environment)
    control = subprocess.run(
        [sys.executable, "-c", "import pyg_mpnn"], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert "pyg_mpnn is not to be imported" in control.stderr
    for structure, (energy, forces, stress, atom_energies) in zip(data, torch.load(folder / "out.pt"), strict=True):
        wanted = potential(structure, stress="cell" in structure)
        torch.testing.assert_close(energy, wanted.energy[0], rtol=1e-12, atol=1e-9)
        torch.testing.assert_close(forces, wanted.forces, rtol=1e-9, atol=1e-10)
        torch.testing.assert_close(atom_energies, wanted.atom_energies, rtol=1e-12, atol=1e-9)
        if wanted.stress is not None:
            torch.testing.assert_close(stress, wanted.stress[0], rtol=1e-9, atol=1e-10)


def test_cpp(package, structures, inputs, folder):
    program = folder / "run"
    build = ["make", "-C", str(EXAMPLES), f"PYTHON={sys.executable}", f"OUT={program}", "-s"]
    assert shutil.which("make") is not None
    subprocess.run(build, check=True)
    potential, ethanol, _ = structures
    found = subprocess.run(
        [str(program), str(package)], input=inputs[1].read_text(), check=True, capture_output=True, text=True
    ).stdout.split()
    wanted = potential(ethanol)
    assert float(found[0]) == pytest.approx(float(wanted.energy), abs=1e-8)
    forces = torch.tensor([float(value) for value in found[1:]], dtype=torch.float64).reshape(-1, 3)
    torch.testing.assert_close(forces, wanted.forces, rtol=1e-9, atol=1e-10)
