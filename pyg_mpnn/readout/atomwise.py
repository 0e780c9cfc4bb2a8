"""Final MLP: atomic energies from node features, with a reference energy for each element."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from pyg_mpnn.arguments import check_whole
from pyg_mpnn.basis.symmetry import Symmetry, nonlinear
from pyg_mpnn.layers.embedding import NUM_ELEMENTS
from pyg_mpnn.mlp import MLP


class AtomwiseEnergy(nn.Module):
    r"""Energy of each atom: a network on its features, scaled, plus the reference energy of its element.

    .. math:: E_i = \sum_t \mathrm{MLP}_t(h_i^t) \cdot \mathrm{scale} + E_0[z_i]

    with the features :math:`h_i^t` after layer t (one head each; often only the last layer has one), one number
    ``scale`` and the reference energies :math:`E_0`. Reference energies are kept and added in float64, whatever the
    dtype of the network, because a total energy is thousands of eV while its error is a few meV.

    Args:
        in_channels: width of the node features.
        hidden_channels: width of the hidden layer.
        num_heads: number of layers that have a head.
        head: network to take in place of the MLP, ``(nodes, in_channels)`` to ``(nodes, 1)``, for one head.

    Shapes:
        ``features``: one tensor ``(nodes, in_channels)`` for each head; output ``(nodes,)``: the first term of the
        formula, the interaction energy. The buffer ``reference`` holds the second, by atomic number.

    Units:
        eV.

    Raises:
        ValueError: a width below 1; a ``head`` for several layers or of another shape; a reference energy or scale that
            is not finite; an element without reference energy (:meth:`check_elements`).

    Source:
        Behler and Parrinello, Phys. Rev. Lett. 98, 146401 (2007), Eq. (1); per-element shifts as in Schütt et al.,
        NeurIPS 2017 (SchNet), arXiv:1706.08566.

    Example:
        >>> head = AtomwiseEnergy(8, hidden_channels=4)
        >>> head.set_reference({1: -13.6}, scale=2.0)
        >>> head([torch.ones(2, 8)]).shape, head.reference[1].item()
        (torch.Size([2]), -13.6)
    """

    scale: Tensor
    reference: Tensor

    def __init__(
        self, in_channels: int, hidden_channels: int, num_heads: int = 1, head: nn.Module | None = None
    ) -> None:
        super().__init__()
        check_whole(in_channels=in_channels, hidden_channels=hidden_channels, num_heads=num_heads)
        if head is not None:
            _check_head(head, in_channels, num_heads)
        self.in_channels, self.hidden_channels = in_channels, hidden_channels
        made = (MLP([in_channels, hidden_channels, 1]) for _ in range(num_heads))
        self.heads = nn.ModuleList(made if head is None else [head])
        self.register_buffer("scale", torch.ones(()))
        # NaN marks elements that the model does not know; without any reference all are zero and known
        self.register_buffer("reference", torch.zeros(NUM_ELEMENTS + 1, dtype=torch.float64))
        self.elements: tuple[int, ...] = ()
        """Atomic numbers of the known elements."""
        self._note_elements()

    def reset_parameters(self) -> None:
        """Draw new weights; reference energies and scale stay."""
        for head in self.heads:
            if hasattr(head, "reset_parameters"):
                head.reset_parameters()  # type: ignore[operator]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        """Move to another device or dtype, the reference energies staying float64."""
        reference = self.reference
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.reference = reference.to(self.reference.device)
        return self

    def _load_from_state_dict(self, *args: Any) -> None:
        """Take the weights of a file, and note which elements have a reference energy."""
        super()._load_from_state_dict(*args)
        self._note_elements()

    def symmetry(self, *features: Symmetry) -> Symmetry:
        """Symmetry of the energies."""
        return nonlinear(*features)

    def set_reference(self, energies: Mapping[int, float], scale: float) -> None:
        """Set the reference energy of each known element and the scale; other elements become unknown.

        Args:
            energies: reference energy in eV by atomic number.
            scale: number in eV that multiplies the network, positive.
        """
        values = torch.tensor(list(energies.values()), dtype=torch.float64)
        if not energies or not torch.isfinite(values).all() or not 0 < scale < float("inf"):
            raise ValueError(
                "'energies' must hold a finite energy in eV for at least one element and 'scale' be positive and "
                f"finite, got {dict(energies)} and {scale}"
            )
        if min(energies) < 1 or max(energies) > NUM_ELEMENTS:
            raise ValueError(f"'energies' must have atomic numbers 1..{NUM_ELEMENTS} as keys, got {sorted(energies)}")
        reference = torch.full_like(self.reference, torch.nan)
        reference[list(energies)] = values.to(reference.device)
        self.reference.copy_(reference)
        self.scale.fill_(scale)
        self._note_elements()

    def _note_elements(self) -> None:
        """Keep the known elements as plain numbers, which traced code can read."""
        known = self.reference.isfinite().nonzero().flatten().tolist()
        self.elements = tuple(int(element) for element in known if element > 0)

    def check_elements(self, z: Int[Tensor, " nodes"]) -> None:
        """Raise if an atom is of an element without reference energy.

        Args:
            z: atomic numbers.

        Raises:
            ValueError: an atomic number outside 1..118, or an element the model was not trained on.
        """
        low, high = map(int, z.aminmax()) if z.numel() else (1, 1)
        if low < 1 or high > NUM_ELEMENTS:
            raise ValueError(f"'z' must hold atomic numbers 1..{NUM_ELEMENTS}, got values from {low} to {high}")
        references = self.reference.index_select(0, z)
        if math.isnan(float(references.sum())):  # one of an unknown element is NaN
            unknown = references.isnan()
            raise ValueError(
                f"'z' must hold elements the model was trained on ({list(self.elements)}), got "
                f"{sorted(set(z[unknown].tolist()))}, of which it knows nothing: train on data that have these elements"
            )

    def reference_energies(
        self, z: Int[Tensor, " nodes"], batch: Int[Tensor, " nodes"], num_graphs: int
    ) -> Float[Tensor, " graphs"]:
        """Sum of the reference energies of each graph, from its composition: the same bits for every order of atoms.

        Args:
            z: atomic numbers of known elements.
            batch: graph of each atom.
            num_graphs: number of graphs.

        Returns:
            energies in eV, float64.
        """
        place = batch * (NUM_ELEMENTS + 1) + z if num_graphs > 1 else z
        counts = torch.bincount(place, minlength=num_graphs * (NUM_ELEMENTS + 1)).view(num_graphs, NUM_ELEMENTS + 1)
        return (counts * self.reference).nansum(dim=1)  # NaN is that of unknown elements, which none is of

    def forward(self, features: Sequence[Float[Tensor, "nodes _"]]) -> Float[Tensor, " nodes"]:
        """Interaction energy of each atom; its reference energy is ``reference[z]``, float64."""
        first, *others = [head(x) for head, x in zip(self.heads, features, strict=True)]
        energies: Tensor = sum(others, start=first).squeeze(-1) * self.scale
        return energies

    def last_layer(self, features: Sequence[Float[Tensor, "nodes _"]]) -> Float[Tensor, "nodes _"]:
        """What the energies are a linear function of: the inputs of the last layers of all heads, scaled.

        Args:
            features: as of :meth:`forward`.

        Returns:
            in eV, ``(nodes, num_heads * hidden_channels)``.

        Raises:
            ValueError: a head of the user's, whose last layer is not known.
        """
        if not all(isinstance(head, MLP) for head in self.heads):
            raise ValueError(
                "'head' must be an MLP of this package to have a last layer that is known, got another one"
            )
        hidden = [head.hidden(x) for head, x in zip(self.heads, features, strict=True)]  # type: ignore[operator]
        return torch.cat(hidden, dim=-1) * self.scale

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.in_channels}, {self.hidden_channels}, num_heads={len(self.heads)})"


def _check_head(head: nn.Module, in_channels: int, num_heads: int) -> None:
    if num_heads != 1:
        raise ValueError(f"'head' is one network for the last layer, got {num_heads} layers: pass heads='last'")
    like = next(head.parameters(), torch.empty(()))
    with torch.no_grad():
        shape = tuple(head(like.new_zeros(2, in_channels)).shape)
    if shape != (2, 1):
        raise ValueError(f"'head' must map (nodes, {in_channels}) to (nodes, 1), got {shape} from (2, {in_channels})")
