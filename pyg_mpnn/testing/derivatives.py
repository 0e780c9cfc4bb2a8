"""Laws of derivatives: forces are gradients, gradients are right."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch_geometric.data import Data

from pyg_mpnn.testing.deviation import require

EnergyAndForces = Callable[[Data], tuple[Tensor, Tensor]]

# Central differences of fourth order with this step (A) leave an error near 1e-11 of the force for energies that are
# smooth over 0.1 A; rounding of the energy in float64 leaves another 1e-12 or so.
STEP = 1e-3


def assert_forces_law(
    energy_and_forces: EnergyAndForces,
    data: Data,
    *,
    directions: int = 3,
    seed: int = 0,
    tolerance: float = 1e-6,
) -> float:
    r"""Forces are minus the gradient of the energy, measured by numerical differences along random directions.

    .. math:: - \sum_i \mathbf F_i \cdot \mathbf d_i = \frac{8 [E(h) - E(-h)] - [E(2h) - E(-2h)]}{12 h} + O(h^4)

    with E(h) the energy after moving every atom i by :math:`h \mathbf d_i`, summed over the graphs.

    Args:
        energy_and_forces: maps a structure to its energies (graphs,) and forces (nodes, 3).
        data: the structure, with ``pos`` in float64.
        directions: number of random directions, each over all atoms.
        seed: of the directions.
        tolerance: largest relative deviation.

    Returns:
        The relative deviation.

    Raises:
        AssertionError: the law is broken.
        ValueError: ``pos`` is not float64, in which differences would be mostly rounding.
    """
    if data.pos.dtype != torch.float64:
        raise ValueError(f"'data.pos' must be float64 for numerical differences, got {data.pos.dtype}: convert it.")
    generator = torch.Generator().manual_seed(seed)
    moves = torch.randn(directions, *data.pos.shape, dtype=torch.float64, generator=generator)
    forces = energy_and_forces(data)[1].detach()

    def energy(move: Tensor, size: float) -> Tensor:
        moved = data.clone()
        moved.pos = data.pos + size * move
        return energy_and_forces(moved)[0].detach().sum()

    slopes = [
        (8 * (energy(move, STEP) - energy(move, -STEP)) - energy(move, 2 * STEP) + energy(move, -2 * STEP))
        / (12 * STEP)
        for move in moves
    ]
    return require("forces law", -(moves * forces).sum(dim=(1, 2)), torch.stack(slopes), tolerance)


def assert_momentum_law(forces: Float[Tensor, "nodes 3"], *, tolerance: float | None = None) -> float:
    """The forces of one structure sum to zero.

    Args:
        forces: on all atoms, of one structure, in eV/A.
        tolerance: largest sum relative to the sum of absolute values, see :func:`require`.

    Returns:
        The relative sum.

    Raises:
        AssertionError: the law is broken.
    """
    scale = forces.abs().sum().clamp(min=torch.finfo(forces.dtype).tiny)
    return require("momentum law", forces.sum(dim=0) / scale, forces.new_zeros(3), tolerance)


def assert_gradients(
    function: Callable[..., Tensor], inputs: Sequence[Tensor], *, second: bool = True, fast: bool = False
) -> None:
    """First and, because forces are trained, second derivatives agree with numerical differences.

    Args:
        function: maps the inputs to a tensor.
        inputs: its arguments; derivatives are checked for those in float64, others are passed as they are.
        second: whether second derivatives are checked too.
        fast: whether one random combination of all derivatives stands for each of them, for larger functions.

    Raises:
        AssertionError: a derivative is wrong.
        ValueError: no input is in float64.
    """
    if not any(value.dtype == torch.float64 for value in inputs):
        raise ValueError("'inputs' must hold a float64 tensor for numerical differences, got none: convert them.")
    variables = [value.detach().clone().requires_grad_(value.dtype == torch.float64) for value in inputs]
    try:
        torch.autograd.gradcheck(function, variables, fast_mode=fast)
        if second:
            torch.autograd.gradgradcheck(function, variables, fast_mode=fast)
    except RuntimeError as error:
        raise AssertionError(f"gradient law broken: {error}") from error
