"""examples/architectures: our blocks make SchNet and PaiNN, which train, compile, pass `check` and run like ours.

What the originals give on small seeded weights is committed (run_originals.py there), so SchNetPack is not needed here.
"""

from __future__ import annotations

import copy
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.io import write
from torch_geometric.data import Batch
from torch_geometric.nn import SchNet

from pyg_mpnn import Potential, PotentialCalculator, RadiusGraph, neighbor_list
from pyg_mpnn.cli import main
from pyg_mpnn.data import ethanol as ethanol_sample
from pyg_mpnn.data import to_atoms
from pyg_mpnn.models.build import import_file
from pyg_mpnn.testing import check_potential, laws
from pyg_mpnn.training import TrainingSettings, train

FOLDER = Path(__file__).parents[2] / "examples" / "architectures"
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}  # of the spread
SMALL = {"cutoff": 4.0, "hidden_channels": 16, "num_layers": 2, "num_radial": 8}
LAWS = [laws.rotation, laws.edge_permutation, laws.supercell, laws.forces, laws.stress, laws.smoothness_single]


schnet, painn = (import_file(FOLDER / f"{name}.py") for name in ("schnet", "painn"))
MODULES = {"schnet": schnet, "painn": painn}


def reference(name):
    with np.load(FOLDER / "references" / f"{name}.npz") as file:
        return {key: torch.from_numpy(file[key]) for key in file.files if key != "versions"}


def weights_of(file, dtype):
    return {key.removeprefix("weights/"): value.to(dtype) for key, value in file.items() if "/" in key}


def composed(name, file, dtype):
    """The composition with the weights of the original."""
    weights = weights_of(file, dtype)
    if name == "painn":
        return painn.take_over(weights)
    original = SchNet(hidden_channels=16, num_filters=12, num_interactions=3, num_gaussians=17, cutoff=4.0).to(dtype)
    original.load_state_dict(weights)
    return schnet.take_over(original)


def difference(output, energy, forces):
    """Largest differences over the spread."""
    found = output.forces.reshape(forces.shape)
    return (output.energy - energy).abs().max() / energy.std(), (found - forces).abs().max() / forces.std()


def on_frames(potential, file):
    pos, count = file["pos"], len(file["pos"])
    batch = torch.arange(count).repeat_interleave(len(file["z"]))
    return potential(file["z"].repeat(count), pos.flatten(0, 1).to(potential.dtype), batch)


@pytest.mark.parametrize("name", MODULES)
def test_energies_and_forces_are_those_of_the_original(name, dtype):
    file, label = reference(name), str(dtype).removeprefix("torch.")
    potential = composed(name, file, dtype)
    wanted = file[f"energy_{label}"], file[f"forces_{label}"]
    assert max(difference(on_frames(potential, file), *wanted)) < TOLERANCE[dtype]


@pytest.mark.parametrize("name", MODULES)
def test_each_weight_counts(name):
    """Control: a change of 1 % in any one weight is seen in float32, so none is forgotten or mixed up."""
    file = reference(name)
    potential = composed(name, file, torch.float64)
    wanted = file["energy_float64"], file["forces_float64"]
    for key, parameter in potential.named_parameters():
        before = parameter.detach().clone()
        with torch.no_grad():
            parameter *= 1.01
        assert max(difference(on_frames(potential, file), *wanted)) > TOLERANCE[torch.float32], key
        with torch.no_grad():
            parameter.copy_(before)
    assert max(difference(on_frames(potential, file), *wanted)) < TOLERANCE[torch.float64]


def live_schnet(**options):
    """PyG's SchNet on exact edges; PyG itself needs pyg-lib to find them, and keeps 32 neighbours at most."""

    def graph(pos, batch):
        edge_index = neighbor_list(pos.detach(), 10.0, batch=batch).edge_index
        return edge_index, (pos[edge_index[0]] - pos[edge_index[1]]).norm(dim=-1)

    return SchNet(interaction_graph=graph, **options).eval()


def test_schnet_of_default_size_with_mean_spread_and_energies_of_atoms(dtype, ethanol, water):
    """The original as PyG ships it, called here: 128 channels, 6 interactions."""
    atoms = torch.randn(100, 1)
    original = live_schnet(mean=-3.0, std=1.7, atomref=atoms)
    for parameter in original.parameters():
        parameter.data += 0.02 * torch.randn_like(parameter)
    batch = Batch.from_data_list([ethanol, water, ethanol])
    batch.pos = (batch.pos + 0.1 * torch.randn_like(batch.pos)).requires_grad_()
    energy = original(batch.z, batch.pos, batch.batch).flatten()
    forces = -torch.autograd.grad(energy.sum(), batch.pos)[0]
    output = schnet.take_over(original)(batch.z, batch.pos.detach(), batch.batch)
    assert max(difference(output, energy.detach(), forces)) < TOLERANCE[dtype]


@pytest.mark.parametrize("change", [{"dipole": True}, {"readout": "mean"}])
def test_schnet_that_is_no_sum_of_energies_is_refused(change):
    with pytest.raises(ValueError, match="'original' must sum energies of atoms"):
        schnet.take_over(live_schnet(hidden_channels=8, num_interactions=1, **change))


def test_painn_with_other_parts_is_refused():
    state = weights_of(reference("painn"), torch.float32)
    bessel = {key: value for key, value in state.items() if "radial_basis" not in key}
    with pytest.raises(ValueError, match=r"Gaussians and a cosine cutoff, got no \['representation.radial_basis.offs"):
        painn.take_over(bessel)
    moved = state | {"representation.radial_basis.offsets": state["representation.radial_basis.offsets"] + 0.1}
    with pytest.raises(ValueError, match="Gaussians of one width from 0 to the cutoff, got"):
        painn.take_over(moved)
    with pytest.raises(ValueError, match=r"'set_reference'\): \['postprocessors.0.mean'\]"):
        painn.take_over(state | {"postprocessors.0.mean": torch.zeros(1)})
    missing = "output_modules.0.outnet.1.bias"
    with pytest.raises(ValueError, match=r"\['atomwise.heads.0.linears.1.bias'\]"):
        painn.take_over({key: value for key, value in state.items() if key != missing})


def test_painn_with_one_filter_for_all_layers():
    """SchNetPack's ``shared_filters``: the filters of the layers that are told to be one are."""
    state = weights_of(reference("painn"), torch.float64)
    weight, bias = "representation.filter_net.weight", "representation.filter_net.bias"
    shared = state | {weight: state[weight][:48], bias: state[bias][:48]}
    repeated = state | {weight: state[weight][:48].repeat(3, 1), bias: state[bias][:48].repeat(3)}
    one, other = (on_frames(painn.take_over(given), reference("painn")) for given in (shared, repeated))
    torch.testing.assert_close(one.forces, other.forces)


def test_elements_that_the_originals_do_not_have_are_unknown():
    potential = composed("painn", reference("painn"), torch.float32)
    assert potential.elements == tuple(range(1, 100))
    with pytest.raises(ValueError, match="'z' must hold elements the model was trained on"):
        potential(torch.tensor([100, 1]), torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]))


@pytest.mark.slow
@pytest.mark.parametrize("name", MODULES)
def test_laws_hold(name, ethanol, silicon):
    potential = MODULES[name].potential(**SMALL)
    report = check_potential(potential, [ethanol, silicon], dtype=torch.float64, laws=LAWS)
    assert report.passed, str(report)
    assert not report.not_applicable


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.slow
@pytest.mark.parametrize("name", MODULES)
def test_trains_and_runs_dynamics(name, tmp_path):
    frames, test = ethanol_sample("train")[:60], ethanol_sample("test")[:20]
    potential = MODULES[name].potential(**SMALL)
    settings = TrainingSettings(
        "ethanol", str(tmp_path / "run"), epochs=6, valid_size=10, batch_size=5, learning_rate=0.03, device="cpu"
    )
    result = train(settings, potential, frames=frames, test=test)
    assert result.errors.forces_mae_meV_per_A < 0.8 * result.trivial.forces_mae_meV_per_A
    atoms = Atoms(test[0].z.numpy(), test[0].pos.numpy(), calculator=PotentialCalculator(result.potential.double()))
    step = 1e-4
    force, before = atoms.get_forces()[0, 0], atoms.get_potential_energy()
    atoms.positions[0, 0] += step
    assert (atoms.get_potential_energy() - before) / step == pytest.approx(-force, rel=0.05, abs=0.02)


@pytest.mark.parametrize("name", MODULES)
def test_a_saved_composition_comes_back_with_the_code_that_is_trusted(name, tmp_path, ethanol):
    potential, file = MODULES[name].potential(**SMALL).eval(), tmp_path / "composed.pt"
    potential.save(file)
    loaded = Potential.load(file, trust=[type(potential.representation)])
    torch.testing.assert_close(loaded(ethanol).forces, potential(ethanol).forces, rtol=0.0, atol=0.0)
    with pytest.raises(ValueError, match="is code that is not of this package: read it"):
        Potential.load(file)


HEADS = {
    "schnet": ["--model.head", '{"class": "MLP", "channels": [16, 8, 1], "activation": {"class": "ShiftedSoftplus"}}']
}
CLASSES = {"schnet": "SchNet", "painn": "PaiNN"}


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", MODULES)
def test_command_line(name, tmp_path, monkeypatch, capsys):
    """Train, evaluate, check and dynamics from another folder, the head of the original with it."""
    monkeypatch.chdir(tmp_path)
    write("frames.extxyz", [to_atoms(frame) for frame in ethanol_sample("train")[:30]])
    code, head = str(FOLDER / f"{name}.py"), ["--model.potential_heads", "last", *HEADS.get(name, [])]
    sizes = [f"--model.{key}={value}" for key, value in SMALL.items() if key != "cutoff"]
    network = ["--model", f"{code}:{CLASSES[name]}", "--cutoff", "4", *sizes, *head]
    short = ["--epochs", "1", "--valid-size", "5", "--batch-size", "5", "--device", "cpu"]
    assert main(["train", "--data", "frames.extxyz", *short, *network, "--out", "run"]) == 0
    model = ["--model", "run/best.ckpt", "--trust", code]
    assert main(["evaluate", *model, "--data", "frames.extxyz"]) == 0
    assert main(["md", *model, "--structure", "frames.extxyz", "--steps", "3", "--out", "md"]) == 0
    capsys.readouterr()
    found = main(["check", *model, "--structures", "frames.extxyz", "--count", "1"])
    assert (found, "laws broken: symmetric_sites" in capsys.readouterr().out) == {
        "schnet": (0, False),
        "painn": (3, True),
    }[name]


@pytest.mark.long
@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler g++")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("name", MODULES)
def test_compiled_equals_eager(name, ethanol, water):
    eager = MODULES[name].potential(**SMALL).eval()
    compiled = copy.deepcopy(eager).compile("on")
    for structures in ([ethanol, water], [water] * 5):
        batch = Batch.from_data_list([RadiusGraph(4.0)(data) for data in structures])
        found, wanted = compiled(batch), eager(batch)
        torch.testing.assert_close(found.energy, wanted.energy, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(found.forces, wanted.forces, rtol=1e-4, atol=2e-5)
    assert all(entry is not None for entry in compiled.compiler._compiled.values())


def test_each_file_is_at_most_a_hundred_lines():
    for name in MODULES:
        assert len((FOLDER / f"{name}.py").read_text().splitlines()) <= 100
