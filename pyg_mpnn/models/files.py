"""Files of models: plain values and weights, read without executing code, replaced only by complete ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pyg_mpnn.files import write_tensors

FILE_FORMAT = 3  # 1: no asinh around invariant products; 2: a network of their own on the contracted features
_POTENTIAL = "a file of Potential.save or a checkpoint of pyg-mpnn train"
_PROPERTY = "a file of PropertyModel.save or a checkpoint of pyg-mpnn train --target"


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
        config: plain values that rebuild the model; those of a property model have the key ``property``.
        state_dict: its weights and buffers.
        compositions: independent compositions that it was trained on, where they are known.
    """
    own = {"format": FILE_FORMAT, "config": config, "prefix": "", "compositions": compositions}
    content = {"pyg_mpnn": own, "state_dict": state_dict}
    write_tensors(path, content)


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
    saved = _read(path, map_location, _POTENTIAL, "potential")
    if "property" in saved.config:
        raise ValueError(f"'path' must hold a potential, got {path} with a property: read it by PropertyModel.load")
    return saved


def read_property(path: str | Path, map_location: str | torch.device = "cpu") -> SavedModel:
    """Read a property model of :func:`write_model` or a checkpoint of ``pyg-mpnn train --target``, as above.

    Args:
        path: file to read.
        map_location: device to load to.

    Returns:
        configuration and weights.

    Raises:
        ValueError: a file that holds no property model of this package's own parts, or one of another format.
    """
    saved = _read(path, map_location, _PROPERTY, "property model")
    if "property" not in saved.config:
        raise ValueError(
            f"'path' must be {_PROPERTY}, got {path} with a potential: a potential is read by load_potential"
        )
    return saved


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
    return SavedModel(own["config"], state, own.get("compositions"))  # files of older versions have none


def _what_is_there(path: Path) -> str:
    folder = path if path.is_dir() else path.parent
    found = sorted(str(file) for pattern in ("*.ckpt", "*.pt") for file in folder.glob(pattern))
    kind = "which is a folder" if path.is_dir() else "which does not exist"
    return f"{kind}: did you mean {' or '.join(found)}?" if found else kind
