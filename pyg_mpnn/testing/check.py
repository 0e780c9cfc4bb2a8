"""All laws in one call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch_geometric.data import Batch, Data

from pyg_mpnn.testing.law import Law, as_structures
from pyg_mpnn.testing.laws import FINDINGS, LAWS, OUTPUT_LAWS, compiled, declared_outputs
from pyg_mpnn.testing.result import Report
from pyg_mpnn.testing.subject import as_subject


def check_potential(
    model: Any,
    structures: Data | Sequence[Data],
    *,
    cutoff: float | Sequence[float] | None = None,
    smoothness: float | None = None,
    lacks: Mapping[str, str] | None = None,
    call: Callable[[Any, Batch], Any] | None = None,
    dtype: torch.dtype | None = None,
    name: str | None = None,
    rebuild: Callable[[], nn.Module] | None = None,
    isolated_energies: Mapping[int, float] | None = None,
    laws: Sequence[Law] = LAWS,
    findings: Sequence[Law] = FINDINGS,
    distances: Mapping[tuple[int, int], float] | None = None,
    strict: bool = False,
    compile: Callable[[Any], Any] | None = None,
    progress: Callable[[str], None] | None = None,
) -> Report:
    """Hold a potential to the laws of physics.

    Any callable will do: a module or function of a PyG ``Batch`` or of ``z, pos, batch`` (and ``cell``, ``pbc``), or an
    ASE calculator. Where it returns no forces they are taken from its energy by autograd. A law fails where its measure
    is above the tolerance, and where the model raises; it does not apply ("n/a") only where the model declares not to
    have what the law is about, with a reason.

    Args:
        model: the potential; it is copied and left as it is.
        structures: one or several real structures of elements that it knows, best small ones: molecules or crystals.
        cutoff: its cutoff radius, or several, in A; its own attribute ``cutoffs`` or ``cutoff`` if None.
        smoothness: number of continuous derivatives of the energy that it declares; its attribute if None, else 1.
        lacks: what it does not have, each with the reason; names of :data:`CAPABILITIES`.
        call: how to call it with a batch, where none of the ways above fits.
        dtype: precision to check in, ``torch.float64`` or ``torch.float32``; its own if None.
        name: name for the report.
        rebuild: makes a new model of the same kind, for the law of saving and loading; without it ``type(model)()`` if
            that takes no arguments, else a copy with other weights.
        isolated_energies: energy of an isolated atom in eV by atomic number, for the law ``isolated_energy``; its
            attribute of that name if None.
        laws: the laws to check; by default those of energies, where the model has them, and those of other outputs,
            where it declares some (:func:`pyg_mpnn.testing.laws.declared_outputs`).
        findings: what else to look at: it is told, and counts for the verdict with ``strict`` alone.
        distances: shortest distance in A by pair of atomic numbers in the data that the model knows, for the finding
            ``repulsion``: nearer than that nothing has taught it.
        strict: whether findings count as laws.
        compile: compiles the model, for example ``torch.compile``: adds the law ``compiled``.
        progress: called with the name of each law before it starts.

    Returns:
        the report.

    Raises:
        TypeError: the model cannot be called.
        ValueError: no structures, no cutoff, or an unknown capability.

    Example:
        >>> from pyg_mpnn.testing import check_potential, laws
        >>> from pyg_mpnn.testing import Healthy, molecule
        >>> report = check_potential(Healthy(), molecule(), dtype=torch.float64, laws=[laws.rotation, laws.forces])
        >>> report.passed, report.results["rotation"].verdict
        (True, 'pass')
    """
    subject = as_subject(
        model,
        cutoff=cutoff,
        smoothness=smoothness,
        lacks=lacks,
        call=call,
        dtype=dtype,
        name=name,
        rebuild=rebuild,
        isolated_energies=isolated_energies,
    )
    frames = as_structures(structures)
    results = {}
    if laws is LAWS:  # those of what the model gives
        of_energy = laws if getattr(subject.model, "has_energy", True) else ()
        laws = (*of_energy, *(OUTPUT_LAWS if declared_outputs(subject.model) else ()))
    for law in laws:
        if progress is not None:
            progress(law.name)
        results[law.name] = law(subject, frames)
    if compile is not None:
        if progress is not None:
            progress(compiled.name)
        results[compiled.name] = compiled(subject, frames, options={"compile": compile})
    found = {}
    for finding in findings if getattr(subject.model, "has_energy", True) else ():
        if progress is not None:
            progress(finding.name)
        found[finding.name] = finding(subject, frames, options={"distances": distances})
    dtype_name, formulas = str(subject.dtype).removeprefix("torch."), [_formula(f) for f in frames]
    return Report(subject.name, dtype_name, results, formulas, found, strict)


def _formula(frame: Data) -> str:
    """Number of atoms and elements, as in ``9 atoms (Z = 1, 6, 8)``."""
    kind = " in a cell" if "cell" in frame else ""
    return f"{len(frame.z)} atoms{kind} (Z = {', '.join(map(str, sorted(set(frame.z.tolist()))))})"
