"""A file of a potential in metatomic's format, for the engines that read it."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Dict, List, Optional, get_type_hints  # noqa: UP035 (TorchScript's names)

import torch
from torch import Tensor, nn

from pyg_mpnn.engines.evaluator import Evaluator, missing, numbers_of_atoms, parts
from pyg_mpnn.files import replace_whole
from pyg_mpnn.models import ZBL, EnergyModel, Potential, SumPotential

__all__ = ["export_metatomic"]


def export_metatomic(
    potential: EnergyModel | SumPotential | str | Path,
    path: str | Path,
    *,
    name: str = "pyg_mpnn potential",
    dtype: torch.dtype = torch.float64,
    inputs: Mapping[str, float] | None = None,
) -> None:
    """Write a potential as a metatomic model: TorchScript that runs without this package.

    The interaction energies are traced, compared with the untraced ones on structures of other sizes, and put into a
    module that reads metatomic's neighbours, adds the reference energies and sums over the atoms asked for. Forces and
    stress are the engine's derivatives of the energy.

    Args:
        potential: a potential or a sum of potentials, or the path of a saved one or of a training checkpoint.
        path: file to write, by convention ``*.pt``; an existing one is replaced only by a complete one.
        name: of the model, in its metadata.
        dtype: torch.float32 or torch.float64; total energies of real molecules need float64.
        inputs: numbers that the potential reads of a structure, such as ``{"charge": 1}``, which the file then has for
            good.

    Units:
        eV, A.

    Raises:
        ImportError: metatomic is missing.
        FileNotFoundError: there is no such folder.
        ValueError: what :class:`~pyg_mpnn.engines.Evaluator` refuses, or a composition of which it is not known how far
            it reaches.
        RuntimeError: the traced energies differ from the untraced ones, because the potential branches on values of
            tensors; or metatomic's own parts do not fit this torch.

    Source:
        F. Bigi et al., arXiv:2508.15704 (metatensor and metatomic).
    """
    try:
        from metatomic.torch import AtomisticModel, ModelCapabilities, ModelMetadata, ModelOutput
    except ImportError as error:
        raise ImportError(missing("metatomic", "metatomic")) from error

    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"'path' must lie in a folder that exists, got {path}")
    evaluator = Evaluator(potential, dtype=dtype, inputs=inputs)
    model = evaluator.potential
    elements = _elements(model)
    z = torch.tensor(elements)
    reference = torch.zeros(119, dtype=torch.float64)
    for part in parts(model):
        reference[z] += part.reference_energies(z, torch.zeros_like(z), 1)[1]
    module = _module(_trace(model, elements, evaluator.inputs), reference, model.cutoff, dtype)
    capabilities = ModelCapabilities(
        outputs={"energy": ModelOutput(unit="eV", sample_kind="atom", description="energy")},
        atomic_types=elements,
        interaction_range=_reach(model),
        length_unit="angstrom",
        supported_devices=["cpu"],
        dtype=str(dtype).removeprefix("torch."),
    )
    exported = AtomisticModel(module.eval(), ModelMetadata(name=name), capabilities)
    with replace_whole(path) as partial:
        try:
            exported.save(partial)
        except RuntimeError as error:
            raise RuntimeError(
                "metatomic cannot make TorchScript of its own part: with torch 2.13 it needs metatensor-operations "
                'below 0.5; install it with: pip install --no-deps "metatensor-operations<0.5"'
            ) from error
    print(evaluator.announce("metatomic", "eV, A", "of the engine"))


class _Interaction(nn.Module):
    """Interaction energies of a potential or a sum, from elements and edges."""

    def __init__(self, potential: EnergyModel | SumPotential, inputs: Mapping[str, float]) -> None:
        super().__init__()
        self.potential, self.inputs = potential, inputs

    def forward(self, z: Tensor, edge_index: Tensor, edge_vec: Tensor) -> Tensor:
        """Energies of the atoms in eV."""
        energies = torch.zeros_like(z, dtype=torch.float64)
        for part in parts(self.potential):
            inside = (edge_vec.detach().square().sum(-1) < part.cutoff**2).nonzero().squeeze(-1)
            pairs, vec = edge_index.index_select(1, inside), edge_vec.index_select(0, inside).to(part.dtype)
            options = numbers_of_atoms(part, self.inputs, z)
            energies = energies + part.interaction_energies(z, pairs, vec, torch.zeros_like(z), 1, **options).double()
        return energies


def _trace(
    potential: EnergyModel | SumPotential, elements: list[int], inputs: Mapping[str, float]
) -> torch.jit.ScriptModule:
    """Traced interaction energies, held to the untraced ones on other numbers of atoms and edges."""
    model = _Interaction(potential, inputs)
    with warnings.catch_warnings():  # of what the comparison below would find
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        traced: torch.jit.ScriptModule = torch.jit.trace(model, _sample(7, 2.0, potential, elements), check_trace=False)
    tolerance = 1e-4 if potential.dtype == torch.float32 else 1e-10
    for count, spacing in ((2, 1.2), (19, 1.8), (3, 100.0), (1, 1.0)):
        sample = _sample(count, spacing, potential, elements)
        eager = model(*sample).detach()
        why = "a part branches on values of tensors, or keeps a number of atoms or edges"
        try:
            again = traced(*sample).detach()
        except RuntimeError as error:
            raise RuntimeError(f"the traced energies cannot be had for {count} atoms: {why}") from error
        if not torch.allclose(eager, again, rtol=tolerance, atol=tolerance):
            difference = float((eager - again).abs().max())
            raise RuntimeError(f"the traced energies of {count} atoms differ by {difference:.2g} eV: {why}")
    return traced


def _sample(
    count: int, spacing: float, potential: EnergyModel | SumPotential, elements: list[int]
) -> tuple[Tensor, Tensor, Tensor]:
    """A line of atoms that is bent a little, with all edges within the cutoff."""
    index = torch.arange(count)
    z = torch.tensor(elements)[index % len(elements)]
    x = spacing * index.to(potential.dtype)
    pos = torch.stack([x, 0.3 * torch.sin(2.0 * x), 0.3 * torch.cos(3.0 * x)], dim=1)
    pairs = (torch.cdist(pos, pos) < potential.cutoff).fill_diagonal_(False).nonzero().T
    vec = pos[pairs[0]] - pos[pairs[1]]
    return z, pairs, vec.requires_grad_()


def _elements(potential: EnergyModel | SumPotential) -> list[int]:
    """Elements that all parts know."""
    known = [set(getattr(part, "elements", range(1, 119))) for part in parts(potential)]
    return sorted(set.intersection(*known))


def _reach(potential: EnergyModel | SumPotential) -> float:
    """How far an atom's energy depends on others: one cutoff for each layer."""
    reaches = []
    for part in parts(potential):
        if isinstance(part, Potential):
            field = getattr(part.representation, "receptive_field", None)
            reaches.append(float(part.representation.num_layers) * part.cutoff if field is None else float(field))  # type: ignore[arg-type]
        elif isinstance(part, ZBL):
            reaches.append(part.cutoff)
        else:
            raise ValueError(
                f"'potential' must be made of Potential and ZBL, got {type(part).__name__}, of which it is not known "
                "how far it reaches"
            )
    return max(reaches)


def _module(traced: torch.jit.ScriptModule, reference: Tensor, cutoff: float, dtype: torch.dtype) -> nn.Module:
    """The module that metatomic makes TorchScript of.

    TorchScript takes the names of types from the code of the methods, and only those that the code below uses are known
    there: hence the ``annotate`` of what needs none. Metatomic wants the annotations as types, not as text.
    """
    from metatensor.torch import Labels, TensorBlock, TensorMap
    from metatomic.torch import ModelOutput, NeighborListOptions, System

    class Energy(nn.Module):
        """Energy of systems or atoms."""

        def __init__(self) -> None:
            super().__init__()
            self.interaction = traced
            self.register_buffer("reference", reference)
            self.options = NeighborListOptions(cutoff=cutoff, full_list=True, strict=True)
            self.dtype = dtype

        def requested_neighbor_lists(self) -> List[NeighborListOptions]:  # noqa: UP006
            """All pairs within the cutoff."""
            return torch.jit.annotate(List[NeighborListOptions], [self.options])  # type: ignore[no-any-return]  # noqa: UP006

        def forward(
            self,
            systems: List[System],  # noqa: UP006
            outputs: Dict[str, ModelOutput],  # noqa: UP006
            selected_atoms: Optional[Labels],  # noqa: UP045
        ) -> Dict[str, TensorMap]:  # noqa: UP006
            """One graph of all systems."""
            results = torch.jit.annotate(Dict[str, TensorMap], {})  # noqa: UP006
            if "energy" not in outputs:
                return results  # type: ignore[no-any-return]
            wanted = torch.jit.annotate(ModelOutput, outputs["energy"])
            device = torch.jit.annotate(List[System], systems)[0].device  # noqa: UP006
            z = torch.cat([system.types for system in systems]).to(torch.long)
            edges = torch.jit.annotate(list[Tensor], [])
            vectors = torch.jit.annotate(list[Tensor], [])
            samples = torch.jit.annotate(list[Tensor], [])
            first = 0
            for index, system in enumerate(systems):
                pairs = system.get_neighbor_list(self.options)
                i = pairs.samples.column("first_atom").to(torch.long)
                j = pairs.samples.column("second_atom").to(torch.long)
                edges.append(torch.stack([j, i]) + first)
                vectors.append(pairs.values.reshape(-1, 3))
                atoms = torch.arange(len(system), device=device)
                samples.append(torch.stack([torch.full_like(atoms, index), atoms], dim=1))
                first += len(system)
            energies = self.interaction(z, torch.cat(edges, dim=1), torch.cat(vectors)) + self.reference[z]  # type: ignore[index]
            sample = torch.cat(samples).to(torch.int32)
            if selected_atoms is not None:
                chosen = Labels(["system", "atom"], sample).select(selected_atoms)
                energies, sample = energies[chosen], sample[chosen]
            labels = Labels(["system", "atom"], sample)
            if wanted.sample_kind == "system":
                totals = torch.zeros(len(systems), dtype=torch.float64, device=device)
                energies = totals.index_add(0, sample[:, 0].to(torch.long), energies)
                number = torch.arange(len(systems), dtype=torch.int32, device=device)
                labels = Labels(["system"], number.reshape(-1, 1))
            block = TensorBlock(
                values=energies.to(self.dtype).reshape(-1, 1),
                samples=labels,
                components=torch.jit.annotate(list[Labels], []),
                properties=Labels(["energy"], torch.zeros(1, 1, dtype=torch.int32, device=device)),
            )
            keys = Labels(["_"], torch.zeros(1, 1, dtype=torch.int32, device=device))
            results["energy"] = TensorMap(keys, [block])
            return results  # type: ignore[no-any-return]

    for name in ("forward", "requested_neighbor_lists"):
        method = inspect.unwrap(getattr(Energy, name))  # of what checks shapes in tests
        method.__annotations__ = get_type_hints(method, localns=locals())
        setattr(Energy, name, method)
    return Energy()
