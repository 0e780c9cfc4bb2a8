"""Labels without what a baseline already knows, for learning the difference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data
from tqdm import tqdm

from pyg_mpnn.data.convert import full_stress, to_atoms
from pyg_mpnn.data.frames import prepare_frames
from pyg_mpnn.models import EnergyModel

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator


def subtract_baseline(
    frames: Sequence[Data], baseline: EnergyModel | Calculator, *, progress: bool | None = None
) -> list[Data]:
    r"""Structures with the difference to a baseline as labels: the targets of delta learning.

    .. math:: \Delta E = E - E^{\mathrm{base}}, \quad \Delta F = F - F^{\mathrm{base}}, \quad
              \Delta \sigma = \sigma - \sigma^{\mathrm{base}}

    The baseline is evaluated once for each structure. Train on the result, ``train(settings, frames=...)``, and run the
    sum: :class:`~pyg_mpnn.SumPotential` of both potentials, or ASE's ``SumCalculator([baseline,
    PotentialCalculator(trained)])``.

    Args:
        frames: structures with energies, and as known forces and stress.
        baseline: a potential of this package, or any ASE calculator.
        progress: whether to show a progress bar; by default where there is a terminal.

    Returns:
        New structures in the same order.

    Shapes:
        as of :class:`StructureDataset`: ``forces`` ``(nodes, 3)``, ``stress`` ``(1, 3, 3)``.

    Units:
        eV, eV/A, eV/A^3 with ASE's sign.

    Raises:
        ValueError: a structure without energy, or one whose baseline is not finite; the message names it.

    Source:
        Ramakrishnan et al., J. Chem. Theory Comput. 11, 2087 (2015), doi:10.1021/acs.jctc.5b00099; forces and stress
        as its derivatives.

    Example:
        >>> from pyg_mpnn import ZBL
        >>> from pyg_mpnn.data import ethanol
        >>> frames = ethanol("train")[:2]
        >>> difference = subtract_baseline(frames, ZBL(1.5))
        >>> bool(difference[0].energy < frames[0].energy - 1.0)
        True
    """
    prepared = prepare_frames(frames, required=["energy"])
    hidden = None if progress is None else not progress
    for index, frame in enumerate(tqdm(prepared, desc="baseline", unit="structure", leave=False, disable=hidden)):
        stress = "stress" in frame and bool(frame.stress.isfinite().all())
        known = {"energy": True, "forces": "forces" in frame, "stress": stress}
        names = [name for name, there in known.items() if there]
        for name, value in zip(names, _evaluate(baseline, frame, names), strict=True):
            if not bool(value.isfinite().all()):
                raise ValueError(f"'baseline' must be finite, got {name} that is not for frame {index}")
            frame[name] = frame[name] - value.to(frame[name])
    return prepared


def _evaluate(baseline: EnergyModel | Calculator, frame: Data, names: Sequence[str]) -> list[Tensor]:
    if isinstance(baseline, EnergyModel):
        structure = frame.clone().to(baseline.device)
        with torch.no_grad():
            output = baseline(structure, forces="forces" in names, stress="stress" in names)
        return [getattr(output, name).cpu() for name in names]
    atoms = to_atoms(frame)
    atoms.calc = baseline
    found: dict[str, Callable[[], Any]] = {
        "energy": lambda: [atoms.get_potential_energy()],
        "forces": atoms.get_forces,
        "stress": lambda: full_stress(atoms.get_stress()),
    }
    return [torch.as_tensor(np.array(found[name](), dtype=np.float64)) for name in names]
