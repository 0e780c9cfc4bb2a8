"""Docstrings of the public names: the sections of the style guide, in order, and the axes of the annotations."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable
from typing import Any

import pytest
from torch import nn

SECTIONS = ["Args", "Returns", "Yields", "Shapes", "Units", "Raises", "Source", "Example"]
# The words for the axes of tensors; digits, "_" and "..." besides.
AXES = {"nodes", "edges", "triplets", "graphs", "channels", "radial", "angular", "heads"}
PACKAGES = ["", ".basis", ".geometry", ".layers", ".readout", ".models", ".data", ".md", ".engines", ".inspection"]


def public() -> list[Any]:
    """Public classes and functions, each once."""
    modules = [importlib.import_module(f"pyg_mpnn{package}") for package in PACKAGES]
    values = {
        getattr(module, name): None
        for module in modules
        for name in module.__all__
        if name not in ("SIZES", "SPREADS", "QM9_TARGETS")
    }
    return [value for value in values if inspect.isclass(value) or inspect.isfunction(value)]


def sections(value: Any) -> dict[str, str]:
    """Text of each Google-style section of a docstring, in order."""
    parts = re.split(rf"^({'|'.join(SECTIONS)}):\s*$", inspect.getdoc(value) or "", flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def call(value: Any) -> Callable[..., Any] | None:
    """What runs when the function or an instance of the class is called, if it is written here."""
    own = value if inspect.isfunction(value) else vars(value).get("forward", vars(value).get("__call__"))
    return inspect.unwrap(own) if inspect.isfunction(own) else None


def annotations(value: Any) -> list[str]:
    function = call(value)
    return [] if function is None else [str(text) for text in inspect.get_annotations(function).values()]


def required(value: Any) -> set[str]:
    """Sections that a docstring must have; interfaces, which others implement, need their shapes only."""
    wanted = {"Shapes"} if any("Tensor" in text for text in annotations(value)) else set()
    if inspect.isfunction(value):
        return wanted | ({"Source", "Example"} if ".. math::" in value.__doc__ and wanted else set())
    if issubclass(value, nn.Module) and not value.__subclasses__():
        return wanted | {"Shapes", "Units", "Source", "Example"}
    return wanted


def wrong_sections(value: Any) -> list[str]:
    """What is wrong with the sections of a docstring."""
    if not value.__doc__:
        return ["no docstring"]
    found = list(sections(value))
    wrong = ["a summary of more than a line"] if "\n" in inspect.getdoc(value).split("\n\n")[0] else []
    wrong += [f"sections in the order {found}"] if found != sorted(found, key=SECTIONS.index) else []
    return wrong + [f"no section {name}" for name in sorted(required(value) - set(found))]


def wrong_axes(value: Any) -> list[str]:
    """Words of the annotations that are no axes, and axes that are not under Shapes."""
    axes = [axis for text in annotations(value) for axis in re.findall(r"Tensor, '([^']*)'", text)]
    words = {word.lstrip("*#") for axis in axes for word in axis.split()} - {"_", "..."}
    words = {word for word in words if not word.isdigit()}
    described = sections(value).get("Shapes", "")
    wrong = [f"unknown axis word {word}" for word in sorted(words - AXES)]
    return wrong + [f"{word} is not under Shapes" for word in sorted(words) if not re.search(rf"\b{word}\b", described)]


@pytest.mark.parametrize("wrong", [wrong_sections, wrong_axes])
def test_docstrings_of_public_names(wrong):
    values = public()
    assert len(values) > 50
    found = [f"{value.__module__}.{value.__name__}: {fault}" for value in values for fault in wrong(value)]
    assert not found, "\n".join(found)


def test_docstrings_of_public_names_control():
    def function(x: Float[Tensor, "nodes apples"]) -> Float[Tensor, "nodes"]:
        """Two
        lines.

        Units:
            none

        Args:
            x: features
        """

    assert wrong_sections(function) == [
        "a summary of more than a line",
        "sections in the order ['Units', 'Args']",
        "no section Shapes",
    ]
    assert wrong_axes(function) == [
        "unknown axis word apples",
        "apples is not under Shapes",
        "nodes is not under Shapes",
    ]
