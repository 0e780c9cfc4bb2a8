"""Packages are kept under a name that changes with whatever the code depends on; a failure leaves nothing behind."""

from __future__ import annotations

import pytest
import torch
from torch.fx import symbolic_trace

from pyg_mpnn.deploy import generate
from pyg_mpnn.deploy.tracing import Traced


def traced(function):
    return Traced(symbolic_trace(function), ("w",), (None, 0))


def fingerprint(function=lambda w, x: w * x, w=(3,), x=(5, 2), dtype=torch.float32):
    return generate._fingerprint(traced(function), [torch.zeros(w, dtype=dtype), torch.zeros(x, dtype=dtype)])


def test_name_of_a_package(monkeypatch):
    same = fingerprint()
    assert fingerprint() == same
    assert fingerprint(x=(9, 2)) == same  # a free length
    assert fingerprint(lambda w, x: w + x) != same
    assert fingerprint(w=(4,)) != same
    assert fingerprint(dtype=torch.float64) != same
    monkeypatch.setattr(generate, "machine", lambda: "another")
    assert fingerprint() != same


def test_constants_count():
    def constant(value):
        module = traced(lambda w, x: w * x)
        module.graph.register_buffer("_tensor_constant0", torch.tensor(value))
        return generate._fingerprint(module, [torch.zeros(3), torch.zeros(5, 2)])

    assert constant(1.0) != constant(2.0)


def test_a_failure_leaves_the_old_file(tmp_path):
    path = tmp_path / "package.pt2"
    path.write_text("old")

    class Fails(torch.nn.Module):
        def forward(self, x):
            return x if bool(x.sum() > 0) else -x  # cannot be exported

    with pytest.raises(Exception, match=r"(?i)data.dependent|guard"):
        generate.build(Fails(), (torch.ones(3),), ({0: torch.export.Dim.DYNAMIC},), path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_expected_time_grows_with_the_graph():
    small, large = traced(lambda w, x: w * x), traced(lambda w, x: w * x + w - x)
    assert generate.expected_seconds(small, "inference") < generate.expected_seconds(large, "inference")
    assert generate.expected_seconds(small, "inference") < generate.expected_seconds(small, "training")
