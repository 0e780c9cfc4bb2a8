from __future__ import annotations

import torch

from pyg_mpnn.testing import Healthy, laws


class Crowded(Healthy):
    """The energy of an atom depends on how many others are in the call."""

    def _atomic(self, s, e):
        return super()._atomic(s, e) * (1.0 + 1e-8 * len(s.z))


class Haunted(Healthy):
    """A force on single atoms."""

    def _results(self, energy, forces, stress):
        return energy, forces + 1e-8, stress


def test_laws_hold(holds):
    for law in (laws.batch_independence, laws.size_extensivity, laws.isolated_atom):
        holds(law)


def test_others_in_the_call_are_caught(catches):
    catches(laws.batch_independence, Crowded(), "in a batch")
    catches(laws.size_extensivity, Crowded(), "100 A apart", "just out of reach")


def test_a_force_on_a_single_atom_is_caught(catches):
    catches(laws.isolated_atom, Haunted(), "force on Z = 6")


def test_a_long_range_is_caught_by_fragments_just_out_of_reach(catches):
    result = laws.size_extensivity
    catches(result, Healthy(), "just out of reach", cutoff=1.5)  # declares less than its 4 A


def test_missing_empty_and_single_structures_can_be_declared(dtype):
    class Plain(Healthy):
        def forward(self, data, stress=False):
            if torch.bincount(data.batch, minlength=data.num_graphs).min() < 2:
                raise RuntimeError("too few atoms")
            return super().forward(data, stress)

    from pyg_mpnn.testing import molecule

    assert laws.batch_independence(Plain(), molecule()).verdict == "fail"
    lacks = {"empty": "no empty ones", "isolated": "no single ones"}
    assert laws.batch_independence(Plain(), molecule(), lacks=lacks).verdict == "pass"
