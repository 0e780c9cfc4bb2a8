"""Files: what they keep, what is refused, and that nothing is lost or executed."""

from __future__ import annotations

import importlib
import io
import random
import sys
import zipfile

import pytest
import torch

from pyg_mpnn import MPNN, Potential, load_potential
from pyg_mpnn.models import open_potential
from pyg_mpnn.models.files import FILE_FORMAT, load_model, open_model, read_content, read_model

SMALL = {"hidden_channels": 8, "edge_dim": 8, "channels": 2, "num_layers": 1, "num_radial": 4}
HEAD = "atomwise.heads.0.linears.0.weight"
OWN = """
import torch
from torch import nn

class Basis(nn.Module):
    def __init__(self, cutoff, num_radial, power=1.0):
        super().__init__()
        self.cutoff, self.num_radial, self.power = cutoff, num_radial, power

    def forward(self, dist):
        x = (dist / self.cutoff).unsqueeze(-1)
        return FACTOR * x ** (self.power * torch.arange(self.num_radial, dtype=dist.dtype))

FACTOR = 1.0

def broken():
    return 1 + "1"

def make():
    from pyg_mpnn import MPNN, Potential
    return Potential(MPNN(hidden_channels=8, edge_dim=8, num_layers=1, basis=Basis))
"""


@pytest.fixture
def saved(tmp_path):
    potential = Potential(MPNN(**SMALL))
    potential.set_reference({1: -13.6, 8: -2041.0}, 2.0)
    potential.compositions, potential.record = [{1: 2, 8: 1}], {"labels": {"energy": "energy"}}
    potential.save(tmp_path / "potential.pt")
    return tmp_path / "potential.pt"


@pytest.fixture
def own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_basis.py").write_text(OWN)
    yield tmp_path / "my_basis.py"
    sys.modules.pop("my_basis", None)


def same_weights(first, second):
    return list(first) == list(second) and all(
        torch.equal(first[name].nan_to_num(), second[name].nan_to_num()) for name in first
    )


def rewrite(path, change):
    content = torch.load(path, weights_only=True)
    change(content)
    torch.save(content, path)


def test_round_trip(saved):
    config, state, header = read_model(saved)
    assert config["representation"]["class"] == "MPNN"
    assert header["format"] == FILE_FORMAT
    assert header["probe"].keys() == {"z", "pos", "energy"}
    loaded = load_model(saved)
    assert loaded.compositions == [{1: 2, 8: 1}]
    assert loaded.record == {"labels": {"energy": "energy"}}
    assert same_weights(state, loaded.state_dict())
    assert [path.name for path in saved.parent.iterdir()] == ["potential.pt"]


def test_frozen_and_shared_weights_stay_so(tmp_path):
    potential = Potential(MPNN(**SMALL))
    potential.representation.requires_grad_(False)
    potential.save(tmp_path / "frozen.pt")
    loaded = Potential.load(tmp_path / "frozen.pt")
    assert not any(parameter.requires_grad for parameter in loaded.representation.parameters())
    assert all(parameter.requires_grad for parameter in loaded.atomwise.parameters())


def test_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "potential.pt"
    path.write_text("old")

    def fail(content, file):
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        Potential(MPNN(**SMALL)).save(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_load_refuses_other_files(tmp_path):
    torch.save({"weights": torch.ones(2)}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match=r"'path' must be a file of save\(\) .* of another program"):
        load_potential(tmp_path / "other.pt")


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04 cut off", b"epoch,step\n1,4\n"])
def test_load_refuses_damaged_files(tmp_path, content):
    (tmp_path / "damaged.pt").write_bytes(content)
    with pytest.raises(ValueError, match=r"'path' must be .* which cannot be read as one"):
        load_potential(tmp_path / "damaged.pt")


def test_no_flipped_bit_loads_silently(saved):
    """An error, or the same weights and configuration."""
    original, draw = saved.read_bytes(), random.Random(0)
    expected, refused = load_model(saved), 0
    for _ in range(150):
        place, bit = draw.randrange(len(original)), draw.randrange(8)
        saved.write_bytes(original[:place] + bytes([original[place] ^ 1 << bit]) + original[place + 1 :])
        try:
            found = load_model(saved)
        except ValueError:
            refused += 1
            continue
        assert found.config == expected.config
        assert same_weights(found.state_dict(), expected.state_dict())
    assert refused > 75


def test_truncated_files_are_refused(saved):
    original = saved.read_bytes()
    for length in (len(original) - 1, len(original) // 2, 100):
        saved.write_bytes(original[:length])
        with pytest.raises(ValueError, match="cannot be read as one"):
            load_model(saved)


def test_a_changed_weight_with_a_right_checksum_is_refused(saved):
    rewrite(saved, lambda content: content["state_dict"][HEAD].mul_(1.001))
    with pytest.raises(ValueError, match="damaged: its digest is another one"):
        load_model(saved)


@pytest.mark.parametrize("key", ["config", "prefix", "state_dict"])
def test_incomplete_files_are_refused(saved, key):
    rewrite(saved, lambda content: (content if key == "state_dict" else content["pyg_mpnn"]).pop(key))
    with pytest.raises(ValueError, match=f"without {key}: it is not complete"):
        load_model(saved)


def test_weights_that_are_not_finite_are_refused(saved, tmp_path):
    potential = load_model(saved)
    with torch.no_grad():
        next(potential.parameters())[0, 0] = torch.nan
    with pytest.raises(
        ValueError, match=r"weights of a model must be finite to be saved, got others in representation"
    ):
        potential.save(tmp_path / "nan.pt")
    content = torch.load(saved, weights_only=True)
    content["pyg_mpnn"]["format"] = 3  # without digest
    content["pyg_mpnn"]["config"] = {"mpnn": {**SMALL, "cutoff": [5.0]}, "heads": "all", "hidden_channels": 64}
    torch.save(content, tmp_path / "old.pt")
    assert load_model(tmp_path / "old.pt").config["heads"] == "all"
    content["state_dict"][HEAD][0, 0] = torch.inf
    torch.save(content, tmp_path / "old.pt")
    with pytest.raises(ValueError, match="must be finite to be used"):
        load_model(tmp_path / "old.pt")


def test_weights_that_do_not_fit_are_refused(saved):
    content = torch.load(saved, weights_only=True)
    content["pyg_mpnn"]["format"] = 3
    content["pyg_mpnn"]["config"] = {"mpnn": {**SMALL, "cutoff": [5.0]}, "heads": "all", "hidden_channels": 32}
    torch.save(content, saved)
    with pytest.raises(
        ValueError, match=r"potential.pt: the weights must fit the model that the file describes, got: si"
    ):
        load_model(saved)


@pytest.mark.parametrize(
    ("number", "advice"), [(2, "of format 2, too old to be read: train again"), (5, "made by a newer pyg_mpnn: update")]
)
def test_other_formats_are_refused(saved, number, advice):
    rewrite(saved, lambda content: content["pyg_mpnn"].update(format=number))
    with pytest.raises(ValueError, match=advice):
        load_model(saved)


def test_a_file_of_format_3_without_description_is_refused(tmp_path):
    own = {"format": 3, "config": None, "prefix": "potential."}
    torch.save({"pyg_mpnn": own, "state_dict": {}}, tmp_path / "own.pt")
    with pytest.raises(ValueError, match="of format 3, which did not keep it: build it in code and load its weights"):
        load_model(tmp_path / "own.pt")


def test_load_executes_no_code(tmp_path, capsys):
    class Harm:
        def __reduce__(self):
            return (print, ("executed",))

    torch.save({"pyg_mpnn": Harm()}, tmp_path / "harm.pt")
    with pytest.raises(ValueError, match="cannot be read as one") as caught:
        load_model(tmp_path / "harm.pt")
    assert "weights_only" not in str(caught.value), "torch would advise to execute it"
    assert not capsys.readouterr().out
    assert torch.load(tmp_path / "harm.pt", weights_only=False) == {"pyg_mpnn": None}
    assert capsys.readouterr().out == "executed\n", "control"


def test_code_of_the_users_runs_only_where_it_is_trusted(own):
    basis = importlib.import_module("my_basis")
    potential = Potential(MPNN(**SMALL, basis=basis.Basis)).eval()
    potential.save("own.pt")
    with pytest.raises(ValueError, match=r"got own.pt: my_basis:Basis is code that is not of .* --trust my_basis"):
        load_potential("own.pt")
    water = torch.tensor([8, 1, 1]), torch.eye(3)
    for trust in (["my_basis.py"], ["my_basis"], [str(own)], [basis.Basis]):
        assert torch.equal(load_potential("own.pt", trust=trust)(*water).forces, potential(*water).forces)
    with pytest.raises(ValueError, match="is code that is not of this package"):
        load_potential("own.pt", trust=["our_basis.py", MPNN])


def test_changed_code_is_a_note_or_an_error(own):
    potential = Potential(MPNN(**SMALL, basis=importlib.import_module("my_basis").Basis))
    potential.save("own.pt")
    own.write_text(OWN + "\n# a comment\n")
    with pytest.warns(UserWarning, match=r"my_basis has changed since own.pt was made; the energy .* is the same"):
        load_potential("own.pt", trust=["my_basis.py"])
    own.write_text(OWN.replace("FACTOR = 1.0", "FACTOR = 1.5"))
    sys.modules.pop("my_basis")
    with pytest.raises(ValueError, match=r"gives the energies it was saved with, got own.pt: .* my_basis has changed"):
        load_potential("own.pt", trust=["my_basis.py"])


def test_a_model_from_code_of_the_users(own, saved):
    assert isinstance(open_potential("my_basis.py:make"), Potential)
    assert isinstance(open_potential(saved), Potential)
    with pytest.raises(
        TypeError, match=r"'model' must be a potential, got my_basis.py:Basis with a type: it has no en"
    ):
        open_potential("my_basis.py:Basis")
    with pytest.raises(TypeError, match="unsupported operand"):  # of the user's code itself, not hidden
        open_model("my_basis.py:broken")
    with pytest.raises(ValueError, match=r"'model' must name a Python object that exists, got 'my_basis.py:Absent'"):
        open_model("my_basis.py:Absent")


def test_checksums_are_of_the_file_itself(saved):
    with zipfile.ZipFile(io.BytesIO(saved.read_bytes())) as archive:
        assert archive.testzip() is None
    assert read_content(saved, "cpu", "a file").keys() == {"pyg_mpnn", "state_dict"}


def test_wrong_place_is_told_with_what_may_be_meant(tmp_path):
    (tmp_path / "best.ckpt").touch()
    for path, what in ((tmp_path, "which is a folder"), (tmp_path / "best.ckp", "which does not exist")):
        with pytest.raises(FileNotFoundError, match=rf"{what}: did you mean {tmp_path / 'best.ckpt'}\?"):
            load_model(path)
    with pytest.raises(FileNotFoundError, match=r"which does not exist$"):
        load_model(tmp_path / "absent" / "best.ckpt")
