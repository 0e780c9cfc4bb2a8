"""Files: what is refused, and that nothing is lost or executed. What they keep is tested with the potential."""

from __future__ import annotations

import pytest
import torch

from pyg_mpnn.models.files import FILE_FORMAT, read_potential, write_model


def test_round_trip(tmp_path):
    write_model(tmp_path / "potential.pt", {"heads": "all"}, {"weight": torch.ones(2)})
    config, state, _ = read_potential(tmp_path / "potential.pt")
    assert config == {"heads": "all"}
    assert torch.equal(state["weight"], torch.ones(2))
    assert [path.name for path in tmp_path.iterdir()] == ["potential.pt"]


def test_weights_of_a_checkpoint_lose_their_prefix(tmp_path):
    own = {"format": FILE_FORMAT, "config": {}, "prefix": "potential."}
    state = {"potential.weight": torch.ones(2), "averaged.weight": torch.zeros(2)}
    torch.save({"pyg_mpnn": own, "state_dict": state}, tmp_path / "best.ckpt")
    assert list(read_potential(tmp_path / "best.ckpt").state_dict) == ["weight"]


def test_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "potential.pt"
    path.write_text("old")

    def fail(content, file):
        with open(file, "w") as handle:
            handle.write("half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        write_model(path, {}, {})
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_load_refuses_other_files(tmp_path):
    torch.save({"weights": torch.ones(2)}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match=r"'path' must be a file of Potential\.save"):
        read_potential(tmp_path / "other.pt")


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04 cut off", b"epoch,step\n1,4\n"])
def test_load_refuses_damaged_files(tmp_path, content):
    (tmp_path / "damaged.pt").write_bytes(content)
    with pytest.raises(ValueError, match=r"'path' must be .* which cannot be read as one"):
        read_potential(tmp_path / "damaged.pt")


def test_load_refuses_own_compositions(tmp_path):
    own = {"format": FILE_FORMAT, "config": None, "prefix": "potential."}
    torch.save({"pyg_mpnn": own, "state_dict": {}}, tmp_path / "own.pt")
    with pytest.raises(ValueError, match="build it in code and load its weights"):
        read_potential(tmp_path / "own.pt")


def test_load_refuses_files_of_an_older_format(tmp_path):
    torch.save({"pyg_mpnn": {"format": 1, "config": {}, "prefix": ""}, "state_dict": {}}, tmp_path / "old.pt")
    with pytest.raises(ValueError, match=r"\(format 3\), got .*old\.pt, of format 1"):
        read_potential(tmp_path / "old.pt")


def test_load_executes_no_code(tmp_path, capsys):
    class Harm:
        def __reduce__(self):
            return (print, ("executed",))

    torch.save({"pyg_mpnn": Harm()}, tmp_path / "harm.pt")
    with pytest.raises(ValueError, match="cannot be read as one") as caught:
        read_potential(tmp_path / "harm.pt")
    assert "weights_only" not in str(caught.value), "torch would advise to execute it"
    assert not capsys.readouterr().out
    assert torch.load(tmp_path / "harm.pt", weights_only=False) == {"pyg_mpnn": None}
    assert capsys.readouterr().out == "executed\n", "control"


def test_wrong_place_is_told_with_what_may_be_meant(tmp_path):
    (tmp_path / "best.ckpt").touch()
    for path, what in ((tmp_path, "which is a folder"), (tmp_path / "best.ckp", "which does not exist")):
        with pytest.raises(FileNotFoundError, match=rf"{what}: did you mean {tmp_path / 'best.ckpt'}\?"):
            read_potential(path)
    with pytest.raises(FileNotFoundError, match=r"which does not exist$"):
        read_potential(tmp_path / "absent" / "best.ckpt")
