"""Files of models: plain values and weights, read without executing code, replaced only by complete ones."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

FILE_FORMAT = 3  # 1: no asinh around invariant products; 2: a network of their own on the contracted features
_POTENTIAL = "a file of Potential.save or a checkpoint of pyg-mpnn train"
_PROPERTIES = {  # kinds of properties in files of format 3, and what they are now
    "extensive": {"class": "ScalarOutput", "extensive": True},
    "intensive": {"class": "ScalarOutput", "extensive": False},
    "dipole": {"class": "DipoleLengthOutput"},
    "spatial_extent": {"class": "SpatialExtentOutput"},
}


class SavedModel(NamedTuple):
    """What a file holds."""

    config: dict[str, Any]
    state_dict: dict[str, Tensor]
    compositions: list[dict[int, int]] | None = None


def write_model(
    path: str | Path,
    config: dict[str, Any],
    state_dict: dict[str, Tensor],
    compositions: list[dict[int, int]] | None = None,
) -> None:
    """Write a file; an existing one is replaced only by a complete one.

    Args:
        path: file to write.
        config: plain values that rebuild the model.
        state_dict: its weights and buffers.
        compositions: independent compositions that it was trained on, where they are known.
    """
    own = {"format": FILE_FORMAT, "config": config, "prefix": "", "compositions": compositions}
    content = {"pyg_mpnn": own, "state_dict": state_dict}
    path = Path(path)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".tmp")
    os.close(handle)
    try:
        torch.save(content, temporary)
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def read_potential(path: str | Path, map_location: str | torch.device = "cpu") -> SavedModel:
    """Read a potential of :func:`write_model` or a checkpoint of ``pyg-mpnn train``, without executing code.

    Args:
        path: file to read.
        map_location: device to load to.

    Returns:
        configuration and weights.

    Raises:
        ValueError: a file that holds no potential of this package's own parts, or one of another format.
    """
    return _read(path, map_location, _POTENTIAL, "potential")


def read_content(path: str | Path, map_location: str | torch.device, expected: str) -> dict[str, Any]:
    """Read all that a file holds, without executing code.

    Args:
        path: file to read.
        map_location: device to load to.
        expected: what the file must be, in words.

    Returns:
        its content, with the key ``pyg_mpnn``.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a damaged file, one of another program, or one of another format.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"'path' must be {expected}, got {path}, {_what_is_there(Path(path))}")
    try:
        content: dict[str, Any] = torch.load(path, map_location=map_location, weights_only=True)
    except PermissionError:
        raise
    except Exception as error:  # what torch raises depends on the bytes; its advice is to run them as code
        raise ValueError(
            f"'path' must be {expected}, got {path}, which cannot be read as one (damaged, or of another program)"
        ) from error
    own = content.get("pyg_mpnn") if isinstance(content, dict) else None
    if not isinstance(own, dict) or own.get("format") != FILE_FORMAT:
        older = f", of format {own.get('format')}: train again" if isinstance(own, dict) else ""
        raise ValueError(f"'path' must be {expected} (format {FILE_FORMAT}), got {path}{older}")
    return content


def _read(path: str | Path, map_location: str | torch.device, expected: str, kind: str) -> SavedModel:
    content = read_content(path, map_location, expected)
    own = content["pyg_mpnn"]
    if own["config"] is None:
        raise ValueError(
            f"'path' must hold a {kind} of this package's own parts, got {path} with a composition of your own: "
            f"build it in code and load its weights with load_state_dict (keys with the prefix {own['prefix']!r})"
        )
    prefix = own["prefix"]
    state = {key[len(prefix) :]: value for key, value in content["state_dict"].items() if key.startswith(prefix)}
    saved = SavedModel(own["config"], state, own.get("compositions"))  # files of older versions have none
    if "property" not in saved.config:
        return saved
    return _with_output(saved, (own.get("settings") or {}).get("target") or "property")


def _with_output(saved: SavedModel, name: str) -> SavedModel:
    """What a file of a property model, a class of its own once, is now: a model with one output and no energy."""
    config = dict(saved.config)
    part = {**_PROPERTIES[config.pop("property")], "hidden_channels": config.pop("hidden_channels")}
    own = f"outputs.{name}."
    state = {own + key if key.startswith("atomwise.") else key: value for key, value in saved.state_dict.items()}
    return SavedModel({**config, "energy": False, "outputs": {name: part}}, state, saved.compositions)


def _what_is_there(path: Path) -> str:
    folder = path if path.is_dir() else path.parent
    found = sorted(str(file) for pattern in ("*.ckpt", "*.pt") for file in folder.glob(pattern))
    kind = "which is a folder" if path.is_dir() else "which does not exist"
    return f"{kind}: did you mean {' or '.join(found)}?" if found else kind
