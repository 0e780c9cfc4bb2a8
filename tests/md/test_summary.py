from __future__ import annotations

from dataclasses import replace

from pyg_mpnn.md import DynamicsSummary

SUMMARY = DynamicsSummary(
    formula="C2H6O",
    num_atoms=9,
    degrees_of_freedom=21,
    steps_per_second=81.25,
    neighbor_list_rebuilds=12,
    mean_temperature_last_half_K=287.4,
    drift_meV_per_atom_per_ps=-0.0123,
    drift_error_meV_per_atom_per_ps=0.0087,
    fluctuation_meV_per_atom=0.234,
    bond_changes={},
    drift_in_words="drift -12 +- 9 meV/atom/ns: not different from zero",
)


def test_summary_in_words() -> None:
    assert str(SUMMARY).splitlines() == [
        "C2H6O, 9 atoms: 81.2 steps per second, neighbour list built 12 times",
        "mean temperature of the last half: 287 K",
        "conserved energy: drift -12 +- 9 meV/atom/ns: not different from zero; RMS fluctuation 0.23 meV/atom",
        "bonds: all as at the start",
    ]


def test_summary_names_the_bonds_that_changed() -> None:
    bonds = {"O2-H3 broken": 10, "C0-H6 broken": 20, "H3-H6 formed": 30, "C0-C1 broken": 40}
    last = str(replace(SUMMARY, bond_changes=bonds)).splitlines()[-1]
    assert last == (
        "bonds: O2-H3 broken at step 10, C0-H6 broken at step 20, H3-H6 formed at step 30 and 1 more (summary.json)"
    )


def test_summary_with_a_thermostat_in_a_crystal_says_nothing_of_drift_and_bonds() -> None:
    summary = replace(SUMMARY, drift_in_words=None, bond_changes=None)
    assert len(str(summary).splitlines()) == 2
