"""Three sizes of the network, and a composition from what a user names.

Base was chosen by measuring on aspirin and ethanol (``docs/blocks.md``, tables in ``benchmarks/results/README.md``):
edges of width 64 lower the force error most for their time, attention does not pay, and in minutes of training with
Adam two layers cannot be told from three, which take 1.4 times the time. Large is base with four layers, angles at
both atoms of an edge and a product of densities at each atom, which with Muon generalise better than widths do (same
page). Small was not tuned.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from pyg_mpnn.models.build import foreign_names, trust_of

Size = Literal["small", "base", "large"]

SIZES: dict[str, dict[str, Any]] = {
    "small": {"hidden_channels": 64, "edge_dim": 32, "channels": 8, "l_max": 2, "num_layers": 2},
    "base": {"hidden_channels": 128, "edge_dim": 64, "channels": 16, "l_max": 2, "num_layers": 2},
    "large": {
        "hidden_channels": 128,
        "edge_dim": 64,
        "channels": 16,
        "l_max": 2,
        "num_layers": 4,
        "invariants": ("receiver", "sender", "pair"),
        "num_products": 1,
    },
}
"""Keyword arguments of :class:`~pyg_mpnn.MPNN` by the name of the size."""

_IMPORT_PATH = re.compile(r"[\w./~-]+:[A-Za-z_][\w.]*")
OF_POTENTIAL = {"potential_heads": "heads", "head": "head"}
OF_POTENTIAL |= {name: name for name in ("readout", "symmetry", "isolated", "zbl", "terms", "outputs", "energy")}


def size_of_student(options: Mapping[str, Any]) -> Size:
    """Small, where no size is named: of MPNN; another representation has none, which ``compose`` calls base.

    Args:
        options: as of :func:`compose`.

    Returns:
        the size.
    """
    return "small" if options.get("class", options.get("representation", "MPNN")) == "MPNN" else "base"


def compose(size: str, options: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The description of a potential in a named size, with what the user changes in it.

    Args:
        size: name of the size.
        options: arguments of the representation by name; ``class`` or ``representation`` for another one than
            :class:`~pyg_mpnn.MPNN`, with none of the arguments of the size; ``potential_heads``, ``head``,
            ``readout``, ``symmetry``, ``isolated``, ``zbl``, ``terms``, ``outputs`` and ``energy`` of the potential. A
            string ``file.py:Class`` or ``package.module:Class`` names a part.

    Returns:
        the description, and the code of the user's that it names: what is typed is trusted.

    Raises:
        ValueError: an unknown size.
    """
    if size not in SIZES:
        raise ValueError(f"'size' must be one of {tuple(SIZES)}, got {size!r}")
    named = {key: _parts(value) for key, value in options.items() if key not in ("class", "representation")}
    own = {name: named.pop(key) for key, name in OF_POTENTIAL.items() if key in named}
    if "outputs" in own:  # a name of a class of ours is a description too
        own["outputs"] = {k: {"class": part} if isinstance(part, str) else part for k, part in own["outputs"].items()}
    if "terms" in own:
        own["terms"] = [{"class": part} if isinstance(part, str) else part for part in own["terms"]]
    representation = options.get("class", options.get("representation", "MPNN"))
    if representation != "MPNN" and size != "base":
        raise ValueError(
            f"'size' is for MPNN and must be left out with 'model' {representation!r}, got {size!r}: give its own "
            "arguments, as in --model.width 64"
        )
    defaults = SIZES[size] if representation == "MPNN" else {}
    description = {"class": "Potential", "representation": {"class": representation, **defaults, **named}, **own}
    return description, trust_of(foreign_names(description))


def _parts(value: Any) -> Any:
    """A name of a class in place of a part becomes its description."""
    if isinstance(value, str) and _IMPORT_PATH.fullmatch(value):
        return {"class": value}
    if isinstance(value, Mapping):
        return {key: item if key in ("class", "factory") else _parts(item) for key, item in value.items()}
    return [_parts(item) for item in value] if isinstance(value, (list, tuple)) else value
