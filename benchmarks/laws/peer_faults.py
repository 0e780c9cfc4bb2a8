"""Which laws do PyG's own SchNet, DimeNet++ and ViSNet break, and where in their code? One small script a fault.

The edges are every pair within the cutoff, by brute force below, so that a fault is the model's own and not that of the
neighbour list (except where the list is the fault). No part of pyg_mpnn takes part. Lines are those of
torch_geometric 2.8.1; energies in eV and lengths in A by convention (the weights are random).

    python -m benchmarks.laws.peer_faults     a minute, one line a fault: what was measured, where it should be
"""

from __future__ import annotations

import copy
import functools
import pickle
from collections.abc import Callable

import torch
import torch_cluster
from torch import Tensor, nn
from torch_geometric.nn import DimeNetPlusPlus, SchNet, ViSNet

from benchmarks.laws.peers import HandedEdges, InteractionGraph

CUTOFF = 5.0
CO2 = torch.tensor([8, 6, 8]), torch.tensor([[-1.16, 0.0, 0.0], [0.0, 0.0, 0.0], [1.16, 0.0, 0.0]], dtype=torch.float64)
CORNERS = torch.tensor([[0, 0, 0], [1, 1, 1], [-1, -1, 1], [-1, 1, -1], [1, -1, -1]], dtype=torch.float64)
METHANE = torch.tensor([6, 1, 1, 1, 1]), 1.09 / 3**0.5 * CORNERS
WATER = torch.tensor([8, 1, 1]), torch.tensor([[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]], dtype=torch.float64)


def main() -> None:
    torch.set_num_threads(1)
    for fault in FAULTS:
        print(f"{fault.__name__}: {fault()}", flush=True)


def truncated_neighbours() -> str:
    """`max_num_neighbors=32` (schnet.py 101, dimenet.py 779, visnet.py 1091) drops neighbours by their order in a tree.

    60 atoms in a cube of 5.2 A, SchNet: renumbering or rotating the atoms changes the energy. Known: PyG's issues 2933
    (SchNet; the bound became an argument, 32 stayed the default), 1867 and 1754.
    """
    z, pos = _cluster(60, 5.2)
    graph = InteractionGraph(CUTOFF, lambda x, r, batch: torch_cluster.radius_graph(x, r, batch, max_num_neighbors=32))
    model = _schnet(interaction_graph=graph)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(0))
    renumbered = model(z[order], pos[order]) - model(z, pos)
    rotated = model(z, pos @ _rotation().T) - model(z, pos)
    exact = _schnet()
    control = exact(z[order], pos[order]) - exact(z, pos)
    return (
        f"renumbered {renumbered.item():+.2f} eV, rotated {rotated.item():+.2f} eV; all pairs {control.item():.0e} eV"
    )


def schnet_beyond_the_cutoff() -> str:
    """SchNet's cosine is not cut at the cutoff and rises again beyond it (schnet.py 419).

    Hidden by the default graph; the official hook `interaction_graph` (a list with a skin, k nearest) shows it.
    """
    model = _schnet(interaction_graph=InteractionGraph(CUTOFF, lambda x, r, batch: all_pairs(x, 2.5 * r, batch)))
    pair = torch.tensor([6, 8])
    energy = [model(pair, _on_a_line(0.0, r)).item() for r in (CUTOFF, 7.0, 20.0)]
    return (
        f"pair at 7 A, cutoff 5 A: {energy[1] - energy[2]:+.1e} eV, should be 0 (at 5 A: {energy[0] - energy[2]:.0e})"
    )


def last_graph_without_atoms() -> str:
    """The number of graphs is the largest index in `batch` (schnet.py 309, dimenet.py 725, visnet.py 1142).

    None of the three has an argument for it, so that a batch whose last graph is empty gets too few energies. Related:
    PyG's issue 9311, where a graph without nodes left fewer outputs than labels.
    """
    z, pos = WATER
    batch = torch.zeros(3, dtype=torch.long)  # of a Batch with num_graphs = 2
    found = {type(model).__name__: len(_call(model, z, pos, batch)) for model in (_schnet(), _dimenet(), _visnet())}
    return ", ".join(f"{name} {count} of 2 energies" for name, count in found.items())


def dimenet_close_atoms() -> str:
    """DimeNet's Bessel functions in closed form lose all digits at small distances (dimenet.py 119, dimenet_utils.py).

    Terms as large as 10395 / x^7 cancel, where x is about 2 r (l = 6). Nothing is wrong with the function.
    """
    lines = []
    single_model = copy.deepcopy(_dimenet()).float()
    for r in (0.74, 0.3, 0.1):
        pos = torch.tensor([[0, 0, 0], [r, 0, 0], [1.5, 0.7, 0.2]], dtype=torch.float64)
        z = torch.tensor([6, 1, 8])
        double, single = _forces(_dimenet(), z, pos), _forces(single_model, z, pos.float())
        error, size = (single - double).abs().max().item(), double.abs().max().item()
        lines.append(f"r = {r} A: {error:.0e} of {size:.0e}")
    return "forces, float32 minus float64, eV/A: " + "; ".join(lines)


def dimenet_second_derivatives() -> str:
    """The angle's `norm` of a cross product has no second derivative at zero: NaN for collinear atoms (dimenet.py 702).

    Forces, and gradients of a force loss by the parameters, are right: second derivatives by positions are lost.
    """
    hessian = _hessian(_dimenet(), *CO2)
    return f"Hessian of CO2: {_not_finite(hessian)} entries not finite, should be 0"


def dimenet_isolated_atoms() -> str:
    """Atoms enter DimeNet++ only through edges (dimenet.py 423-424): alone, every element has the same energy."""
    model, pos = _dimenet(), torch.zeros(1, 3, dtype=torch.float64)
    energy = [_call(model, torch.tensor([z]), pos).item() for z in (1, 6, 8)]
    return f"H, C, O alone: {energy[0]:.4f}, {energy[1]:.4f}, {energy[2]:.4f} eV, should differ"


def dimenet_pickle() -> str:
    """DimeNet keeps functions made by sympy's `lambdify` (dimenet.py 107, 110): pickle and `torch.save(model)` fail.

    The state_dict can be saved.
    """
    try:
        pickle.dumps(_dimenet())
    except (pickle.PicklingError, AttributeError) as error:
        return f"{type(error).__name__}, should be none"
    return "no error"


def visnet_float64() -> str:
    """`ViSNet().double()` cannot be called: distances are allocated in torch's default dtype (visnet.py 332).

    TorchMD-Net, from which the module derives, mended the same line in its pull request 170.
    """
    try:
        HandedEdges(ViSNet(num_layers=1, hidden_channels=8).double(), all_pairs)(*WATER)
    except RuntimeError as error:
        return f"RuntimeError ({str(error)[:60]}...), should be none"
    return "no error"


def visnet_cutoff() -> str:
    """ViSNet's vector messages do not vanish at the cutoff (visnet.py 629-631).

    The cutoff multiplies v_j, but then `s_proj` adds its bias: s2 times the unit vector stays finite. The biases start
    at zero and the first step of training moves them. Known for TorchMD-Net's equivariant transformer (issue 254, pull
    request 260), from which ViSNet derives.
    """
    at_start, biased = (_cutoff_jump(_visnet(bias_std=std)) for std in (0.0, 0.1))
    return (
        f"pair crossing 5 A by 2e-6 A: {biased:+.1e} eV with biases of 0.1, {at_start:+.0e} eV with none; should be 0"
    )


def visnet_vector_norm_cutoff() -> str:
    """`vecnorm_type="max_min"` rescales vectors of any length to the order of 1 (visnet.py 246-252).

    They vanish smoothly towards the cutoff and are blown up again, until the longest is shorter than 1e-12 (line 243):
    there the energy jumps, a bit inside the cutoff. Biases play no part in it, they are zero here.
    """
    model, r = _visnet(bias_std=0.0, vecnorm_type="max_min"), torch.linspace(4.0, 5.1, 1101, dtype=torch.float64)
    pos = torch.zeros(len(r), 2, 3, dtype=torch.float64)
    pos[:, 1, 0] = r
    z, batch = torch.tensor([6, 8]).repeat(len(r)), torch.arange(len(r)).repeat_interleave(2)
    steps = _call(model, z, pos.flatten(0, 1), batch).flatten().diff().abs()
    worst, place = steps.max(dim=0)
    return f"pair, {worst.item():.1e} eV within 1e-3 A at {r[place]:.2f} A, median {steps.median().item():.0e} eV"


def visnet_vector_norm_kinks() -> str:
    """The same norm has kinks wherever another channel becomes the longest or the shortest (visnet.py 246-247).

    A hydrogen of water is pulled away by 1 A: jumps of the force do not shrink with the step.
    """
    model, (z, pos), jumps = _visnet(vecnorm_type="max_min"), WATER, []
    for step in (1e-3, 2.5e-4):
        n = round(1.0 / step)
        path = pos.repeat(n, 1, 1)
        path[:, 1, 0] += step * torch.arange(n)
        batch = torch.arange(n).repeat_interleave(3)
        forces = _forces(model, z.repeat(n), path.flatten(0, 1), batch).view(n, 3, 3)
        jumps.append(forces.diff(dim=0).abs().max().item())
    return f"largest change of a force {jumps[0]:.1e} eV/A in 1e-3 A, {jumps[1]:.1e} in 2.5e-4 A, should be a quarter"


def visnet_symmetric_sites() -> str:
    """ViSNet takes the length of its vectors (visnet.py 934), which has no derivative where they vanish by symmetry.

    The carbon of methane, moved by 1e-6 A through its equilibrium: the energy has a cusp, the force jumps.
    """
    jumps = []
    for settings in ({}, {"lmax": 2}, {"vecnorm_type": "max_min"}):
        model, (z, pos), step = _visnet(**settings), METHANE, torch.zeros(5, 3, dtype=torch.float64)
        step[0] = 1e-6 * torch.tensor([0.6, 0.8, 0.0])
        ahead, behind = (_forces(model, z, pos + sign * step) for sign in (1, -1))
        jumps.append((ahead - behind)[0].norm().item())
    return "force on C jumps by {:.1e} (lmax 1), {:.1e} (lmax 2), {:.1e} (max_min) eV/A, should be 0".format(*jumps)


def visnet_force_training() -> str:
    """The same length of zero has no second derivative: one isolated atom turns all gradients into NaN (visnet.py 934).

    Water and a single atom in one batch, loss on the forces. Known for TorchMD-Net, same block: issue 77.
    """
    counts = []
    for batch in (None, torch.tensor([0, 0, 0, 1])):
        model, (z, pos) = _visnet(), WATER
        if batch is not None:
            z, pos = torch.cat([z, z[:1]]), torch.cat([pos, pos[:1]])
        _forces(model, z, pos, batch, create_graph=True).square().sum().backward()
        counts.append(_not_finite(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])))
    return f"gradients not finite: {counts[1]} with the single atom, {counts[0]} without; should be 0"


def visnet_batch() -> str:
    """`x + v.sum() * 0` (visnet.py 991) sums over the batch: NaN in one molecule is NaN in all.

    Water, and two atoms at the same place in another graph of the batch (0 / 0 at visnet.py 848). In DimeNet++ only the
    second graph is NaN, in SchNet none.
    """
    z, pos = torch.cat([WATER[0], torch.tensor([6, 6])]), torch.cat([WATER[1], torch.zeros(2, 3, dtype=torch.float64)])
    batch = torch.tensor([0, 0, 0, 1, 1])
    found = {type(m).__name__: _call(m, z, pos, batch).flatten().tolist() for m in (_schnet(), _dimenet(), _visnet())}
    return "water, other graph: " + "; ".join(f"{name} {a:.3f}, {b:.3f} eV" for name, (a, b) in found.items())


def visnet_mean() -> str:
    """ViSNet adds `mean` once a molecule (visnet.py 1143), not once an atom as SchNet does: energies do not add up."""
    z, pos = WATER
    model = _visnet(mean=-1.0)
    apart = _call(model, torch.cat([z, z]), torch.cat([pos, pos + 50.0])) - 2 * _call(model, z, pos)
    return f"two waters 50 A apart minus twice one, mean -1 eV: {apart.item():+.3f} eV, should be 0"


FAULTS: tuple[Callable[[], str], ...] = (
    truncated_neighbours,
    schnet_beyond_the_cutoff,
    last_graph_without_atoms,
    dimenet_close_atoms,
    dimenet_second_derivatives,
    dimenet_isolated_atoms,
    dimenet_pickle,
    visnet_float64,
    visnet_cutoff,
    visnet_vector_norm_cutoff,
    visnet_vector_norm_kinks,
    visnet_symmetric_sites,
    visnet_force_training,
    visnet_batch,
    visnet_mean,
)


def all_pairs(x: Tensor, r: float, batch: Tensor, loop: bool = False, max_num_neighbors: int = 0) -> Tensor:
    """Every pair closer than r in the same graph, by brute force; the bound is ignored."""
    near = (torch.cdist(x.detach(), x.detach(), compute_mode="donot_use_mm_for_euclid_dist") < r) & (
        batch == batch[:, None]
    )
    if not loop:
        near.fill_diagonal_(False)
    return near.nonzero().T.flip(0)


def _schnet(**settings: object) -> nn.Module:
    torch.manual_seed(0)
    settings = {"interaction_graph": InteractionGraph(CUTOFF, all_pairs), **settings}
    return _biased(SchNet(64, 64, num_interactions=3, cutoff=CUTOFF, **settings), 0.1).double()


@functools.cache  # sympy needs seconds
def _dimenet() -> nn.Module:
    torch.manual_seed(0)
    settings = {"num_spherical": 7, "num_radial": 6, "cutoff": CUTOFF, "output_initializer": "glorot_orthogonal"}
    return _biased(DimeNetPlusPlus(32, 1, 2, 16, 8, 64, **settings), 0.1).double()


def _visnet(bias_std: float = 0.1, **settings: object) -> nn.Module:
    torch.manual_seed(0)
    return _biased(ViSNet(num_layers=2, hidden_channels=64, cutoff=CUTOFF, **settings), bias_std).double()


def _biased(model: nn.Module, std: float) -> nn.Module:
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            parameter.data += std * torch.randn_like(parameter)
    return model


def _call(model: nn.Module, z: Tensor, pos: Tensor, batch: Tensor | None = None) -> Tensor:
    if isinstance(model, SchNet):
        return model(z, pos, batch)
    return HandedEdges(model, all_pairs, mend_float64=True)(z, pos, batch)


def _forces(
    model: nn.Module, z: Tensor, pos: Tensor, batch: Tensor | None = None, create_graph: bool = False
) -> Tensor:
    pos = pos.clone().requires_grad_()
    return -torch.autograd.grad(_call(model, z, pos, batch).sum(), pos, create_graph=create_graph)[0]


def _hessian(model: nn.Module, z: Tensor, pos: Tensor) -> Tensor:
    return torch.autograd.functional.hessian(lambda x: _call(model, z, x).sum(), pos)


def _cutoff_jump(model: nn.Module) -> float:
    inside, outside = (_call(model, torch.tensor([6, 8]), _on_a_line(0.0, CUTOFF + h)) for h in (-1e-6, 1e-6))
    return (inside - outside).item()


def _not_finite(values: Tensor) -> str:
    return f"{int((~values.isfinite()).sum())} of {values.numel()}"


def _on_a_line(*x: float) -> Tensor:
    return torch.tensor([[value, 0.0, 0.0] for value in x], dtype=torch.float64)


def _rotation() -> Tensor:
    q, _ = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3)))
    return q * torch.linalg.det(q)


def _cluster(n: int, size: float) -> tuple[Tensor, Tensor]:
    """Atoms at random in a cube, none closer than 1.1 A."""
    generator = torch.Generator().manual_seed(0)
    pos = torch.empty(0, 3, dtype=torch.float64)
    while len(pos) < n:
        point = size * torch.rand(1, 3, dtype=torch.float64, generator=generator)
        if bool((torch.cdist(pos, point) > 1.1).all()):
            pos = torch.cat([pos, point])
    return torch.tensor([1, 6, 7, 8])[torch.randint(0, 4, (n,), generator=generator)], pos


if __name__ == "__main__":
    main()
