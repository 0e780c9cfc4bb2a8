"""Forces and virial: derivatives of the energy with respect to positions and strain."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def energy_gradients(
    energy: Float[Tensor, " _"],
    pos: Float[Tensor, "nodes 3"],
    strain: Float[Tensor, "graphs 3 3"] | None = None,
    *,
    create_graph: bool = False,
) -> tuple[Float[Tensor, "nodes 3"], Float[Tensor, "graphs 3 3"] | None]:
    r"""Forces, and where a strain is given the virial.

    .. math:: F = -\frac{\partial E}{\partial \mathrm{pos}}, \quad
              \mathrm{virial} = -\frac{\partial E}{\partial \varepsilon}

    An energy that does not depend on the positions (no edges) gives zeros.

    Args:
        energy: energies in eV, of each graph or of each atom.
        pos: positions in angstrom, from which the energy was computed.
        strain: strain that acted on positions and cell, from which the energy was computed.
        create_graph: whether the results can be differentiated again, for training on them.

    Returns:
        forces in eV/angstrom and virial in eV.

    Shapes:
        ``energy`` ``(graphs,)`` or ``(nodes,)``, ``pos`` ``(nodes, 3)``, ``strain`` ``(graphs, 3, 3)``; output
        ``(nodes, 3)`` and
        ``(graphs, 3, 3)``.

    Units:
        eV, angstrom; strain none.

    Source:
        textbook; virial from a strain derivative as in Knuth et al., Comput. Phys. Commun. 190, 33 (2015), Eq. (2).

    Example:
        >>> pos = torch.tensor([[1.0, 0.0, 0.0]], requires_grad=True)
        >>> energy_gradients(pos.square().sum().reshape(1), pos)[0] + 0.0
        tensor([[-2., 0., 0.]])
    """
    inputs = [pos] if strain is None else [pos, strain]
    if not energy.requires_grad:
        gradients = [torch.zeros_like(tensor) for tensor in inputs]
    else:
        gradients = list(
            torch.autograd.grad(
                energy.sum(), inputs, create_graph=create_graph, allow_unused=True, materialize_grads=True
            )
        )
    return -gradients[0], None if strain is None else -gradients[1]


def stress_from_virial(
    virial: Float[Tensor, "graphs 3 3"], cell: Float[Tensor, "graphs 3 3"], pbc: Bool[Tensor, "graphs 3"]
) -> Float[Tensor, "graphs 3 3"]:
    r"""Stress of crystals and slabs, the graphs that are periodic in two or three directions, NaN for the others.

    .. math::
        \sigma = \frac{1}{V} \frac{\partial E}{\partial \varepsilon} = -\frac{\mathrm{virial}}{V}, \quad
        V = |\det \mathrm{cell}|

    in eV/angstrom^3, positive under tension, as ASE has it. The volume of a slab is that of its cell, vacuum included,
    as in ASE's calculators: only its components in the plane, times the height of the cell, mean something.

    Args:
        virial: virial in eV.
        cell: cell vectors in rows, in angstrom.
        pbc: periodic directions.

    Returns:
        stress in eV/angstrom^3.

    Shapes:
        ``virial`` ``(graphs, 3, 3)``, ``cell`` ``(graphs, 3, 3)``, ``pbc`` ``(graphs, 3)``; output ``(graphs, 3, 3)``.

    Units:
        eV, angstrom, eV/angstrom^3.

    Raises:
        ValueError: no graph is periodic in two or three directions with a cell that has a volume.

    Source:
        Knuth et al., Comput. Phys. Commun. 190, 33 (2015), Eq. (2); the sign is that of ASE.

    Example:
        >>> virial, cell = torch.eye(3)[None], 2 * torch.eye(3)[None]
        >>> stress_from_virial(virial, cell, torch.ones(1, 3, dtype=torch.bool))[0, 0, 0].item()
        -0.125
    """
    extended = has_stress(cell, pbc)
    if len(pbc) and not extended.any():
        raise ValueError(
            "'stress' needs a structure that is periodic in two or three directions, in a cell with a volume, got "
            "none: molecules and wires have a virial and no stress, and a slab needs the height of its cell"
        )
    # a volume of 1 for the others, set to NaN afterwards: dividing by NaN would make their derivatives NaN, not zero
    volume = torch.where(extended, torch.linalg.det(cell).abs(), 1)
    return torch.where(extended[:, None, None], -virial / volume[:, None, None], torch.nan)


def has_stress(cell: Float[Tensor, "graphs 3 3"], pbc: Bool[Tensor, "graphs 3"]) -> Bool[Tensor, " graphs"]:
    """Which structures have a stress: crystals and slabs whose cell has a volume.

    Args:
        cell: cell vectors in rows, in angstrom.
        pbc: periodic directions.

    Returns:
        one answer for each graph.

    Shapes:
        ``cell`` ``(graphs, 3, 3)``, ``pbc`` ``(graphs, 3)``; output ``(graphs,)``.
    """
    result: Tensor = (pbc.sum(dim=1) >= 2) & (torch.linalg.det(cell) != 0.0)
    return result
