"""ChannelMixing: the laws, and the formula written out."""

from __future__ import annotations

import pytest
import torch

from pyg_mpnn import ChannelMixing
from pyg_mpnn.basis import degrees


def build():
    return ChannelMixing(2, 3, l_max=2)


def call(module, inputs):
    return module(inputs.density)


def test_laws(laws):
    laws(build, call, "nodes", degrees(2), leaves_smoothly=True)


def test_formula_written_out(ethanol, inputs):
    """Anchor: sum_c A_lm,c W_l,ck with loops over components."""
    layer, given = build(), inputs(ethanol)
    parts = [given.density[:, component] @ layer.weight[l] for component, l in enumerate(degrees(2).tolist())]
    torch.testing.assert_close(call(layer, given), torch.stack(parts, dim=1))


def test_symmetry():
    assert build().symmetry("equivariant") == "equivariant"
    assert build().symmetry("unconstrained") == "unconstrained"


def test_repr_names_the_sizes():
    assert repr(build()) == "ChannelMixing(2, 3, l_max=2)"


@pytest.mark.parametrize("arguments", [(0, 3, 2), (2, 0, 2), (2, 3, -1)])
def test_sizes_must_make_sense(arguments):
    with pytest.raises(ValueError, match=r"'\w+' must be at least [01], got"):
        ChannelMixing(*arguments)
