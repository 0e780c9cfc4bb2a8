"""Compositions as plain values: every part of ours, parts of the user's, and what is refused before it runs."""

from __future__ import annotations

import functools
import inspect
import json
import sys

import pytest
import torch
from torch import nn
from torch_geometric.nn import SumAggregation

from pyg_mpnn import (
    MPNN,
    ZBL,
    Attention,
    BesselBasis,
    GaussianBasis,
    PolynomialCutoff,
    Potential,
    SigmoidAttention,
    SumPotential,
)
from pyg_mpnn.models.build import build, describe, foreign_names, name_of, own_classes, part_factory, sources
from pyg_mpnn.models.parts import BASES

SMALL = {"hidden_channels": 8, "edge_dim": 8, "channels": 2, "num_layers": 1, "num_radial": 4}
SIZES = {"in_channels": 6, "hidden_channels": 4, "out_channels": 4, "edge_dim": 4, "channels": 4, "l_max": 1}
SIZES |= {"num_radial": 4, "cutoff": 4.0, "message_channels": 4, "p": 5, "alpha": 1.5, "eta": 2.0, "start": 0.5}
OWN = """
import torch
from torch import nn

print("my_parts runs")

class Chebyshev(nn.Module):
    def __init__(self, cutoff, num_radial, degree=4):
        super().__init__()
        self.cutoff, self.num_radial = cutoff, degree

    def forward(self, dist):
        x = (dist / self.cutoff).unsqueeze(-1)
        return torch.cos(x * torch.arange(self.num_radial, dtype=dist.dtype))

class Scaled(nn.Module):
    def __init__(self, inner: nn.Module, factor: float, **options):
        super().__init__()
        self.inner, self.factor, self.options = inner, factor, options
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_parts.py").write_text(OWN)
    yield "my_parts.py"
    for name in [name for name, module in sys.modules.items() if str(tmp_path) in str(getattr(module, "__file__", ""))]:
        del sys.modules[name]


def plain(description):
    """As a file keeps it."""
    return json.loads(json.dumps(description))


def _simple_parts():
    """Classes that are made of numbers alone."""
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    for name, cls in sorted(own_classes().items()):
        known = {} if cls.__init__ is nn.Module.__init__ else dict(inspect.signature(cls.__init__).parameters)
        known.pop("self", None)  # not the signature of the class: on Python 3.10 that is the one of __new__
        needed = {key for key, p in known.items() if p.default is p.empty and p.kind not in several}
        of_models = name == "EnergyModel" or issubclass(cls, SumPotential)
        if needed <= set(SIZES) and not inspect.isabstract(cls) and not of_models:
            sizes = {**SIZES, "channels": [4, 5]} if name == "MLP" else SIZES
            yield name, {key: sizes[key] for key in known if key in sizes}


@pytest.mark.parametrize(("name", "options"), list(_simple_parts()))
def test_every_part_of_ours_tells_its_arguments(name, options):
    part = own_classes()[name](**options)
    description = plain(describe(part))
    again = build(description)
    assert describe(again) == description
    assert {key: description[key] for key in options} == {**options, **({"cutoff": [4.0]} if name == "MPNN" else {})}
    assert [tuple(p.shape) for p in again.parameters()] == [tuple(p.shape) for p in part.parameters()]


def test_every_composition_of_ours_is_built_again():
    for options in ({"attention": "softmax", "heads": 2}, {"cutoff": [3.0, 5.0]}, {"directions": "radial"}):
        potential = Potential(MPNN(**SMALL, **options), heads="last", zbl=ZBL(3.0))
        again = build(plain(potential.config))
        assert again.config == potential.config
        assert list(again.state_dict()) == list(potential.state_dict())


@pytest.mark.parametrize(
    "basis",
    [
        "gaussian",
        GaussianBasis,
        functools.partial(GaussianBasis, eta=4.0),
        GaussianBasis(5.0, 4, eta=4.0),
        {"class": "gaussian", "eta": 4.0},
        {"class": "GaussianBasis", "eta": 4.0},
    ],
)
def test_a_basis_is_named_in_any_way(basis):
    network = MPNN(**SMALL, basis=basis)
    assert isinstance(network.radial, GaussianBasis)
    assert (network.radial.eta == 4.0) == (not isinstance(basis, str) and basis is not GaussianBasis)
    again = build(plain(describe(network)))
    assert (type(again.radial), again.radial.eta) == (GaussianBasis, network.radial.eta)


def test_an_instance_is_copied_for_every_layer_with_weights_of_its_own():
    network = MPNN(**SMALL | {"num_layers": 2}, attention=SigmoidAttention(8, 8))
    first, second = (layer.messages.attention.query.weight for layer in network.layers)
    assert not torch.equal(first, second)


@pytest.mark.slow
def test_parts_of_the_users_are_built_from_their_file(own):
    potential = Potential.from_size("small", **SMALL, basis=f"{own}:Chebyshev")
    assert potential.representation.radial.num_radial == 4
    described = plain(potential.config)
    assert described["representation"]["basis"] == {"factory": "my_parts.py:Chebyshev"}
    assert foreign_names(described) == ["my_parts.py:Chebyshev"]
    assert list(sources(described, [own])) == ["my_parts.py"]
    again = Potential.from_config(described, trust=[own])
    assert type(again.representation.radial) is type(potential.representation.radial)


def test_arguments_are_nested_and_incomplete_ones_make_a_factory(own):
    part = build({"class": f"{own}:Scaled", "inner": {"class": "torch.nn:SiLU"}, "factor": 2.0, "depth": 3}, [own])
    assert (type(part.inner), part.factor, part.options) == (nn.SiLU, 2.0, {"depth": 3})
    made = {"class": "my_parts.py:Scaled", "inner": {"class": "torch.nn:SiLU"}, "factor": 2.0, "depth": 3}
    assert plain(describe(part)) == made
    factory = build({"class": f"{own}:Chebyshev", "degree": 7}, [own])
    assert factory(3.0, 4).num_radial == 7


def test_nothing_runs_that_is_not_trusted(own, capsys):
    described = {"class": "Potential", "representation": {"class": "MPNN", "basis": {"factory": f"{own}:Chebyshev"}}}
    for trust in ((), ["other.py"], ["my_part"], [GaussianBasis]):
        with pytest.raises(
            ValueError, match=r"my_parts.py:Chebyshev is code that is not of this package: .*--trust my_p"
        ):
            build(described, trust)
    with pytest.raises(ValueError, match="is code that is not of this package"):
        build({**described, "readout": {"class": "os:system"}}, [own])
    assert not capsys.readouterr().out, "the trusted one is not run either before all are checked"
    build(described, [own])
    assert capsys.readouterr().out == "my_parts runs\n", "control"


@pytest.mark.parametrize("key", ["class", "factory"])
@pytest.mark.parametrize("name", ["torch.hub.load", "os.system", "subprocess.Popen"])
def test_what_a_trusted_file_imports_is_not_run(own, name, key, tmp_path):
    (tmp_path / own).write_text("import os, subprocess\n" + OWN)
    harm = {"args": ["touch", str(tmp_path / "harm")], "command": f"touch {tmp_path}/harm"}
    with pytest.raises(ValueError, match=r"must be a class that is written there, got .* imports is not trusted"):
        build({key: f"{own}:{name}", **harm}, [own])
    assert not (tmp_path / "harm").exists()


def test_odd_names_of_classes_run_nothing(own):
    for description in ({"class": "", "factory": f"{own}:Chebyshev"}, {"class": [f"{own}:Chebyshev"]}):
        with pytest.raises(ValueError, match="is code that is not of this package"):
            build(description)


@pytest.mark.parametrize(
    "name", ["torch.nn:Module.__init__", "torch.nn:functional", "torch.nn:init", "torch.nn:Absent"]
)
def test_only_modules_of_torch_are_made(name):
    with pytest.raises(ValueError, match=r"must be a module of torch.nn, got no such class"):
        build({"class": name})


def test_what_cannot_be_named_or_made_is_refused(own, monkeypatch):
    with pytest.raises(ValueError, match=r"'Absent' must be a class of this package \(.*MPNN.*\), or a class of yours"):
        build({"class": "Absent"})
    with pytest.raises(ValueError, match=r"must exist, got no 'Absent' in .*my_parts.py"):
        build({"class": f"{own}:Absent"}, [own])
    with pytest.raises(ValueError, match=r"'absent.py' must be a Python file, got none of that name"):
        build({"class": "absent.py:Net"}, ["absent.py"])
    with pytest.raises(ValueError, match=r"'absent_module:Net' must be importable, got ModuleNotFoundError"):
        build({"class": "absent_module:Net"}, ["absent_module"])
    with pytest.raises(ValueError, match=r"'model' must have arguments of BesselBasis \(cutoff, num_radial\), got eta"):
        build({"class": "BesselBasis", "cutoff": 5.0, "eta": 1.0})
    with pytest.raises(
        ValueError, match=r"'model' must be a BesselBasis that its arguments make, got: 'cutoff' must be"
    ):
        build({"class": "BesselBasis", "cutoff": -5.0})
    with pytest.raises(ValueError, match=r"'model.num_radial' must be a whole number, as BesselBasis says, got 'many'"):
        build({"class": "BesselBasis", "cutoff": 5.0, "num_radial": "many"})
    with pytest.raises(ValueError, match=r"'model.in_features' must be a whole number, as Linear says, got 2.5"):
        build({"class": "torch.nn:Linear", "in_features": 2.5, "out_features": 1})
    with pytest.raises(ValueError, match=r"'model' must be a Linear that its arguments make, got: .*negative"):
        build({"class": "torch.nn:Linear", "in_features": -2, "out_features": 1})

    class Local(nn.Module):
        pass

    with pytest.raises(
        TypeError, match=r"at the top of a file to be saved, got .*Local, which is defined inside a func"
    ):
        name_of(Local)
    with pytest.raises(TypeError, match=r"'model.envelope' must be None, numbers, .* got <function"):
        describe(MPNN(**SMALL, envelope=lambda cutoff: PolynomialCutoff(cutoff, 5)))
    with pytest.raises(TypeError, match=r"must have names as keys to be saved, got \[1\]"):
        describe({1: 2})
    with pytest.raises(TypeError, match=r"got torch.float64: pass its name as a string"):
        describe(torch.float64)
    monkeypatch.setattr(own_classes()["EdgeMLP"], "__module__", "__main__")
    monkeypatch.setitem(sys.modules, "__main__", type(sys)("__main__"))
    Typed = type("Typed", (nn.Module,), {"__module__": "__main__"})
    with pytest.raises(TypeError, match="got Typed of an interactive session: put it into a file"):
        name_of(Typed)


class Flat(Attention):
    """Forgets the axis of the heads."""

    def forward(self, x, edge_index, edge_attr, envelope):
        return envelope


class Unusual(nn.Module):
    """Its methods do not call themselves ``self``."""

    def __init__(this, width=3):
        super().__init__()
        this.width = width


def test_the_first_argument_may_have_any_name():
    assert describe(Unusual(4))["width"] == 4
    assert build(describe(Unusual(4)), [Unusual]).width == 4
    assert set(describe(Unusual())) == {"class", "width"}


@pytest.mark.usefixtures("unchecked")
def test_parts_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"'basis' must be one of \('bessel', .*got 'sine'"):
        MPNN(basis="sine")
    with pytest.raises(ValueError, match=r"'basis' must have the largest cutoff of the model, 5 A, got 4"):
        MPNN(basis=BesselBasis(4.0))
    with pytest.raises(TypeError, match=r"'basis' must be a name, a class, functools.partial or a part, got 3"):
        MPNN(basis=3)
    wide = functools.partial(nn.Unflatten, 0, (2, 1))
    with pytest.raises(
        ValueError, match=r"'basis' must map distances \(edges,\) to \(edges, 8\), got \(2, 1\) for 2 ed"
    ):
        MPNN(basis=lambda cutoff, num_radial: wide())
    with pytest.raises(
        TypeError, match=r"'basis' must make a part when called with \(5.0, 8\), got: object\(\) takes no"
    ):
        MPNN(basis=object)
    with pytest.raises(TypeError, match=r"'envelope' must make an nn.Module, got float"):
        MPNN(envelope=float)
    with pytest.raises(
        ValueError,
        match=r"'envelope' must map distances \(edges,\) to \(edges,\), got \(2, 8\) for 2 edges from Bessel",
    ):
        MPNN(envelope=BesselBasis)
    with pytest.raises(TypeError, match=r"'attention' must be a pyg_mpnn.Attention, got Bilinear"):
        MPNN(attention=nn.Bilinear)
    with pytest.raises(
        TypeError, match=r"'layers' must have the methods forward, .* got Linear without symmetry, set_n"
    ):
        MPNN(layers=[nn.Linear(2, 2)])
    with pytest.raises(TypeError, match=r"'readout' must be a pyg_mpnn.Readout, got SumAggregation"):
        Potential(MPNN(**SMALL), readout=SumAggregation())
    edges = torch.tensor([8, 1]), torch.tensor([[1, 0], [0, 1]]), torch.eye(3)[:2]
    with pytest.raises(TypeError, match=r"Flat.forward must return the weight of each edge .* \(2, 1\), got \(2,\)"):
        MPNN(attention=Flat)(*edges)
    model = MPNN(**SMALL)
    model.layers[0].forward = lambda x, *others: x
    with pytest.raises(TypeError, match=r"Interaction.forward must return the new x and the new density, got a Tensor"):
        model(*edges)
    assert part_factory("basis", "bessel", BASES) is BesselBasis


def test_annotations_that_are_no_types_do_no_harm(tmp_path):
    (tmp_path / "words.py").write_text(
        'from torch import nn\n\n\nclass Own(nn.Module):\n    def __init__(self, cutoff: "in angstrom" = 4.0):\n'
        "        super().__init__()\n        self.cutoff = cutoff\n"
    )
    file = str(tmp_path / "words.py")
    assert build({"class": f"{file}:Own", "cutoff": 3.0}, [file], "part").cutoff == 3.0
