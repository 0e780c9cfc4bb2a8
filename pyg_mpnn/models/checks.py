"""What a potential refuses: representations that do not fit, atoms at one place."""

from __future__ import annotations

import functools

import torch
from torch import Tensor, nn

from pyg_mpnn.basis import Symmetry


def check_representation(representation: nn.Module, symmetry: Symmetry) -> None:
    """Refuse a representation without the attributes that a potential reads, or of another symmetry.

    Args:
        representation: the representation.
        symmetry: what the potential is to be, ``"invariant"`` or ``"unconstrained"``.

    Raises:
        TypeError: it is no module, or an attribute is missing.
        ValueError: the representation is not invariant, or ``symmetry`` another word.
    """
    if isinstance(representation, (type, functools.partial)):
        cls = representation.func if isinstance(representation, functools.partial) else representation
        raise TypeError(
            f"'representation' must be a module, got the class {cls.__name__}: make one of it, {cls.__name__}(...), "
            "or in a description give all of its arguments that have no default"
        )
    if not isinstance(representation, nn.Module):
        raise TypeError(f"'representation' must be a torch.nn.Module, got {type(representation).__name__}")
    missing = [
        name for name in ("cutoff", "out_channels", "num_layers", "symmetry") if not hasattr(representation, name)
    ]
    if missing:
        raise TypeError(
            f"'representation' must have the attributes cutoff, out_channels, num_layers and symmetry, got "
            f"{type(representation).__name__} without {', '.join(missing)}"
        )
    if symmetry not in ("invariant", "unconstrained"):
        raise ValueError(f"'symmetry' must be 'invariant' or 'unconstrained', got {symmetry!r}")
    if symmetry == "invariant" and representation.symmetry != "invariant":
        raise ValueError(
            f"'representation' must be invariant, got one that declares {representation.symmetry!r}: its energy would "
            "change under rotation. Use contracted or radial directions, or pass symmetry='unconstrained' and train "
            "with random rotations"
        )


def check_layer(layer: nn.Module) -> None:
    """Refuse a layer of the user's without the methods that :class:`~pyg_mpnn.MPNN` calls.

    Args:
        layer: the layer.

    Raises:
        TypeError: a method is missing.
    """
    missing = [
        name for name in ("symmetry", "set_neighbors", "reset_parameters") if not callable(getattr(layer, name, None))
    ]
    if missing:
        raise TypeError(
            "'layers' must have the methods forward, symmetry, set_neighbors and reset_parameters, got "
            f"{type(layer).__name__} without {', '.join(missing)}"
        )


def choose_device(device: str | torch.device | None) -> torch.device | None:
    """The device that is meant, refused where torch does not have it here.

    Args:
        device: where to compute: ``"auto"`` for the first GPU if there is one and the CPU otherwise, ``"cpu"``,
            ``"cuda"`` or one of several GPUs as ``"cuda:1"``; ``None`` for wherever the parts are.

    Returns:
        the device; ``None`` for ``None``.

    Raises:
        ValueError: torch does not know it, was built without it, or the machine has none.
    """
    if device is None:
        return None
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        if torch.empty(0, device=device).is_meta:
            raise RuntimeError("it holds no numbers")
    except (RuntimeError, AssertionError) as error:  # an AssertionError where torch was built without CUDA
        kind = str(device).partition(":")[0]
        reason = (
            str(error).splitlines()[0] if kind in ("cpu", "cuda", "mps", "xpu") else "use auto, cpu, cuda or cuda:0"
        )
        raise ValueError(f"'device' must be one that torch can use here, got {str(device)!r}: {reason}") from error
    return torch.device(device)


def check_apart(edge_vec: Tensor, edge_index: Tensor) -> None:
    """Refuse two atoms at one place, where directions and forces mean nothing.

    Args:
        edge_vec: vectors from centre to neighbour, ``(edges, 3)``.
        edge_index: edges, source first, ``(2, edges)``.

    Raises:
        ValueError: a vector is zero.
    """
    together = (edge_vec == 0).all(dim=1)
    if bool(together.any()):
        pair = edge_index[:, together][:, 0].tolist()
        raise ValueError(f"'pos' must keep atoms apart, got atoms {pair[1]} and {pair[0]} at one place")
