"""i-PI beside ASE: energy, forces and virial, beads in one graph, dynamics, and what is refused.

i-PI itself runs in a process of its own: it takes over signals and never gives them back.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ipi.utils.units import unit_to_internal

from pyg_mpnn.engines.ipi_driver import IPIDriver, ipi_forcefield
from tests.engines.charged import TRUST

ANGSTROM, ELECTRONVOLT = unit_to_internal("length", "angstrom", 1.0), unit_to_internal("energy", "electronvolt", 1.0)
NVE = "<dynamics mode='nve'><timestep units='femtosecond'> 0.2 </timestep></dynamics>"
NPT = """<dynamics mode='npt'><timestep units='femtosecond'> 0.5 </timestep>
<barostat mode='isotropic'><tau units='femtosecond'> 50 </tau>
<thermostat mode='langevin'><tau units='femtosecond'> 100 </tau></thermostat></barostat>
<thermostat mode='langevin'><tau units='femtosecond'> 100 </tau></thermostat></dynamics>"""

RUN = """
import json, sys
import ase.io, numpy as np
from ipi.scripting import InteractiveSimulation, simulation_xml
from pyg_mpnn.engines.ipi_driver import ipi_forcefield

model, template, beads, steps, motion = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
atoms = ase.io.read(template)
xml = simulation_xml(
    [atoms] * beads if beads > 1 else atoms,
    ipi_forcefield(model, template, beads=beads),
    f"<motion mode='dynamics'>{motion}</motion>",
    temperature=300,
    output="<output prefix='out'></output>",
)
xml = xml.replace("</ensemble>", "<pressure units='bar'> 10000 </pressure></ensemble>")
simulation = InteractiveSimulation(xml)
system = simulation.syslist[0]
from ipi.utils.units import unit_to_internal
system.beads.q[:] = atoms.positions.flatten() * unit_to_internal("length", "angstrom", 1.0)
result = {"energy": float(system.forces.pots[0]), "forces": np.array(system.forces.f[-1]).tolist()}
result["conserved"] = []
for _ in range(steps):
    simulation.run(1, write_outputs=False)
    result["conserved"].append(float(simulation.properties("conserved")))
result["volume"] = float(simulation.properties("volume"))
json.dump(result, open("result.json", "w"))
"""


def run(folder: Path, model: Path, atoms: Atoms, beads: int, steps: int, motion: str) -> tuple[dict[str, Any], str]:
    ase.io.write(folder / "template.xyz", atoms)
    arguments = [sys.executable, "-c", RUN, str(model), "template.xyz", str(beads), str(steps), motion]
    done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((folder / "result.json").read_text()), done.stdout


@pytest.mark.parametrize("kind", ["molecule", "crystal"])
def test_driver_equals_ase(kind, saved, by_ase, assert_forces_equal, request, tmp_path):
    atoms = request.getfixturevalue(kind)
    ase.io.write(tmp_path / "template.xyz", atoms)
    atoms = ase.io.read(tmp_path / "template.xyz")  # eight digits
    if not atoms.pbc.any():
        atoms.cell = [30, 30, 30]  # i-PI always has a cell
    driver = IPIDriver(str(tmp_path / "template.xyz"), str(saved))
    energy, forces, virial, extras = driver(atoms.cell.array.T * ANGSTROM, atoms.positions * ANGSTROM)
    expected = by_ase(Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc))
    assert energy / ELECTRONVOLT == pytest.approx(expected.energy, rel=1e-12)
    assert_forces_equal(forces * ANGSTROM / ELECTRONVOLT, expected.forces)
    wanted = np.zeros((3, 3)) if expected.virial is None else expected.virial
    np.testing.assert_allclose(virial / ELECTRONVOLT, wanted, atol=1e-7)
    assert extras == ""


def test_charge_of_the_template_reaches_the_potential(
    charged, at_charge, molecule, assert_forces_equal, tmp_path, capsys
):
    template = tmp_path / "template.xyz"
    ase.io.write(template, molecule)
    with pytest.raises(ValueError, match="must have 'charge', a number that the potential reads, got none"):
        IPIDriver(str(template), str(charged), trust=TRUST)
    molecule.info["charge"] = 1
    ase.io.write(template, molecule)
    driver = IPIDriver(str(template), str(charged), trust=TRUST)
    assert "charge 1, float64" in capsys.readouterr().out
    cell = 30.0 * np.eye(3) * ANGSTROM
    energy, forces, *_ = driver(cell, molecule.positions * ANGSTROM)
    wanted = at_charge(molecule, 1)
    assert energy / ELECTRONVOLT == pytest.approx(wanted[0], rel=1e-12)
    assert_forces_equal(forces * ANGSTROM / ELECTRONVOLT, wanted[1])
    (again, *_), _ = driver([cell] * 2, [molecule.positions * ANGSTROM] * 2)
    assert again == pytest.approx(energy, rel=1e-12)
    assert f"trust: {TRUST}" in ipi_forcefield(charged, template, trust=TRUST)


def test_list_of_beads_equals_one_after_the_other(saved, crystal, tmp_path):
    ase.io.write(tmp_path / "template.xyz", crystal)
    driver = IPIDriver(str(tmp_path / "template.xyz"), str(saved))
    generator = np.random.default_rng(0)
    positions = [(crystal.positions + generator.normal(0, 0.05, (64, 3))) * ANGSTROM for _ in range(3)]
    cells = [crystal.cell.array.T * ANGSTROM * factor for factor in (1.0, 1.01, 0.99)]
    for many, one in zip(driver(cells, positions), map(driver, cells, positions), strict=True):
        assert many[0] == pytest.approx(one[0], rel=1e-12)
        np.testing.assert_allclose(many[1], one[1], atol=1e-12)
        np.testing.assert_allclose(many[2], one[2], atol=1e-11)


@pytest.mark.parametrize("beads", [1, 4])
def test_dynamics_in_ipi(beads, saved, molecule, by_ase, assert_forces_equal, tmp_path):
    molecule.cell = [20, 20, 20]
    found, printed = run(tmp_path, saved, molecule, beads, 200 // beads, NVE)
    atoms = ase.io.read(tmp_path / "template.xyz")
    atoms = Atoms(atoms.numbers, atoms.positions)
    assert printed.strip().startswith("pyg_mpnn in i-PI: units bohr, hartree; potential")
    assert found["energy"] / ELECTRONVOLT == pytest.approx(by_ase(atoms).energy, rel=1e-12)
    forces = np.array(found["forces"]).reshape(-1, 3) * ANGSTROM / ELECTRONVOLT
    assert_forces_equal(forces, by_ase(atoms).forces)
    assert 0 < np.ptp(found["conserved"]) < 2e-4 * len(molecule) * beads  # already in eV


def test_error_in_the_driver_ends_ipi(saved, molecule, tmp_path):
    """Its threads would otherwise wait for forces that never come."""
    molecule.cell = [20, 20, 20]
    ase.io.write(tmp_path / "template.xyz", molecule)
    broken = RUN.replace("system.beads.q[:] = atoms", "system.beads.q[:] = 0 * atoms")
    arguments = [sys.executable, "-c", broken, str(saved), "template.xyz", "1", "2", NVE]
    done = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1
    assert "coincident atoms" in done.stderr
    assert not (tmp_path / "result.json").exists()


def test_barostat_changes_the_cell(saved, crystal, tmp_path):
    found, _ = run(tmp_path, saved, crystal, 1, 10, NPT)
    volume = found["volume"]
    assert np.isfinite(volume)
    assert volume != pytest.approx(crystal.get_volume(), rel=1e-6)
    assert np.ptp(found["conserved"]) < 1e-3 * len(crystal)


def test_bad_input_is_refused(saved, molecule, tmp_path):
    template = str(tmp_path / "template.xyz")
    with pytest.raises(FileNotFoundError, match="'template' must be a structure that ASE reads"):
        IPIDriver(template, str(saved))
    ase.io.write(template, molecule)
    with pytest.raises(ValueError, match="'dtype' must be float32 or float64, got half"):
        IPIDriver(template, str(saved), dtype="half")
    with pytest.raises(ValueError, match=r"'parameters' must be template, model, .* got modle"):
        IPIDriver(template, str(saved), modle="best.ckpt")
    with pytest.raises(ValueError, match=r"must have the atoms of i-PI's input, got 9 and 8 come"):
        IPIDriver(template, str(saved))(np.eye(3), np.zeros((8, 3)))
    molecule.numbers[0] = 26
    ase.io.write(template, molecule)
    with pytest.raises(ValueError, match="elements the model was trained on"):
        IPIDriver(template, str(saved))
    with pytest.raises(ValueError, match="'beads' must be at least 1"):
        ipi_forcefield(saved, template, beads=0)
    with pytest.raises(ValueError, match="'model' must be a path without the characters"):
        ipi_forcefield("a,b.ckpt", template)
