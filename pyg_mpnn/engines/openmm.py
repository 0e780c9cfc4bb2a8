"""OpenMM with a potential of this package: a force for one's own system, or a whole simulation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pyg_mpnn.deploy import CompileMode
from pyg_mpnn.engines.evaluator import Evaluator, atomic_numbers, missing
from pyg_mpnn.models import EnergyModel, SumPotential
from pyg_mpnn.units import KJ_PER_MOL

__all__ = ["openmm_force", "openmm_simulation"]

_NM = 10.0  # A


def openmm_force(
    potential: EnergyModel | SumPotential | str | Path,
    elements: Sequence[str | int],
    *,
    periodic: bool,
    dtype: torch.dtype = torch.float64,
    device: str | torch.device | None = None,
    skin: float = 0.5,
    compile: CompileMode = "off",
    inputs: Mapping[str, float] | None = None,
) -> Any:
    """A ``PythonForce`` that gives energy and forces of a potential, for an OpenMM system of one's own.

    It acts on all particles; ``setParticles`` restricts it to the atoms whose elements were given.

    Args:
        potential: a potential or a sum of potentials, or the path of a saved one or of a training checkpoint.
        elements: symbol or atomic number of each atom, in order.
        periodic: whether the structure is periodic, in all three directions.
        dtype: torch.float32 or torch.float64.
        device: where to run; the potential's own device if None.
        skin: what the neighbour list holds beyond the cutoff, in A.
        compile: as of :meth:`pyg_mpnn.Potential.compile`.
        inputs: numbers that the potential reads of a structure, such as ``{"charge": 1}``.

    Returns:
        the force, an ``openmm.PythonForce``.

    Units:
        OpenMM's: nm, kJ/mol; the potential's eV and A become these.

    Raises:
        ImportError: OpenMM is missing.
        ValueError: an element that the potential does not know, or what else
            :class:`~pyg_mpnn.engines.Evaluator` refuses.

    Source:
        P. Eastman et al., J. Phys. Chem. B 128, 109 (2024), doi:10.1021/acs.jpcb.3c06662 (OpenMM 8).
    """
    evaluator = Evaluator(potential, dtype=dtype, device=device, skin=skin, compile=compile, inputs=inputs)
    return _force(_openmm(), evaluator, atomic_numbers(elements), periodic)


def openmm_simulation(
    potential: EnergyModel | SumPotential | str | Path,
    topology: Any,
    positions: Any,
    integrator: Any,
    *,
    barostat: Any = None,
    platform: str = "Reference",
    dtype: torch.dtype = torch.float64,
    device: str | torch.device | None = None,
    skin: float = 0.5,
    compile: CompileMode = "off",
    inputs: Mapping[str, float] | None = None,
) -> Any:
    """An OpenMM simulation in which this potential is the only force.

    Periodic where the topology has box vectors. The platform moves the atoms: Reference does so in double precision,
    CPU in single precision, which shows in the conserved energy.

    Args:
        potential: a potential or a sum of potentials, or the path of a saved one or of a training checkpoint.
        topology: an ``openmm.app.Topology`` whose atoms have elements.
        positions: with OpenMM's units, or an array in nm.
        integrator: of OpenMM.
        barostat: of OpenMM; none for a constant cell.
        platform: Reference, CPU, or another that OpenMM has here.
        dtype: torch.float32 or torch.float64.
        device: where the potential runs; its own device if None.
        skin: what the neighbour list holds beyond the cutoff, in A.
        compile: as of :meth:`pyg_mpnn.Potential.compile`.
        inputs: numbers that the potential reads of a structure, such as ``{"charge": 1}``.

    Returns:
        an ``openmm.app.Simulation`` with these positions.

    Units:
        OpenMM's: nm, ps, kJ/mol.

    Raises:
        ImportError: OpenMM is missing.
        ValueError: atoms without an element or of one that the potential does not know, a barostat without a box, a
            platform that is not there.

    Source:
        P. Eastman et al., J. Phys. Chem. B 128, 109 (2024), doi:10.1021/acs.jpcb.3c06662 (OpenMM 8).
    """
    openmm = _openmm()
    from openmm import app

    evaluator = Evaluator(potential, dtype=dtype, device=device, skin=skin, compile=compile, inputs=inputs)
    atoms = list(topology.atoms())
    unknown = [atom.name for atom in atoms if atom.element is None]
    if unknown:
        raise ValueError(f"'topology' must have atoms with an element, got none for {', '.join(unknown[:5])}")
    box = topology.getPeriodicBoxVectors()
    if barostat is not None and box is None:
        raise ValueError("'barostat' needs a topology with box vectors, got none: topology.setPeriodicBoxVectors(...)")
    names = [openmm.Platform.getPlatform(k).getName() for k in range(openmm.Platform.getNumPlatforms())]
    if platform not in names:
        raise ValueError(f"'platform' must be one of {', '.join(names)}, got {platform!r}")
    system = openmm.System()
    for atom in atoms:
        system.addParticle(atom.element.mass)
    if box is not None:
        system.setDefaultPeriodicBoxVectors(*box)
    system.addForce(_force(openmm, evaluator, [atom.element.atomic_number for atom in atoms], box is not None))
    if barostat is not None:
        system.addForce(barostat)
    simulation = app.Simulation(topology, system, integrator, openmm.Platform.getPlatformByName(platform))
    simulation.context.setPositions(positions)
    ensemble = f"of {type(integrator).__name__}" + ("" if barostat is None else f" and {type(barostat).__name__}")
    print(evaluator.announce(f"OpenMM {openmm.__version__}, platform {platform}", "nm, ps, kJ/mol", ensemble))
    return simulation


def _openmm() -> Any:
    try:
        import openmm
    except ImportError as error:
        raise ImportError(missing("OpenMM", "openmm")) from error
    if not hasattr(openmm, "PythonForce"):
        raise ImportError(f"pyg_mpnn.engines.openmm needs OpenMM 8.6 or newer, got {openmm.__version__}")
    return openmm


def _force(openmm: Any, evaluator: Evaluator, numbers: Sequence[int], periodic: bool) -> Any:
    evaluator.check_elements(numbers)
    force = openmm.PythonForce(_Compute(evaluator, np.asarray(numbers), periodic))
    force.setUsesPeriodicBoundaryConditions(periodic)
    force.setName("pyg_mpnn")
    return force


class _Compute:
    """Energy and forces in OpenMM's units from a state of OpenMM."""

    def __init__(self, evaluator: Evaluator, numbers: np.ndarray, periodic: bool) -> None:
        self.evaluator, self.numbers, self.periodic = evaluator, numbers, periodic

    def __call__(self, state: Any) -> tuple[float, np.ndarray]:
        positions = state.getPositions(asNumpy=True)._value * _NM
        cell = state.getPeriodicBoxVectors(asNumpy=True)._value * _NM if self.periodic else None
        energy, forces, _ = self.evaluator(self.numbers, positions, cell)
        return energy / KJ_PER_MOL, forces * (_NM / KJ_PER_MOL)
