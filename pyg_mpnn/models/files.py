"""Files of models, format 4: a description, weights and what was trained on; read without executing code."""

from __future__ import annotations

import inspect
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from pyg_mpnn.files import write_tensors
from pyg_mpnn.models.build import Described, Trust, build, find_object, foreign_names, sources, takes_arguments
from pyg_mpnn.models.pretrained import PRETRAINED, model_file
from pyg_mpnn.models.rebuild import check_rebuilds, digest, probe, same_energy, take_weights

if TYPE_CHECKING:
    from typing_extensions import Self

FILE_FORMAT = 4
"""1: no asinh around invariant products; 2: a network of their own on the contracted features; 3: no description of
parts of the user's, no digest. Format 3 is read."""
_READ = (3, 4)
_PROPERTIES: dict[str, dict[str, Any]] = {  # kinds of PropertyModel, a class of format 3, and what they are now
    "extensive": {"class": "ScalarOutput", "extensive": True},
    "intensive": {"class": "ScalarOutput", "extensive": False},
    "dipole": {"class": "DipoleLengthOutput"},
    "spatial_extent": {"class": "SpatialExtentOutput"},
}
_MODEL = "a file of save() or a checkpoint of pyg-mpnn train"


class Stored(Described):
    """A model that is saved to a file and loaded from one."""

    def save(self, path: str | Path) -> None:
        """Write description and weights to a file; an existing file is replaced only by a complete one.

        Args:
            path: file to write, by convention ``*.pt``.

        Raises:
            TypeError: a composition that its description does not rebuild: see :meth:`config`.
            ValueError: weights that are not finite.
        """
        assert isinstance(self, nn.Module)
        save_model(path, self)

    @classmethod
    def load(cls, path: str | Path, map_location: str | torch.device = "cpu", *, trust: Trust = ()) -> Self:
        """Read a model from :meth:`save` or from a checkpoint of ``pyg-mpnn train``.

        No code runs but that of this package and what ``trust`` names.

        Args:
            path: file to read, or the name of a potential that comes with the package (``"organic"``).
            map_location: device to load to.
            trust: code of the user's that may run, for a model with parts of the user's own: files (``"my_net.py"``),
                modules or packages, or classes that are imported already.

        Returns:
            the model, in evaluation mode and in the dtype it was saved in.

        Raises:
            ValueError: a file that holds no such model, is damaged, or names code that is not trusted.
        """
        model = load_model(path, map_location, trust)
        if not isinstance(model, cls):
            kind = type(model).__name__
            raise ValueError(
                f"'path' must hold a {cls.__name__}, got {path} with a {kind}: use load_potential, or its load"
            )
        return model


class SavedModel(NamedTuple):
    """What a file holds."""

    config: dict[str, Any]
    """Description of the model, for :func:`pyg_mpnn.models.build.build`."""
    state_dict: dict[str, Tensor]
    """Weights and buffers."""
    header: dict[str, Any]
    """What else is known: see :func:`make_header`."""


def make_header(model: nn.Module, prefix: str = "", description: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What a file says of a model, but for what depends on its weights (:func:`seal`).

    Args:
        model: the model.
        prefix: what the names of its weights begin with in the file.
        description: its description where it was checked before.

    Returns:
        plain values: ``format``; ``config``, the description; ``sources``, hashes of the user's code; ``prefix``;
        ``frozen``, names of weights that are not trained; ``compositions``, independent compositions that it was
        trained on; ``record``, what its training says of the data (labels, units, shortest distances, structures).

    Raises:
        TypeError: the model is not what its description says.
    """
    found = check_rebuilds(model) if description is None else dict(description)
    trust = [type(part) for part in model.modules()]
    return {
        "format": FILE_FORMAT,
        "config": found,
        "sources": sources(found, [*trust, *(name.rpartition(":")[0] for name in foreign_names(found))]),
        "prefix": prefix,
        "frozen": [name for name, parameter in model.named_parameters() if not parameter.requires_grad],
        "compositions": getattr(model, "compositions", None),
        "record": dict(getattr(model, "record", {})),
    }


def seal(content: dict[str, Any], model: nn.Module) -> None:
    """Add what depends on the weights to the content of a file: their digest, and the energy of a probe structure.

    Args:
        content: with the keys ``pyg_mpnn``, a header, and ``state_dict``.
        model: the model, whose weights may be others.
    """
    header = content["pyg_mpnn"]
    state = _without_prefix(content["state_dict"], header["prefix"])
    header["probe"] = probe(model, state)
    header["digest"] = digest(header["config"], state)


def save_model(path: str | Path, model: nn.Module) -> None:
    """Write a model; an existing file is replaced only by a complete one.

    Args:
        path: file to write, by convention ``*.pt``.
        model: the model.

    Raises:
        TypeError: the model is not what its description says.
        ValueError: weights that are not finite.
    """
    check_finite(model, "be saved")
    content = {"pyg_mpnn": make_header(model), "state_dict": model.state_dict()}
    seal(content, model)
    write_tensors(path, content)


def load_model(path: str | Path, map_location: str | torch.device = "cpu", trust: Trust = ()) -> Any:
    """Read a model, without executing code that is not trusted.

    Args:
        path: file of ``save``, or checkpoint of ``pyg-mpnn train``.
        map_location: device to load to.
        trust: code of the user's that may run, for a model with parts of the user's own: files (``my_net.py``), modules
            or packages, or classes that are imported already.

    Returns:
        the model, in evaluation mode and in the dtype it was saved in.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a damaged file, one of another program or format, a part that is not trusted, cannot be made or has
            changed since, or weights that do not fit or are not finite.
    """
    config, state, header = read_model(path, map_location)
    try:
        model = build(config, trust)
        take_weights(model, state, map_location)
    except (ValueError, RuntimeError, MemoryError) as error:
        raise ValueError(f"'path' must hold a model that can be built, got {path}: {error}") from error
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name not in header.get("frozen", ()))
    check_finite(model, f"be used ({path})")
    model.compositions = header.get("compositions")
    model.record = header.get("record", {})
    if header.get("sources"):
        _check_sources(model, config, header, trust, path)
    return model.eval()


def open_model(model: str | Path, map_location: str | torch.device = "cpu", trust: Trust = ()) -> Any:
    """A model from a file, or from the user's Python code, as commands take it.

    Args:
        model: checkpoint or saved model, or ``package.module:name`` or ``file.py:name``.
        map_location: device to load to.
        trust: as for :func:`load_model`.

    Returns:
        the model; a class or a function without arguments is called to make it.

    Raises:
        ValueError: there is no such file or name.
    """
    name = str(model)
    if ":" not in name or Path(name).exists():
        return load_model(model, map_location, trust)
    try:
        found = find_object(name)
    except ValueError as error:
        raise ValueError(f"'model' must name a Python object that exists, got {name!r}: {error}") from error
    makes = (inspect.isclass(found) or inspect.isfunction(found)) and not takes_arguments(found)
    made = found() if makes else found
    return made.to(map_location) if isinstance(made, nn.Module) else made


def read_model(path: str | Path, map_location: str | torch.device = "cpu") -> SavedModel:
    """Read what a file says, without building the model.

    Args:
        path: file to read.
        map_location: device of the weights.

    Returns:
        description, weights and header.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a damaged file, or one of another program or format.
    """
    content = read_content(path, map_location, _MODEL)
    header = content["pyg_mpnn"]
    if header["config"] is None:
        raise ValueError(
            f"'path' must hold a model that can be built, got {path} with a composition of your own of format "
            f"{header['format']}, which did not keep it: build it in code and load its weights with load_state_dict "
            f"(keys with the prefix {header['prefix']!r})"
        )
    state = _without_prefix(content["state_dict"], header["prefix"])
    return SavedModel(header["config"], state, header)


def read_content(path: str | Path, map_location: str | torch.device, expected: str) -> dict[str, Any]:
    """Read all that a file holds, without executing code, and check that it is whole.

    Args:
        path: file to read.
        map_location: device to load to.
        expected: what the file must be, in words.

    Returns:
        its content, with the keys ``pyg_mpnn``, the header as of format 4, and ``state_dict``.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a damaged file, one of another program, or one of another format.
    """
    path = model_file(path)
    if not path.is_file():
        raise FileNotFoundError(f"'path' must be {expected}, got {path}, {_what_is_there(path)}")
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
        if broken is not None:
            raise ValueError(f"the checksum of {broken} is wrong")
        content: dict[str, Any] = torch.load(path, map_location=map_location, weights_only=True)
    except PermissionError:
        raise
    except Exception as error:  # what torch raises depends on the bytes; its advice is to run them as code
        raise ValueError(
            f"'path' must be {expected}, got {path}, which cannot be read as one (damaged, or of another program)"
        ) from error
    own = content.get("pyg_mpnn") if isinstance(content, dict) else None
    if not isinstance(own, dict) or not isinstance(own.get("format"), int):
        raise ValueError(f"'path' must be {expected} (format {FILE_FORMAT}), got {path} of another program")
    if own["format"] not in _READ:
        newer = own["format"] > FILE_FORMAT
        advice = "made by a newer pyg_mpnn: update this one" if newer else "too old to be read: train again"
        raise ValueError(
            f"'path' must be {expected} (format {' or '.join(map(str, _READ))}), got {path} of format {own['format']}, "
            f"{advice}"
        )
    missing = [key for key in ("config", "prefix") if key not in own]
    missing += [] if isinstance(content.get("state_dict"), dict) else ["state_dict"]
    if missing:
        raise ValueError(f"'path' must be {expected}, got {path} without {', '.join(missing)}: it is not complete")
    if own["format"] == 3:
        if own["config"] is not None and "property" in own["config"]:
            _rename_property(content)
        own["config"] = None if own["config"] is None else from_format_3(own["config"])
    elif own.get("digest") != digest(own["config"], _without_prefix(content["state_dict"], own["prefix"])):
        raise ValueError(f"'path' must be {expected}, got {path}, which is damaged: its digest is another one")
    return content


def from_format_3(config: Mapping[str, Any]) -> dict[str, Any]:
    """The description of a model of format 3, whose conventions were those before any flag.

    Args:
        config: what format 3 kept.

    Returns:
        the description as of format 4.
    """
    if config.get("class") == "ZBL":
        return {"class": "ZBL", "cutoff": config["cutoff"]}
    if config.get("class") == "SumPotential":
        return {"class": "SumPotential", "potentials": [from_format_3(part) for part in config["parts"]]}
    network = {"class": "MPNN", **config["mpnn"]}
    model = {"class": "Potential", "representation": network, "terms": [], "outputs": {}, "energy": True}
    if "property" in config:
        part = {**_PROPERTIES[config["property"]], "hidden_channels": config["hidden_channels"]}
        return {**model, "outputs": {config["name"]: part}, "energy": False}
    own = {key: value for key, value in config.items() if key not in ("mpnn", "readout", "zbl")}
    learned = {"class": "LearnedSumReadout", "in_channels": network["hidden_channels"]}
    own["readout"] = learned if config.get("readout", "sum") == "learned" else {"class": "SumReadout"}
    own["isolated"] = "free"
    if config.get("zbl"):
        own["zbl"] = {"class": "ZBL", "cutoff": max(network["cutoff"])}
    return {**model, **own}


def _rename_property(content: dict[str, Any]) -> None:
    """The one property of a model of format 3 becomes an output with the name of the target it was trained on."""
    own = content["pyg_mpnn"]
    name = (own.get("settings") or {}).get("target") or "property"
    own["config"] = {**own["config"], "name": name}
    before, after = f"{own['prefix']}atomwise.", f"{own['prefix']}outputs.{name}.atomwise."
    content["state_dict"] = {
        after + key.removeprefix(before) if key.startswith(before) else key: value
        for key, value in content["state_dict"].items()
    }


def check_finite(model: nn.Module, what: str) -> None:
    """Refuse a model with weights that are not finite.

    Args:
        model: the model.
        what: what it cannot do so, in words.

    Raises:
        ValueError: a weight is NaN or infinite.
    """
    for name, parameter in model.named_parameters():
        if not bool(torch.isfinite(parameter).all()):
            raise ValueError(f"the weights of a model must be finite to {what}, got others in {name}: train again")


def _check_sources(
    model: nn.Module, config: Mapping[str, Any], header: Mapping[str, Any], trust: Trust, path: str | Path
) -> None:
    """Compare the user's code with that of the file: where it has changed, the energy of the probe decides."""
    now, kept = sources(config, trust), header.get("probe")
    changed = [place for place, value in header["sources"].items() if now.get(place) != value]
    if kept is None:
        if changed:
            warnings.warn(f"{', '.join(changed)} is not the code that {path} was made with", stacklevel=4)
        return
    energy, same = same_energy(model, kept)
    if not same:
        because = f"{', '.join(changed)} has changed since" if changed else "something that it imports has changed"
        raise ValueError(
            f"'path' must hold a model that gives the energies it was saved with, got {path}: {energy:.9g} eV in place "
            f"of {kept['energy']:.9g} eV for its probe structure; {because}"
        )
    if changed:
        warnings.warn(
            f"{', '.join(changed)} has changed since {path} was made; the energy of its probe structure is the same",
            stacklevel=4,
        )


def _without_prefix(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}


def _what_is_there(path: Path) -> str:
    folder = path if path.is_dir() else path.parent
    found = sorted(str(file) for pattern in ("*.ckpt", "*.pt") for file in folder.glob(pattern))
    kind = "which is a folder" if path.is_dir() else "which does not exist"
    kind = f"{kind}: did you mean {' or '.join(found)}?" if found else kind
    if path.is_dir() or path.suffix or path.name != str(path):
        return kind
    return f"{kind}; the potentials that come with the package are {', '.join(PRETRAINED)}"
