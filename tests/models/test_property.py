from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Batch, Data

from pyg_mpnn import MPNN, Potential, PropertyModel
from pyg_mpnn.geometry import RadiusGraph

KINDS = ["extensive", "intensive", "dipole", "spatial_extent"]
TINY = {"hidden_channels": 16, "edge_dim": 8, "channels": 4, "num_layers": 2}


def make(kind, dtype=torch.float64):
    torch.manual_seed(0)
    model = PropertyModel.from_size("small", kind=kind, **TINY).to(dtype).eval()
    model.set_reference({1: 0.3, 6: -1.0, 8: 2.0}, 1.5, [6.0])
    return model


@pytest.mark.parametrize("kind", KINDS)
def test_value_does_not_depend_on_pose_order_or_batch(kind, ethanol, water, dtype):
    model = make(kind, dtype)
    expected = model(ethanol)
    turn, _ = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))
    order = torch.randperm(9)
    moved = Data(z=ethanol.z[order], pos=(-ethanol.pos @ turn.to(dtype) + 2.0)[order])
    tolerance = {"rtol": 1e-4, "atol": 1e-4} if dtype == torch.float32 else {"rtol": 1e-9, "atol": 1e-9}
    torch.testing.assert_close(model(moved), expected, **tolerance)
    graph = RadiusGraph(5.0)
    batch = Batch.from_data_list([graph(ethanol.clone()), graph(water.clone())])
    torch.testing.assert_close(model(batch), torch.cat([expected, model(water)]), **tolerance)
    assert expected.dtype == torch.float64
    distorted = ethanol.clone()
    distorted.pos[3] += 0.2
    assert (model(distorted) - expected).abs() > 1e-4, "control"


def test_two_far_molecules_add_up_or_average(ethanol, water, dtype):
    both = Data(z=torch.cat([ethanol.z, water.z]), pos=torch.cat([ethanol.pos, water.pos + 50.0]))
    for kind, expected in (("extensive", lambda a, b: a + b), ("intensive", lambda a, b: (9 * a + 3 * b) / 12)):
        model = make(kind, dtype)
        torch.testing.assert_close(model(both), expected(model(ethanol), model(water)), rtol=1e-5, atol=1e-5)


def test_reference_is_what_the_readout_sums(water):
    for kind, expected in (("extensive", 2.0 + 0.6), ("intensive", 2.6 / 3)):
        model = make(kind)
        for parameter in model.atomwise.parameters():
            torch.nn.init.zeros_(parameter)
        assert model(water).item() == pytest.approx(expected)


@pytest.mark.parametrize("kind", KINDS)
def test_file_gives_the_same_model(kind, tmp_path, ethanol, dtype):
    model = make(kind, dtype)
    model.save(tmp_path / "model.pt")
    loaded = PropertyModel.load(tmp_path / "model.pt")
    assert torch.equal(loaded(ethanol), model(ethanol))
    assert (loaded.kind, loaded.dtype, loaded.elements) == (kind, dtype, (1, 6, 8))


def test_files_of_potentials_and_properties_are_told_apart(tmp_path):
    make("dipole").save(tmp_path / "property.pt")
    Potential.from_size("small", **TINY).save(tmp_path / "potential.pt")
    with pytest.raises(ValueError, match=r"'path' must hold a Potential, got .*property.pt with a PropertyModel"):
        Potential.load(tmp_path / "property.pt")
    with pytest.raises(ValueError, match=r"'path' must hold a PropertyModel, got .*potential.pt with a Potential"):
        PropertyModel.load(tmp_path / "potential.pt")
    (tmp_path / "text.pt").write_text("no model")
    with pytest.raises(ValueError, match=r"'path' must be a file of save.* .*which cannot be read as one"):
        PropertyModel.load(tmp_path / "text.pt")


def test_unusable_arguments_are_errors(unchecked, water, silicon):
    with pytest.raises(ValueError, match=r"'kind' must be one of .*, got 'charge'"):
        PropertyModel(kind="charge")
    with pytest.raises(ValueError, match=r"'size' must be one of .*, got 'huge'"):
        PropertyModel.from_size("huge")
    with pytest.raises(ValueError, match=r"'representation' must be invariant, got one that declares 'unconstrained'"):
        PropertyModel(MPNN(directions="raw"))
    water.z[0] = 7
    with pytest.raises(ValueError, match=r"'z' must hold elements the model was trained on \(\[1, 6, 8\]\), got \[7\]"):
        make("extensive")(water)
    model = PropertyModel.from_size("small", kind="dipole", **TINY)
    with pytest.raises(ValueError, match=r"'pbc' must be False for a dipole, got a periodic structure"):
        model(silicon)
    assert PropertyModel.from_size("small", **TINY)(silicon).isfinite().all()
