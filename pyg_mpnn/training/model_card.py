"""What was trained on what, and how good it is: for people (Markdown) and for programs (JSON)."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pyg_mpnn.files import write_json, write_text
from pyg_mpnn.training.metrics import Errors
from pyg_mpnn.training.table import error_markdown

PACKAGES = ("pyg_mpnn", "torch", "torch_geometric", "e3nn", "vesin", "torch_cluster", "lightning", "numpy")
LONG_LIST = 12


def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages that the numbers depend on."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return versions


def write_model_card(folder: Path, card: Mapping[str, Any], columns: Mapping[str, Errors]) -> None:
    """Write model_card.json and model_card.md.

    Args:
        folder: Where to.
        card: Sections by title; a section is a mapping of plain values, or a list of sentences.
        columns: Errors by the title of their column.
    """
    content = {**card, "errors": {title: asdict(errors) for title, errors in columns.items()}}
    write_json(folder / "model_card.json", content)
    lines = ["# Model card", ""]
    for title, section in card.items():
        lines += [f"## {title.replace('_', ' ')}", ""]
        if isinstance(section, Mapping):
            lines += [f"- {name}: {_readable(value)}" for name, value in section.items()]
        else:
            lines += [f"- {sentence}" for sentence in section] or ["- none"]
        lines.append("")
    lines += ["## Errors", "", error_markdown(columns), ""]
    write_text(folder / "model_card.md", "\n".join(lines))


def _readable(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        if len(value) > LONG_LIST:
            return f"{', '.join(map(str, value[:6]))}, ... ({len(value)} in all, see model_card.json)"
        return "[" + ", ".join(map(_readable, value)) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_readable(item)}" for key, item in value.items()) + "}"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
