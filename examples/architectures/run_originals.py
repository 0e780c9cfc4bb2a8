"""Energies and forces of the original models on small seeded weights, for tests that run without them.

    python examples/architectures/run_originals.py schnet     with PyTorch Geometric
    python examples/architectures/run_originals.py painn      with SchNetPack 2.1.1

Writes references/NAME.npz: structures (positions in A), the weights by their own names ("weights/..."), energies (eV)
and forces (eV/A) in float64 and float32, versions. The structures are frames of the ethanol of revised MD17 that this
package ships; pyg_mpnn itself is not needed. An environment with SchNetPack is made by

    python -c "from pathlib import Path; from benchmarks.speed.environments import python_of; \
               print(python_of('schnetpack', Path('peers'), 'torch==2.13.0'))"
"""

from __future__ import annotations

import argparse
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.utils.data.dataloader as dataloader
from torch import Tensor, nn

HERE = Path(__file__).resolve().parent
FRAMES = HERE.parents[1] / "pyg_mpnn" / "data" / "rmd17_ethanol_test_01.npz"
CUTOFF = 4.0  # A: some pairs of ethanol are farther apart
GAUSSIANS = 17  # their centres, 0.25 A apart, are exact in float32, in which both packages make them
COUNT = 8  # frames, evenly spaced in the file


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=MODELS)
    name = parser.parse_args().model
    torch.set_num_threads(1)
    with np.load(FRAMES) as file:
        coords, numbers = file["coords"], file["nuclear_charges"]
    pos = torch.from_numpy(coords[:: len(coords) // COUNT][:COUNT] / 1e8)  # packed as pyg_mpnn/data/README.md says
    z = torch.from_numpy(numbers.astype(np.int64))
    record: dict[str, Any] = {"z": z.numpy(), "pos": pos.numpy(), "cutoff": CUTOFF}
    model, evaluate, record["versions"] = MODELS[name]()
    weights = {key: value.clone() for key, value in model.state_dict().items()}
    for dtype in (torch.float64, torch.float32):
        torch.set_default_dtype(dtype)
        model.to(dtype)
        outputs = [evaluate(model, z, frame.to(dtype)) for frame in pos]
        label = str(dtype).removeprefix("torch.")
        record[f"energy_{label}"] = np.array([float(energy) for energy, _ in outputs])
        record[f"forces_{label}"] = torch.stack([forces for _, forces in outputs]).numpy()
    path = HERE / "references" / f"{name}.npz"
    np.savez_compressed(path, **record, **{f"weights/{key}": value.numpy() for key, value in weights.items()})
    spread = record["energy_float64"].std(), record["forces_float64"].std()
    print(f"written to {path}; spread of energies {spread[0]:.3g} eV, of forces {spread[1]:.3g} eV/A")


def schnet() -> tuple[nn.Module, Any, str]:
    """PyG's SchNet, narrow; its edges are handed to it, because PyG needs pyg-lib to find them."""
    from torch_geometric.nn import SchNet

    def graph(pos: Tensor, batch: Tensor) -> tuple[Tensor, Tensor]:
        edge_index = pairs(pos.detach())
        return edge_index, (pos[edge_index[0]] - pos[edge_index[1]]).norm(dim=-1)

    def evaluate(model: nn.Module, z: Tensor, pos: Tensor) -> tuple[Tensor, Tensor]:
        pos = pos.clone().requires_grad_()
        energy = model(z, pos).sum()
        return energy.detach(), -torch.autograd.grad(energy, pos)[0]

    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)  # PyG rounds the logarithm of 2 to the dtype that it is built in
    model = SchNet(
        hidden_channels=16,
        num_filters=12,
        num_interactions=3,
        num_gaussians=GAUSSIANS,
        cutoff=CUTOFF,
        interaction_graph=graph,
    )
    return with_biases(model), evaluate, f"torch-geometric {version('torch-geometric')}, torch {torch.__version__}"


def painn() -> tuple[nn.Module, Any, str]:
    """SchNetPack's PaiNN, narrow, with its usual head."""
    # SchNetPack 2.1.1 imports the name of a type variable that newer torch spells with an underscore.
    dataloader.T_co = getattr(dataloader, "T_co", None) or dataloader._T_co  # type: ignore[attr-defined]
    import schnetpack
    from schnetpack import properties

    def evaluate(model: nn.Module, z: Tensor, pos: Tensor) -> tuple[Tensor, Tensor]:
        source, target = pairs(pos)
        batch, none = torch.zeros_like(z), torch.zeros(len(source), 3)
        inputs = {properties.Z: z, properties.R: pos.clone(), properties.idx_m: batch, properties.offsets: none}
        outputs = model(inputs | {properties.idx_i: target, properties.idx_j: source})
        return outputs["energy"].detach().sum(), outputs["forces"].detach()

    torch.manual_seed(0)
    representation = schnetpack.representation.PaiNN(
        n_atom_basis=16,
        n_interactions=3,
        radial_basis=schnetpack.nn.GaussianRBF(n_rbf=GAUSSIANS, cutoff=CUTOFF),
        cutoff_fn=schnetpack.nn.CosineCutoff(CUTOFF),
    )
    model = schnetpack.model.NeuralNetworkPotential(
        representation,
        input_modules=[schnetpack.atomistic.PairwiseDistances()],
        output_modules=[schnetpack.atomistic.Atomwise(n_in=16, output_key="energy"), schnetpack.atomistic.Forces()],
    )
    return with_biases(model), evaluate, f"schnetpack {version('schnetpack')}, torch {torch.__version__}"


def pairs(pos: Tensor) -> Tensor:
    """Both directions of every pair within the cutoff, source first."""
    target, source = ((torch.cdist(pos, pos) < CUTOFF) & ~torch.eye(len(pos), dtype=torch.bool)).nonzero().T
    return torch.stack([source, target])


def with_biases(model: nn.Module) -> nn.Module:
    """Biases start at zero; random ones, so that none can be forgotten without being seen."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter += 0.3 * torch.randn_like(parameter)
    return model.double().eval()


MODELS = {"schnet": schnet, "painn": painn}


if __name__ == "__main__":
    main()
