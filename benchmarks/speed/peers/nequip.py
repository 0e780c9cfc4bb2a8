"""NequIP."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from ase.data import chemical_symbols
from nequip.data import AtomicDataDict
from nequip.integrations.ase import NequIPCalculator
from nequip.integrations.utils import basic_transforms, handle_chemical_species_map
from nequip.model import NequIPGNNModel
from nequip.nn.compile import DictInputOutputWrapper
from nequip.scripts._compile_utils import COMPILE_TARGET_DICT
from nequip.utils.aot import aot_export_model
from nequip.utils.global_state import set_global_state
from torch import Tensor, nn

from benchmarks.speed.peers.adapter import Adapter, Evaluator
from benchmarks.speed.peers.work import Work


class Peer(Adapter):
    """`NequIPGNNModel` with 4 layers, l_max 2, 64 features, parity; else its defaults. Forces come with the stress.
    Geometry is float64, as its own data are, the network float32.

    Modes: eager; compiled: in training `compile_mode="compile"`, else what `nequip-compile --mode aotinductor` does
    with the target "ase" for one structure and "batch" for several.
    """

    def __init__(self, cutoff: float, elements: Sequence[int], neighbors: float = 17.0) -> None:
        super().__init__(cutoff, elements)
        self.mean_neighbors = neighbors
        set_global_state()
        self.symbols = [chemical_symbols[z] for z in self.elements]
        self.packages: dict[str, Callable[[dict[str, Tensor]], dict[str, Tensor]]] = {}

    def build(self, mode: str, train: bool) -> nn.Module:
        model = NequIPGNNModel(
            seed=0,
            model_dtype="float32",
            type_names=self.symbols,
            r_max=self.cutoff,
            num_layers=4,
            l_max=2,
            num_features=64,
            avg_num_neighbors=self.mean_neighbors,
            compile_mode="compile" if mode == "compiled" and train else "eager",
        )
        return model.train(train).requires_grad_(train)

    def evaluator(self, model: nn.Module, mode: str, work: Work) -> Evaluator:
        cell = (
            work.cell.double() if work.periodic else 100 * torch.eye(3).double()
        )  # the stress that it computes needs a volume
        data = {
            AtomicDataDict.ATOM_TYPE_KEY: torch.searchsorted(torch.tensor(self.elements), work.z),
            AtomicDataDict.EDGE_INDEX_KEY: work.edge_index.flip(0),  # the centre comes first
            AtomicDataDict.EDGE_CELL_SHIFT_KEY: work.shifts.double(),
            AtomicDataDict.CELL_KEY: cell.expand(work.num_graphs, 3, 3).contiguous(),
        }
        if work.num_graphs > 1:
            data[AtomicDataDict.BATCH_KEY] = work.batch
            data[AtomicDataDict.NUM_NODES_KEY] = work.batch.bincount(minlength=work.num_graphs)
        call: Any = model
        if mode == "compiled" and not model.training:
            call = self._package(model, data | {AtomicDataDict.POSITIONS_KEY: work.pos.double()})

        def evaluate() -> tuple[Tensor, Tensor]:
            output = call(data | {AtomicDataDict.POSITIONS_KEY: work.pos.double()})
            energy, forces = output[AtomicDataDict.TOTAL_ENERGY_KEY].flatten(), output[AtomicDataDict.FORCE_KEY]
            return (energy, forces) if model.training else (energy.detach(), forces)

        return evaluate

    def _package(self, model: nn.Module, data: dict[str, Tensor]) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
        """The model compiled ahead of time for one structure or for several."""
        name = "batch" if AtomicDataDict.BATCH_KEY in data else "ase"
        if name not in self.packages:
            target = COMPILE_TARGET_DICT[name]
            shapes = {key: torch.export.dynamic_shapes.Dim(f"num_{key}s", min=2) for key in ("graph", "node", "edge")}
            with tempfile.TemporaryDirectory() as folder:
                path = aot_export_model(
                    model,
                    "cpu",
                    target["input"],
                    target["output"],
                    target["data_settings"](dict(data)),
                    target["batch_map_settings"](shapes),
                    str(Path(folder) / "model.nequip.pt2"),
                )
                runner = torch._inductor.aoti_load_package(path)
            self.packages[name] = DictInputOutputWrapper(runner, target["input"], target["output"])
        return self.packages[name]

    def calculator(self, mode: str) -> Any:
        model: Any = self.build("eager", train=False)
        species = handle_chemical_species_map(None, self.symbols)
        transforms = basic_transforms(model.metadata, self.cutoff, self.symbols, species)
        calculator = NequIPCalculator(model, "cpu", transforms=transforms)
        if mode == "compiled":
            from ase.build import molecule

            example = molecule("C2H6", cell=[100.0, 100.0, 100.0])  # the stress that it compares needs a volume
            data = calculator.atoms_to_data(example)
            calculator.model = self._package(model, COMPILE_TARGET_DICT["ase"]["data_settings"](data))
        return calculator

    def neighbors(self, work: Work) -> Callable[[], Any]:
        from ase import Atoms
        from nequip.data import from_ase
        from nequip.data.transforms import NeighborListTransform

        search = NeighborListTransform(r_max=self.cutoff)
        frames = [work.batch == graph for graph in range(work.num_graphs)]
        molecules = [from_ase(Atoms(work.z[part].numpy(), work.pos[part].numpy())) for part in frames]
        return lambda: [search(dict(molecule)) for molecule in molecules]
