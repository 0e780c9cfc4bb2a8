"""An exported package gives what the potential gives, from Python and from C++, without this package."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import ase.io
import pytest
import torch

from pyg_mpnn import ZBL, Potential, RadiusGraph, SumPotential
from pyg_mpnn.data import to_atoms
from pyg_mpnn.deploy import CompilationError, own_process
from pyg_mpnn.geometry import edge_vectors
from pyg_mpnn.models import Committee
from tests.deploy.stand_ins import charged, tiny

pytestmark = [
    pytest.mark.long,
    pytest.mark.usefixtures("unchecked", "compiler"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning"),
]
EXAMPLES = Path(__file__).parents[2] / "examples" / "export"
SMALL = {"hidden_channels": 8, "edge_dim": 4, "channels": 2, "num_layers": 1, "num_radial": 4, "l_max": 1}
CUTOFF = 4.0
CASES = {
    "one cutoff, repulsion, float64": ({"cutoff": CUTOFF, "zbl": True}, torch.float64),
    "two cutoffs, attention, float32": (
        {"cutoff": (2.0, CUTOFF), "attention": "softmax", "heads": 2, "readout": "learned"},
        torch.float32,
    ),
}


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The example in C++, built by its Makefile: one program for all packages."""
    path = tmp_path_factory.mktemp("program") / "run"
    assert shutil.which("make") is not None
    subprocess.run(["make", "-C", str(EXAMPLES), f"PYTHON={sys.executable}", f"OUT={path}", "-s"], check=True)
    return path


FIRST, SECOND = CASES


@pytest.fixture(scope="module", params=[FIRST, pytest.param(SECOND, marks=pytest.mark.exhaustive)])
def case(request):
    return request.param


@pytest.fixture(scope="module")
def folder(tmp_path_factory, case):
    return tmp_path_factory.mktemp("exported")


@pytest.fixture
def potential(case):
    options, dtype = CASES[case]
    torch.manual_seed(0)
    potential = Potential.from_size("small", **SMALL, **options).to(dtype).eval()
    potential.set_reference({1: -13.6, 6: -1029.0, 8: -2041.0, 14: -7800.0}, 0.5, [6.0] * len(potential.cutoffs))
    if potential.zbl is not None:
        potential.zbl.set_radii({(1, 6): 2.0, (14, 14): 2.5})  # edges that it acts on
    return potential


@pytest.fixture
def structures(ethanol, silicon):
    """Molecule and crystal with edges."""
    ethanol.pos, silicon.pos, silicon.cell = ethanol.pos.double(), silicon.pos.double(), silicon.cell.double()
    return RadiusGraph(CUTOFF)(ethanol), RadiusGraph(CUTOFF)(silicon)


@pytest.fixture
def expected(potential, structures):
    """What the potential says about them, in its own dtype."""
    wanted = []
    for structure in structures:
        data = structure.clone()
        data.pos = data.pos.to(potential.dtype)
        if "cell" in data:
            data.cell = data.cell.to(potential.dtype)
        wanted.append(potential(data, stress="cell" in data))
    return wanted


@pytest.fixture
def package(folder, potential):
    path = folder / "potential.pt2"
    if not path.exists():
        potential.export(path)
    return path


@pytest.fixture
def inputs(potential, structures, folder):
    """The files of the example, written by it, once."""
    if not (folder / "inputs.pt").exists():
        path = folder / "structures.traj"  # which keeps every bit
        ase.io.write(path, [to_atoms(structure) for structure in structures])
        cutoffs = ",".join(map(str, potential.cutoffs))
        subprocess.run([sys.executable, str(EXAMPLES / "write_inputs.py"), cutoffs, str(path)], check=True, cwd=folder)
    return folder / "inputs.pt", folder / "structure.txt"


def assert_close(found, wanted):
    """Forces or stress: the package gives float64 whatever it computes in."""
    rtol, atol = (1e-9, 1e-10) if wanted.dtype == torch.float64 else (1e-4, 2e-5)
    torch.testing.assert_close(found, wanted.double(), rtol=rtol, atol=atol)


def assert_energies(found, wanted, dtype):
    """Energies are float64 sums of what was computed in another dtype."""
    rtol, atol = (1e-12, 1e-9) if dtype == torch.float64 else (0.0, 2e-5)
    torch.testing.assert_close(found, wanted, rtol=rtol, atol=atol)


def test_python_without_this_package(package, expected, inputs, folder):
    """The example brings tensors of any layout into the one that a package reads."""
    strange = [
        (z.int(), *(tensor.mT.contiguous().mT for tensor in (pos, edge_index, shifts.to(torch.int8), cell)), near)
        for z, pos, edge_index, shifts, cell, near in torch.load(inputs[0])
    ]
    torch.save(strange, folder / "strange.pt")
    command = [
        sys.executable,
        str(EXAMPLES / "run.py"),
        str(package),
        str(folder / "strange.pt"),
        str(folder / "out.pt"),
    ]
    (folder / "shadow").mkdir()
    (folder / "shadow" / "pyg_mpnn.py").write_text("raise ImportError('pyg_mpnn is not to be imported')")
    environment = {**os.environ, "PYTHONPATH": str(folder / "shadow")}
    subprocess.run(command, check=True, cwd=folder, env=environment)
    control = subprocess.run(
        [sys.executable, "-c", "import pyg_mpnn"], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert "pyg_mpnn is not to be imported" in control.stderr
    for wanted, (energy, forces, stress, atom_energies) in zip(expected, torch.load(folder / "out.pt"), strict=True):
        assert_energies(energy, wanted.energy[0], wanted.forces.dtype)
        assert_energies(atom_energies, wanted.atom_energies, wanted.forces.dtype)
        assert_close(forces, wanted.forces)
        if wanted.stress is not None:
            assert_close(stress, wanted.stress[0])


def test_a_package_for_another_processor_is_refused(package, folder):
    """Before it is loaded: torch would warn, and the processor might not know an instruction."""
    other = folder / "other.pt2"
    with zipfile.ZipFile(package) as old, zipfile.ZipFile(other, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, content.replace(b"x86_64", b"riscv64") if name.endswith("metadata.json") else content)
    command = [sys.executable, str(EXAMPLES / "run.py"), str(other), "absent.pt", "out.pt"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "was made for another machine: AOTI_MACHINE riscv64 (here x86_64). Export" in done.stderr
    command[2] = str(package)
    assert "No such file or directory: 'absent.pt'" in subprocess.run(command, capture_output=True, text=True).stderr


def test_cpp(program, package, expected, inputs):
    found = subprocess.run(
        [str(program), str(package)], input=inputs[1].read_text(), check=True, capture_output=True, text=True
    ).stdout.split()
    values = torch.tensor([float(value) for value in found], dtype=torch.float64)  # printed with 12 digits
    assert_energies(values[0], expected[0].energy[0], expected[0].forces.dtype)
    assert_close(values[1:].reshape(-1, 3), expected[0].forces)


def test_a_tensor_of_another_dtype_or_layout_is_refused_where_asked(package, inputs):
    """By the variable that the examples set; without it torch reads whatever lies there."""
    script = """
import sys, torch
package = torch._inductor.aoti_load_package(sys.argv[1])
z, pos, *rest = torch.load(sys.argv[2])[0]
package(z, pos, *rest)
for changed in (pos.float(), pos.mT.contiguous().mT):
    try:
        package(z, changed, *rest)
    except RuntimeError as error:
        print(error)
"""
    command = [sys.executable, "-c", script, str(package), str(inputs[0])]
    environment = {**os.environ, "AOTI_RUNTIME_CHECK_INPUTS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    for what in ("dtype", "stride value"):
        assert f"input_handles[1]: unmatched {what}" in done.stdout + done.stderr


@pytest.mark.parametrize("wrong", [None, 0, 1, 2, 3])
def test_a_package_that_computes_something_else_is_not_written(wrong, tmp_path, monkeypatch):
    """The graph run by torch in this process stands for compiled code; its four results are made wrong in turn."""
    name = ("energy", "forces", "stress", "atom energies")[wrong or 0]
    module = importlib.import_module("pyg_mpnn.deploy.export")

    def load(path):
        def run(*arguments):
            results = list(made[0](*arguments))
            if wrong is not None:
                results[wrong] = results[wrong] * (1 + 3e-4)
            return results

        return run

    made = []
    monkeypatch.setattr(module, "in_own_process", lambda function, arguments, *_: (function(*arguments), ""))
    monkeypatch.setattr(module, "build", lambda graph, _, __, path: made.append(graph) or path.write_text("code"))
    monkeypatch.setattr(torch._inductor, "aoti_load_package", load)
    potential = tiny()
    for parameter in potential.parameters():  # a fresh potential has forces of zero
        torch.nn.init.normal_(parameter, std=0.5)
    if wrong is None:
        potential.export(tmp_path / "potential.pt2")
        assert (tmp_path / "potential.pt2").read_text() == "code"
        return
    with pytest.raises(CompilationError, match=f"not compute what eager evaluation does: {name} of 9 generated atoms"):
        potential.export(tmp_path / "potential.pt2")
    assert list(tmp_path.iterdir()) == []


def sum_of_cutoffs():
    """A part with two cutoffs of its own below that of the sum, and one with the largest."""
    torch.manual_seed(0)
    near, far = (Potential.from_size("small", **SMALL, cutoff=cutoff).double() for cutoff in ((2.0, 3.0), CUTOFF))
    near.set_reference({14: -1.0}, 0.5, [6.0, 6.0])
    far.set_reference({14: -7800.0}, 1.0, [6.0])
    return SumPotential(near, far)


def committee():
    torch.manual_seed(0)
    members = [Potential.from_size("small", **SMALL, cutoff=CUTOFF).double() for _ in range(2)]
    for number, member in enumerate(members):
        member.set_reference({14: -7800.0 - number}, 1.0, [6.0])
    return Committee(*members)


def test_a_part_that_cannot_be_traced_is_an_error(tmp_path, monkeypatch):
    """A cutoff that is read from radii at each call decides which edges a sum gives to the part."""
    monkeypatch.setattr(ZBL, "cutoff", property(lambda self: float(self.radii.max())))
    with pytest.raises(CompilationError, match="a part of it cannot be traced"):
        SumPotential(committee().potentials[0], ZBL({(14, 14): 2.5}).double()).export(tmp_path / "potential.pt2")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("make", [sum_of_cutoffs, committee])
@pytest.mark.filterwarnings("ignore:the package has energy, forces and stress alone:UserWarning")
def test_sums_and_committees_too(make, structures, tmp_path, monkeypatch):
    """The graph run by torch in this process stands for compiled code; it gets a crystal, and lists within lists."""
    module, made = importlib.import_module("pyg_mpnn.deploy.export"), []
    monkeypatch.setattr(module, "in_own_process", lambda function, arguments, *_: (function(*arguments), ""))
    monkeypatch.setattr(module, "build", lambda graph, _, __, path: made.append(graph) or path.write_text("code"))
    monkeypatch.setattr(torch._inductor, "aoti_load_package", lambda path: made[0])
    potential, silicon = make().eval(), structures[1]
    potential.export(tmp_path / "potential.pt2")
    wanted = potential(silicon, stress=True)
    vectors = edge_vectors(silicon.pos, silicon.edge_index, silicon.shifts, silicon.cell[0])
    near = tuple(potential.near_edges(vectors))
    assert bool(near) == (make is sum_of_cutoffs)
    whole = silicon.z, silicon.pos, silicon.edge_index, silicon.shifts, silicon.cell[0], near
    energy, forces, stress, atom_energies = made[0](*whole)
    torch.testing.assert_close(energy[None], wanted.energy)
    torch.testing.assert_close(atom_energies, wanted.atom_energies)
    assert_close(forces, wanted.forces)
    assert_close(stress[None], wanted.stress)


CRASH = """
import ctypes, os, torch
from pyg_mpnn.deploy import export, own_process
export.build = lambda graph, arguments, shapes, path: path.write_text("code")
torch._inductor.aoti_load_package = lambda path: lambda *arguments: {crash}
own_process.work()
"""


@pytest.mark.parametrize(
    ("crash", "message"),
    {
        "os.abort()": "it ended a process of its own by SIGABRT, with torch .* on cpu; this package is tested with",
        "ctypes.string_at(0)": "it ended a process of its own by SIGSEGV",
        "absent()": "could not make or load the code: NameError",
    }.items(),
)
def test_a_package_that_ends_its_process_is_not_written(crash, message, tmp_path, monkeypatch):
    """And does not end the user's: what was there stays."""
    monkeypatch.setattr(own_process, "PROGRAM", CRASH.format(crash=crash))
    path = tmp_path / "potential.pt2"
    path.write_text("an older one")
    with pytest.raises(CompilationError, match=message):
        tiny().export(path)
    assert [(path, path.read_text())] == [(found, "an older one") for found in tmp_path.iterdir()]


def test_half_precision_is_refused(tmp_path):
    with pytest.raises(CompilationError, match=r"a package computes in float32 or float64, got torch.bfloat16"):
        tiny().bfloat16().export(tmp_path / "potential.pt2")
    assert list(tmp_path.iterdir()) == []


def test_charge_and_spin_are_in_the_package(ethanol, silicon, tmp_path):
    potential = charged()
    for inputs in (None, {"charge": 1.0}, {"charge": 1.0, "spin": 0.0, "dipole": 2.0}):
        with pytest.raises(ValueError, match="'inputs' must hold a number for each of charge, spin"):
            potential.export(tmp_path / "ion.pt2", inputs=inputs)
    assert list(tmp_path.iterdir()) == []
    potential.export(tmp_path / "ion.pt2", inputs={"charge": -1.0, "spin": 2.0})
    run = torch._inductor.aoti_load_package(str(tmp_path / "ion.pt2"))
    ethanol.cell, ethanol.pbc = 30.0 * torch.eye(3)[None], torch.ones(1, 3, dtype=torch.bool)
    for data in (ethanol, silicon):
        data = RadiusGraph(CUTOFF)(data)
        cell = data.cell.double()
        near = (edge_vectors(data.pos.double(), data.edge_index, data.shifts, cell).norm(dim=1) < 2.6).nonzero()
        energy, forces, stress, _ = run(
            data.z, data.pos.double(), data.edge_index, data.shifts.long(), cell[0], (near.squeeze(1),)
        )
        data.charge, data.spin = torch.tensor([-1.0]), torch.tensor([2.0])
        wanted = potential(data, stress=True)
        assert_energies(energy, wanted.energy[0], torch.float64)
        assert_close(forces, wanted.forces)
        assert_close(stress, wanted.stress[0])
        data.charge = torch.tensor([0.0])
        assert abs(energy - potential(data).energy[0]) > 1e-4, "control: the charge counts"
