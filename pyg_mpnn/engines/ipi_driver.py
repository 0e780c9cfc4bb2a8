"""i-PI with a potential of this package: the driver that i-PI loads, inside itself or behind a socket.

The beads of a ring polymer are evaluated as one graph. (A file named ipi.py would hide i-PI itself, which imports a
driver under the name of its file.)
"""

from __future__ import annotations

import os
import sys
import threading
import traceback
from pathlib import Path
from typing import Any, Literal
from xml.sax.saxutils import escape

import numpy as np
import torch

from pyg_mpnn.engines.evaluator import Evaluation, Evaluator, missing
from pyg_mpnn.models import load_potential

__all__ = ["IPIDriver", "ipi_forcefield"]

__DRIVER_NAME__ = "pyg_mpnn"
__DRIVER_CLASS__ = "IPIDriver"


class IPIDriver:
    """A potential as a driver ("PES") of i-PI.

    i-PI makes it from ``<parameters>`` of ``ffdirect`` or from ``i-pi-py_driver -o model=...,template=...``. Elements
    and periodic directions, which i-PI does not send, are those of the template, and so are numbers that the potential
    reads, such as a charge (``charge=1`` in the comment line of an extended XYZ file).

    Args:
        template: structure that ASE reads, atoms in the order of i-PI's own.
        model: saved potential or training checkpoint.
        dtype: ``"float32"`` or ``"float64"``.
        device: where to run; the CPU where empty.
        skin: what the neighbour list holds beyond the cutoff, in A.
        compile: ``"auto"``, ``"on"`` or ``"off"``.
        trust: file or module of the user's that the model is made of and that may run.
        verbosity: of i-PI, not used.
        **other: refused, but for ``verbose`` of i-PI's own driver.

    Units:
        i-PI's: hartree, bohr; its own constants turn the potential's eV and A into these.

    Raises:
        ImportError: i-PI is missing.
        FileNotFoundError: there is no template or no model.
        ValueError: an element that the potential does not know, a number that it reads and the template does not have;
            when called: another number of atoms than in the
            template.

    Source:
        Y. Litman et al., J. Chem. Phys. 161, 062504 (2024), doi:10.1063/5.0215869 (i-PI 3).
    """

    def __init__(
        self,
        template: str,
        model: str,
        dtype: str = "float64",
        device: str = "",
        skin: float = 0.5,
        compile: Literal["auto", "on", "off"] = "off",
        trust: str = "",
        verbosity: Any = None,
        **other: Any,
    ) -> None:
        try:
            from ipi.utils.units import unit_to_internal
        except ImportError as error:
            raise ImportError(missing("i-PI", "ipi")) from error
        import ase.io

        from pyg_mpnn.md.graph_inputs import numbers_of

        if other.keys() - {"verbose"}:
            raise ValueError(
                "'parameters' must be template, model, dtype, device, skin, compile, trust, got "
                f"{', '.join(sorted(other))}"
            )
        if dtype not in ("float32", "float64"):
            raise ValueError(f"'dtype' must be float32 or float64, got {dtype}")
        if not Path(template).is_file():
            raise FileNotFoundError(f"'template' must be a structure that ASE reads, got {template}")
        atoms = ase.io.read(template)
        assert isinstance(atoms, ase.Atoms)
        self.numbers, self.pbc = atoms.numbers, [bool(flag) for flag in atoms.pbc]
        trusted = [trust] if trust else []
        self.evaluator = Evaluator(
            model,
            dtype=getattr(torch, dtype),
            device=device or None,
            skin=float(skin),
            compile=compile,
            inputs=numbers_of(load_potential(model, trust=trusted), atoms, template),
            trust=trusted,
        )
        self.evaluator.check_elements(self.numbers)
        self.angstrom = unit_to_internal("length", "angstrom", 1.0)
        self.electronvolt = unit_to_internal("energy", "electronvolt", 1.0)
        print(self.evaluator.announce("i-PI", "bohr, hartree", "of the motion in the input"), flush=True)

    def __call__(self, cell: Any, pos: Any) -> Any:
        """Energy, forces, virial and extras, of one structure or of a list of them.

        Args:
            cell: vectors in columns, in bohr, ``(3, 3)``, or a list.
            pos: positions in bohr, ``(nodes, 3)``, or a list.

        Returns:
            what i-PI expects, or a list of it; the virial is zero where not all directions are periodic.
        """
        try:
            return self._compute(cell, pos)
        except Exception as error:
            if threading.current_thread() is threading.main_thread():
                raise
            traceback.print_exc()  # an error in a thread of i-PI's would let it wait for ever
            from ipi.utils.softexit import softexit

            softexit.cleanup(status="bad", message=f"pyg_mpnn: {error}")  # writes what is to be written
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(1)

    def _compute(self, cell: Any, pos: Any) -> Any:
        batched = isinstance(cell, list)
        cells = [np.asarray(item).T / self.angstrom for item in (cell if batched else [cell])]
        positions = [np.asarray(item).reshape(-1, 3) / self.angstrom for item in (pos if batched else [pos])]
        if any(len(item) != len(self.numbers) for item in positions):
            raise ValueError(
                f"'template' must have the atoms of i-PI's input, got {len(self.numbers)} and {len(positions[0])} come"
            )
        if len(positions) == 1:
            crystal = all(self.pbc)
            box = cells[0] if any(self.pbc) else None
            found = [
                self.evaluator(self.numbers, positions[0], box, self.pbc if any(self.pbc) else None, virial=crystal)
            ]
        else:
            found = self.evaluator.batch(self.numbers, positions, cells, self.pbc)
        results = [self._internal(result) for result in found]
        return results if batched else results[0]

    def _internal(self, result: Evaluation) -> tuple[float, np.ndarray, np.ndarray, str]:
        virial = np.zeros((3, 3)) if result.virial is None else result.virial
        energy = self.electronvolt
        return result.energy * energy, result.forces * (energy / self.angstrom), virial * energy, ""


def ipi_forcefield(
    model: str | Path,
    template: str | Path,
    *,
    name: str = "pyg_mpnn",
    beads: int = 1,
    dtype: Literal["float32", "float64"] = "float64",
    compile: Literal["auto", "on", "off"] = "off",
    trust: str = "",
) -> str:
    """The ``ffdirect`` block of i-PI's input that runs a potential inside i-PI, all beads in one graph.

    Args:
        model: saved potential or training checkpoint.
        template: structure that ASE reads, with the elements and periodic directions.
        name: of the force field, which ``<force forcefield='...'>`` refers to.
        beads: number of beads, all evaluated at once.
        dtype: ``"float32"`` or ``"float64"``.
        compile: ``"auto"``, ``"on"`` or ``"off"``.
        trust: file or module of the user's that the model is made of and that may run.

    Returns:
        XML.

    Raises:
        ValueError: fewer than one bead, or a path with a character that i-PI's list of parameters does not take.

    Example:
        >>> print(ipi_forcefield("best.ckpt", "start.xyz", beads=8).splitlines()[0])
        <ffdirect name='pyg_mpnn' threaded='True'>
    """
    if beads < 1:
        raise ValueError(f"'beads' must be at least 1, got {beads}")
    for label, path in (("model", str(model)), ("template", str(template)), ("trust", trust)):
        if any(character in path for character in ",:{}<>&'\""):
            raise ValueError(f"'{label}' must be a path without the characters , : {{}} <>&'\" for i-PI, got {path}")
    values = {"template": template, "model": model, "dtype": dtype, "compile": compile}
    values |= {"trust": trust} if trust else {}
    parameters = ", ".join(f"{key}: {value}" for key, value in values.items())
    return (
        f"<ffdirect name='{name}' threaded='True'>\n"
        "  <pes>custom</pes>\n"
        f"  <pes_path>{escape(str(Path(__file__).resolve()))}</pes_path>\n"
        f"  <batch_size>{beads}</batch_size>\n"
        f"  <parameters>{{ {parameters} }}</parameters>\n"
        "</ffdirect>"
    )
