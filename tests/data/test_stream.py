from __future__ import annotations

import dataclasses
import json
import math
import pickle
import subprocess
import sys
from pathlib import Path

import ase
import ase.db
import ase.io
import numpy as np
import pytest
import torch
from ase.calculators.singlepoint import SinglePointCalculator

from pyg_mpnn import Potential
from pyg_mpnn.data import StreamedDataset, StructureDataset, ethanol, read_structures, to_atoms
from pyg_mpnn.data.store import lock
from pyg_mpnn.training import TrainingSettings, train

SILICON = Path(__file__).parent / "assets" / "si.extxyz"
FIELDS = ("z", "pos", "cell", "pbc", "energy", "forces", "stress", "weight", "edge_index", "shifts")


@pytest.fixture(params=[".db", ".extxyz", ".traj"])
def file(tmp_path, request):
    frames = [*ethanol("train")[:10], *read_structures(SILICON)]
    atoms = [to_atoms(frame) for frame in frames]
    atoms[0].info["config_weight"] = 2.0  # kept by extended XYZ and trajectories
    path = tmp_path / f"mixed{request.param}"
    ase.io.write(path, atoms)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("cutoff", [5.0, (3.0, 5.0)], ids=["one cutoff", "two"])
def test_items_are_those_from_memory(file, cutoff, dtype):
    streamed = StreamedDataset(file, cutoff, dtype=dtype)
    memory = StructureDataset(read_structures(file), cutoff, dtype=dtype)
    assert len(streamed) == len(memory) == 14
    assert (streamed.num_atoms, streamed.num_edges) == (memory.num_atoms, memory.num_edges)
    for one, other in zip(streamed, memory, strict=False):
        assert sorted(one.keys()) == sorted(other.keys())
        assert one.cutoff == other.cutoff == 5.0
        for name in FIELDS:
            if name in other:
                assert one[name].dtype == other[name].dtype
                assert torch.equal(one[name].nan_to_num(nan=9.0), other[name].nan_to_num(nan=9.0)), name


def test_neighbour_lists_are_found_once(file, monkeypatch, capsys):
    StreamedDataset(file, 5.0)
    monkeypatch.setattr("pyg_mpnn.data.stream.RadiusGraph", None)
    again = StreamedDataset(file, 5.0)
    assert again[3].edge_index.shape[1] > 0
    with pytest.raises(TypeError):
        StreamedDataset(file, 4.0)  # control: another cutoff needs other lists
    assert capsys.readouterr().out == ""


def test_stale_cache_is_made_anew_and_said_so(tmp_path, capsys):
    path = tmp_path / "ethanol.extxyz"
    frames = [to_atoms(frame) for frame in ethanol("train")[:4]]
    ase.io.write(path, frames[:3])
    assert len(StreamedDataset(path, 5.0)) == 3
    ase.io.write(path, frames[1:])
    found = StreamedDataset(path, 5.0)
    assert torch.allclose(found[2].pos, torch.tensor(frames[3].positions))
    assert (
        f"{found.cache} is of other content, cutoff, dtype or labels than {path}: made anew" in capsys.readouterr().out
    )
    other = StreamedDataset(path, 3.0, cache=found.cache)
    assert other[0].edge_index.shape[1] == other.num_edges[0]
    assert other.num_edges[0] < found.num_edges[0]
    assert "made anew" in capsys.readouterr().out


@pytest.mark.slow
def test_interrupted_build_leaves_nothing_that_is_taken_for_whole(tmp_path, monkeypatch):
    path = tmp_path / "ethanol.extxyz"
    ase.io.write(path, [to_atoms(frame) for frame in ethanol("train")[:4]])
    with monkeypatch.context() as patch:
        patch.setattr("pyg_mpnn.data.store._put", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            StreamedDataset(path, 5.0)
    assert not StreamedDataset(path, 5.0).cache.with_suffix(".lmdb.partial").exists()


@pytest.mark.slow
def test_other_processes_open_their_own(file):
    data = StreamedDataset(file, 5.0)
    first = data[0]
    assert torch.equal(pickle.loads(pickle.dumps(data))[0].pos, first.pos)
    part = data.subset([2, 3, 4])
    assert (len(part), part.num_atoms, part.num_edges) == (3, data.num_atoms[2:5], data.num_edges[2:5])


@pytest.mark.long
@pytest.mark.parametrize("workers", [0, 1])
def test_training_gives_the_same_potential_as_from_memory(tmp_path, workers):
    path = tmp_path / "mixed.db"
    ase.io.write(path, [to_atoms(f) for f in [*ethanol("train")[:10], *read_structures(SILICON)]])
    tiny = {"hidden_channels": 8, "edge_dim": 8, "channels": 2, "l_max": 1, "num_layers": 1}
    base = TrainingSettings(
        str(path), str(tmp_path / "memory"), valid_size=4, epochs=2, batch_atoms=70, device="cpu", zbl=True, model=tiny
    )
    memory = train(base)
    streamed = train(dataclasses.replace(base, out=str(tmp_path / "stream"), stream=True, workers=workers))
    assert streamed.errors == memory.errors
    for one, other in zip(
        memory.potential.state_dict().values(), streamed.potential.state_dict().values(), strict=True
    ):
        assert torch.equal(one.nan_to_num(), other.nan_to_num())


@pytest.mark.slow
def test_edges_are_those_of_the_potential(tmp_path):
    path = tmp_path / "ethanol.db"
    ase.io.write(path, [to_atoms(frame) for frame in ethanol("train")[:4]])
    settings = TrainingSettings(str(path), str(tmp_path / "out"), valid_size=1, epochs=1, stream=True)
    result = train(settings, Potential.from_size("small", cutoff=3.0))
    assert result.potential.cutoff == 3.0
    assert math.isfinite(result.errors.forces_mae_meV_per_A)


def test_unusable_files_are_errors(tmp_path, unchecked):
    with pytest.raises(
        FileNotFoundError, match=r"must be files or the word ethanol .*, got 'absent.db', which is neither"
    ):
        StreamedDataset("absent.db", 5.0)
    atoms = [to_atoms(frame) for frame in ethanol("train")[:2]]
    atoms[1].calc = None
    ase.io.write(tmp_path / "bare.extxyz", atoms)
    with pytest.raises(ValueError, match=r"'energy' is missing in frame 1 of .*bare.extxyz"):
        StreamedDataset(tmp_path / "bare.extxyz", 5.0)
    (tmp_path / "broken.extxyz").write_text("3\nno atoms\n")
    with pytest.raises(ValueError, match=r"'path' must be readable by ASE, got .* in .*broken.extxyz \(frame 0\)"):
        StreamedDataset(tmp_path / "broken.extxyz", 5.0)
    ase.io.write(tmp_path / "good.extxyz", atoms[:1])
    (tmp_path / "mine").mkdir()
    with pytest.raises(FileExistsError, match=r"'cache' must be a folder of this class or absent, got '.*mine'"):
        StreamedDataset(tmp_path / "good.extxyz", 5.0, cache=tmp_path / "mine")
    data = StreamedDataset(tmp_path / "good.extxyz", 5.0)
    with pytest.raises(IndexError, match=r"'index' must be at least 0 and below 1, got 1"):
        data[1]
    with pytest.raises(ValueError, match=r"'stream' needs one file in 'data' and no 'target'"):
        TrainingSettings(["a.db", "b.db"], "out", stream=True)


@pytest.mark.long
def test_two_first_uses_at_once_make_one_whole_cache(tmp_path):
    path = tmp_path / "ethanol.extxyz"
    ase.io.write(path, [to_atoms(frame) for frame in ethanol("train")[:20]])
    code = f"from pyg_mpnn.data import StreamedDataset; print(len(StreamedDataset({str(path)!r}, 5.0)))"
    with lock(path.with_name(f"{path.name}.5A-float32.lmdb")):
        first, second = (
            subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)
        )
        assert "Another process is making" in first.stdout.readline()
        assert "Another process is making" in second.stdout.readline()
    assert sorted(process.communicate(timeout=60)[0] for process in (first, second)) == ["20\n", "20\n"]
    assert StreamedDataset(path, 5.0)[19].num_nodes == 9
    assert not list(tmp_path.glob("*.partial"))


def test_cache_with_a_hole_is_an_error(tmp_path):
    path = tmp_path / "ethanol.extxyz"
    ase.io.write(path, [to_atoms(frame) for frame in ethanol("train")[:2]])
    dataset = StreamedDataset(path, 5.0)
    index = json.loads((dataset.cache / "index.json").read_text())
    index["num_atoms"].append(9)
    (dataset.cache / "index.json").write_text(json.dumps(index))
    with pytest.raises(
        ValueError, match=r"'cache' must be whole, got .* with 2 structures in place of 3: remove the folder"
    ):
        StreamedDataset(path, 5.0)


_MEASURE = """
import sys
from pyg_mpnn.data import StreamedDataset

def anonymous():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024

frames = StreamedDataset(sys.argv[1], 3.0)
frames[0]
before = anonymous()
kept = [frames[k] if sys.argv[2] == "kept" else len(frames[k].z) for _ in range(2) for k in range(len(frames))]
print(anonymous() - before)
"""


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_memory_does_not_grow_with_the_number_of_structures(tmp_path):
    atoms = ase.Atoms("H1000", positions=2.5 * np.indices((10, 10, 10)).reshape(3, -1).T)
    atoms.calc = SinglePointCalculator(atoms, energy=0.0, forces=np.zeros((1000, 3)))
    path = tmp_path / "grids.db"
    with ase.db.connect(path) as rows:
        for _ in range(100):
            rows.write(atoms)
    StreamedDataset(path, 3.0)

    def megabytes(what: str) -> float:
        command = [sys.executable, "-c", _MEASURE, str(path), what]
        return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    assert megabytes("read") < 5
    assert megabytes("kept") > 20, "the measurement sees structures that stay in memory"
