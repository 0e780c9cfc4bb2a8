"""A composition is data: a part is its class and its arguments, written down and built again."""

from __future__ import annotations

import collections.abc
import contextlib
import copy
import functools
import hashlib
import importlib
import importlib.util
import inspect
import sys
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from typing_extensions import Self

Trust = Sequence[str | type]
"""Code of the user's that may run: files (``my_net.py``), modules, packages, or classes that are imported already."""

_PACKAGES = ("basis", "layers", "mlp", "models", "readout")
_EXPECTED = "None, numbers, strings, lists, mappings, parts (nn.Module), classes or functools.partial of a class"


class Described:
    """A model that plain values describe."""

    @property
    def config(self) -> dict[str, Any]:
        """Plain values that rebuild this model, for files and model cards."""
        return dict(describe(self))

    @classmethod
    def from_config(cls, config: Mapping[str, Any], trust: Trust = ()) -> Self:
        """Build a model from the plain values of :attr:`config`.

        Args:
            config: what :attr:`config` gave.
            trust: code of the user's that may run, as for ``load``.

        Returns:
            a model with random weights.

        Raises:
            ValueError: values that do not describe one.
        """
        model = build(config, trust)
        if not isinstance(model, cls):
            raise ValueError(f"'config' must describe a {cls.__name__}, got {config!r}")
        return model


def describe(value: Any, where: str = "model") -> Any:
    """Plain values from which :func:`build` makes the same part again.

    A part becomes ``{"class": name, **arguments}``, a class or ``functools.partial`` that makes parts
    ``{"factory": name, **arguments}``. The name is that of a class of this package, ``package.module:Class`` or
    ``file.py:Class``. Each argument of the constructor is looked for in the part's mapping ``config`` (which with a key
    ``class`` is the whole description), then among its attributes by the same name; a part of the user's that was built
    from a description keeps that. An argument that is nowhere is taken for its default: whether that is so shows when
    the model is built again (:func:`pyg_mpnn.models.rebuild.check_rebuilds`).

    Args:
        value: a part, or an argument of one.
        where: its name in messages.

    Returns:
        plain values: None, numbers, strings, lists and dictionaries of them.

    Raises:
        TypeError: something that plain values cannot rebuild, named with its place.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, torch.Tensor) and value.ndim == 0:
        return value.item()
    if isinstance(value, torch.dtype):
        raise TypeError(f"'{where}' must be {_EXPECTED} to be saved, got {value}: pass its name as a string")
    if isinstance(value, nn.ModuleDict):
        value = dict(value.items())
    if isinstance(value, nn.ModuleList):
        value = list(value)
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value) or {"class", "factory"} & set(value):
            raise TypeError(f"'{where}' must have names as keys to be saved, got {list(value)}")
        return {key: describe(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, (list, tuple, nn.ModuleList)):
        return [describe(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, nn.Module):
        config = _config(value)
        if config is not None and "class" in config:
            return {key: describe(item, f"{where}.{key}") for key, item in config.items()}
        return {"class": name_of(type(value), where), **_arguments(value, config or {}, where)}
    if isinstance(value, functools.partial) and inspect.isclass(value.func) and not value.args:
        options = {key: describe(item, f"{where}.{key}") for key, item in value.keywords.items()}
        return {"factory": name_of(value.func, where), **options}
    if inspect.isclass(value):
        return {"factory": name_of(value, where)}
    raise TypeError(f"'{where}' must be {_EXPECTED} to be saved, got {value!r}")


def build(description: Any, trust: Trust = (), where: str = "model") -> Any:
    """Make the part that plain values describe.

    Classes of this package and the modules of ``torch.nn`` are always made; others only where ``trust`` names their
    file, module, package or class, which is checked for all of them before any is imported. A class whose arguments
    are incomplete, or that goes to an argument annotated as ``Callable``, is passed on as a factory.

    Args:
        description: what :func:`describe` gave, or the same written by hand; plain values come back as they are.
        trust: code that may run.
        where: name of the part in messages.

    Returns:
        the part, a class or ``functools.partial`` for a factory.

    Raises:
        ValueError: a class that is unknown, not trusted or cannot be imported, or other arguments than it takes.
    """
    _check_trusted(description, trust)
    return _build(description, trust, where)


def foreign_names(description: Any) -> list[str]:
    """Names in a description that are neither of this package nor of ``torch.nn``.

    Args:
        description: plain values.

    Returns:
        ``place:Class`` each, once, in order.
    """
    found: dict[str, None] = {}
    for item in _walk(description):
        name = item.get("class", item.get("factory"))
        if isinstance(name, str) and ":" in name and not name.startswith("torch.nn:"):
            found[name] = None
    return list(found)


def sources(description: Any, trust: Trust = ()) -> dict[str, str]:
    """Hashes of the files that the foreign classes of a description come from.

    Args:
        description: plain values.
        trust: as in :func:`build`.

    Returns:
        SHA-256 of the file by ``place``, the part of the name before the colon.
    """
    hashes = {}
    for name in foreign_names(description):
        file = inspect.getsourcefile(_resolve(name, trust))
        assert file is not None
        hashes[name.partition(":")[0]] = hashlib.sha256(Path(file).read_bytes()).hexdigest()
    return hashes


@functools.cache
def own_classes() -> dict[str, type]:
    """Classes of this package by name: those in the ``__all__`` of its parts. They load from any file."""
    found: dict[str, type] = {}
    for package in _PACKAGES:
        module = importlib.import_module(f"pyg_mpnn.{package}")
        for name in getattr(module, "__all__", dir(module)):
            value = getattr(module, name)
            if inspect.isclass(value) and issubclass(value, nn.Module) and value.__module__.startswith("pyg_mpnn."):
                found[name] = value
    return found


def import_file(path: str | Path) -> ModuleType:
    """Run a Python file as a module, once.

    Args:
        path: the file.

    Returns:
        the module.

    Raises:
        ValueError: there is no such file, or it fails.
    """
    file = Path(path).resolve()
    for module in list(sys.modules.values()):
        known = getattr(module, "__file__", None)
        if known is not None and module.__name__ != "__main__" and Path(known).resolve() == file:
            return module
    if not file.is_file():
        raise ValueError(f"'{path}' must be a Python file, got none of that name in {file.parent}")
    name = file.stem if _is_free(file.stem) else f"{file.stem}_{hashlib.sha256(str(file).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    if str(file.parent) not in sys.path:
        sys.path.append(str(file.parent))  # for what it imports beside itself
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise ValueError(f"'{path}' must run as a Python module, got {type(error).__name__}: {error}") from error
    _FILES[name] = file
    return module


def find_object(name: str) -> Any:
    """What a name that the user typed stands for.

    Args:
        name: ``package.module:name`` or ``file.py:name``.

    Returns:
        the object.

    Raises:
        ValueError: it cannot be imported, or has no such name.
    """
    place, _, attribute = name.rpartition(":")
    if place.endswith(".py"):
        module = import_file(place)
    else:
        with _current_folder():
            module = _import_module(place, name)
    return _attribute(module, attribute, name)


def name_of(cls: type, where: str = "model") -> str:
    """The name by which a class is found again.

    Args:
        cls: the class.
        where: name of the part in messages.

    Returns:
        the name of a class of ours, ``torch.nn:Class``, ``package.module:Class`` or ``file.py:Class``.

    Raises:
        TypeError: a class that no name leads to.
    """
    if own_classes().get(cls.__name__) is cls:
        return cls.__name__
    if getattr(nn, cls.__name__, None) is cls:
        return f"torch.nn:{cls.__name__}"
    qualified = cls.__qualname__
    if "<locals>" in qualified:
        raise TypeError(
            f"'{where}' must be of a class at the top of a file to be saved, got {qualified}, which is defined inside "
            "a function: move it out"
        )
    module = sys.modules.get(cls.__module__)
    file = getattr(module, "__file__", None)
    if cls.__module__ == "__main__" and file is None:
        raise TypeError(
            f"'{where}' must be of a class in a file to be saved, got {qualified} of an interactive session: put it "
            "into a file and import it"
        )
    if file is not None and (cls.__module__ == "__main__" or cls.__module__ in _FILES):
        return f"{Path(file).name}:{qualified}"
    return f"{cls.__module__}:{qualified}"


def part_factory(argument: str, value: Any, names: Mapping[str, type]) -> Callable[..., Any]:
    """What makes the parts of one argument, from any way to name them.

    Args:
        argument: name of the argument in messages.
        value: a name among ``names``, a class or another callable that makes the part from the sizes the model knows,
            an instance, or a description of a class of this package with arguments.
        names: classes by their short names.

    Returns:
        a function of the sizes; for an instance it returns that, a copy with weights of its own from the second on.

    Raises:
        ValueError: an unknown name.
        TypeError: none of these.
    """
    if isinstance(value, str):
        found = names.get(value) or own_classes().get(value)
        if found is None:
            raise ValueError(
                f"'{argument}' must be one of {tuple(names)}, a class, functools.partial or a part, got {value!r}"
            )
        return found
    if isinstance(value, Mapping):
        value = build({"factory": value.get("class"), **value}, where=argument)
    if isinstance(value, nn.Module):
        given = [value]

        def make(*sizes: Any) -> nn.Module:
            if given:
                return given.pop()
            made = copy.deepcopy(value)
            if hasattr(made, "reset_parameters"):
                made.reset_parameters()  # type: ignore[operator]
            return made

        return make
    if callable(value):
        return typing.cast("Callable[..., Any]", value)
    raise TypeError(f"'{argument}' must be a name, a class, functools.partial or a part, got {value!r}")


def takes_arguments(cls: Any) -> bool:
    """Whether a class or a factory needs arguments.

    Args:
        cls: class or ``functools.partial``.

    Returns:
        whether one has no default.
    """
    taken = set(cls.keywords) if isinstance(cls, functools.partial) else set()
    known = _parameters(cls.func if isinstance(cls, functools.partial) else cls)
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return any(p.default is p.empty and p.kind not in several for name, p in known.items() if name not in taken)


_FILES: dict[str, Path] = {}
"""Modules that were run from files, by name."""


def _config(part: nn.Module) -> Mapping[str, Any] | None:
    """What a part says itself of how it is made."""
    if getattr(type(part), "config", None) is Described.config:
        return None
    config = getattr(part, "config", None)
    return config if isinstance(config, Mapping) else None


def _arguments(part: nn.Module, config: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Arguments of the constructor of a part, as plain values."""
    kept: Mapping[str, Any] = part.__dict__.get("_built_from", {})
    arguments: dict[str, Any] = {}
    for name, parameter in _parameters(type(part)).items():
        place = f"{where}.{name}"
        if name in kept:
            arguments[name] = kept[name]
        elif parameter.kind is parameter.VAR_KEYWORD:
            rest = {**{key: describe(config[key], place) for key in config if key not in arguments}, **kept}
            arguments |= {key: value for key, value in rest.items() if key not in arguments}
        elif name in config:
            arguments[name] = describe(config[name], place)
        elif name in dir(part):
            arguments[name] = describe(getattr(part, name), place)
        elif parameter.default is parameter.empty and parameter.kind is not parameter.VAR_POSITIONAL:
            raise TypeError(
                f"'{where}' must tell its arguments to be saved: {type(part).__name__} has no attribute '{name}'; "
                f"write self.{name} = {name} in its __init__, or give it a mapping 'config'"
            )
    return arguments


def _parameters(cls: Any) -> dict[str, inspect.Parameter]:
    if inspect.isclass(cls) and cls.__init__ is nn.Module.__init__:
        return {}
    parameters = dict(inspect.signature(cls.__init__ if inspect.isclass(cls) else cls).parameters)
    if inspect.isclass(cls):
        del parameters[next(iter(parameters))]  # self, whatever it is called
    return parameters


def _walk(description: Any) -> Iterator[dict[str, Any]]:
    if isinstance(description, Mapping):
        if "class" in description or "factory" in description:
            yield dict(description)
        for value in description.values():
            yield from _walk(value)
    elif isinstance(description, (list, tuple)):
        for value in description:
            yield from _walk(value)


def _build(description: Any, trust: Trust, where: str) -> Any:
    if isinstance(description, (list, tuple)):
        return [_build(item, trust, f"{where}[{index}]") for index, item in enumerate(description)]
    if not isinstance(description, Mapping):
        return description
    options = dict(description)
    name = options.pop("class", None)
    factory = options.pop("factory", None)
    if name is None and factory is None:
        return {key: _build(value, trust, f"{where}.{key}") for key, value in options.items()}
    found = _resolve(str(name or factory), trust)
    parameters = _parameters(found)
    _check_arguments(found, options, parameters, where)
    _check_numbers(found, options, where)
    made = {key: _build(_as_wanted(found, key, value), trust, f"{where}.{key}") for key, value in options.items()}
    several = [key for key, parameter in parameters.items() if parameter.kind is parameter.VAR_POSITIONAL]
    missing = [
        key
        for key, parameter in parameters.items()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        and key not in made
    ]
    if factory is not None or missing:
        return functools.partial(found, **made) if made else found
    positional = [item for key in several for item in made.pop(key, ())]
    try:
        part = found(*positional, **made)
    except (TypeError, ValueError, RuntimeError) as error:  # the last by torch, for example of a negative size
        raise ValueError(f"'{where}' must be a {found.__name__} that its arguments make, got: {error}") from error
    if isinstance(part, nn.Module) and ":" in str(name):
        part.__dict__["_built_from"] = options
    return part


def _check_numbers(cls: Any, options: Mapping[str, Any], where: str) -> None:
    """Refuse what is not the number that an argument is annotated as: torch would speak of its own functions."""
    for key, hint in _hints(cls).items():
        value = options.get(key)
        whole = not isinstance(value, float) or value.is_integer()
        if hint in (int, float) and (isinstance(value, str) or (hint is int and not whole)):
            kind = "a whole number" if hint is int else "a number"
            raise ValueError(f"'{where}.{key}' must be {kind}, as {cls.__name__} says, got {value!r}")


def _hints(cls: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(cls.__init__ if inspect.isclass(cls) else cls)
    except Exception:  # names for type checkers only, annotations that are no types: messages are poorer then
        return {}


def _as_wanted(cls: Any, argument: str, value: Any) -> Any:
    """A class for an argument that is annotated as a callable is a factory."""
    if not (isinstance(value, Mapping) and "class" in value):
        return value
    hint = _hints(cls).get(argument)
    members = (hint, *typing.get_args(hint))
    takes_parts = any(inspect.isclass(member) and issubclass(member, nn.Module) for member in members)
    if not takes_parts and any(typing.get_origin(member) is collections.abc.Callable for member in members):
        options = dict(value)
        return {"factory": options.pop("class"), **options}
    return value


def _check_arguments(cls: Any, options: Mapping[str, Any], known: Mapping[str, inspect.Parameter], where: str) -> None:
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values()):
        return
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ValueError(
            f"'{where}' must have arguments of {cls.__name__} ({', '.join(known) or 'none'}), got {', '.join(unknown)}"
        )


def _check_trusted(description: Any, trust: Trust) -> None:
    for name in foreign_names(description):
        if not any(_covers(entry, name) for entry in trust):
            place = name.partition(":")[0]
            raise ValueError(
                f"{name} is code that is not of this package: read it, and if you trust it pass --trust {place} (in "
                f"Python trust=[{place!r}])"
            )


def _covers(entry: str | type, name: str) -> bool:
    """Whether something that the user trusts is where a name comes from."""
    place, _, qualified = name.partition(":")
    if not isinstance(entry, str):
        return entry.__qualname__ == qualified and _stem(name_of(entry).partition(":")[0]) == _stem(place)
    entry = entry.partition(":")[0]
    return _stem(entry) == _stem(place) or (not place.endswith(".py") and place.startswith(entry + "."))


def _stem(place: str) -> str:
    """``my_net`` for ``folder/my_net.py`` and for the module ``my_net``."""
    return Path(place).stem if place.endswith(".py") else place


def _resolve(name: str, trust: Trust) -> Any:
    place, separator, qualified = name.rpartition(":")
    if not separator:
        from pyg_mpnn.models.parts import SHORT_NAMES

        found = SHORT_NAMES.get(name) or own_classes().get(name)
        if found is None:
            raise ValueError(
                f"{name!r} must be a class of this package ({', '.join(sorted(own_classes()))}), or a class of yours "
                "as package.module:Class or file.py:Class"
            )
        return found
    if place == "torch.nn":
        found = getattr(nn, qualified, None)
        if not (inspect.isclass(found) and issubclass(found, nn.Module)):
            raise ValueError(f"{name!r} must be a module of torch.nn, got no such class")
        return found
    _check_trusted({"class": name}, trust)
    entry = next(entry for entry in trust if _covers(entry, name))
    if not isinstance(entry, str):
        return entry
    file = entry.partition(":")[0]
    if file.endswith(".py"):
        module = import_file(file)
    else:
        with _current_folder():
            module = _import_module(_stem(place), name)
    found = _attribute(module, qualified, name)
    own = inspect.isclass(found) and found.__module__.split(".")[0] == module.__name__.split(".")[0]
    if not own and not (inspect.isclass(found) and own_classes().get(found.__name__) is found):
        raise ValueError(
            f"{name!r} must be a class that is written there, got {found!r}: what a trusted file imports is not trusted"
        )
    return found


def _import_module(module: str, name: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except Exception as error:
        raise ValueError(f"{name!r} must be importable, got {type(error).__name__}: {error}") from error


def _attribute(module: ModuleType, qualified: str, name: str) -> Any:
    found: Any = module
    for key in qualified.split("."):
        if not hasattr(found, key):
            raise ValueError(f"{name!r} must exist, got no '{key}' in {getattr(module, '__file__', module.__name__)}")
        found = getattr(found, key)
    return found


def _is_free(name: str) -> bool:
    return name.isidentifier() and name not in sys.modules and importlib.util.find_spec(name) is None


@contextlib.contextmanager
def _current_folder() -> Iterator[None]:
    """Modules of the working folder can be imported, as in ``python -m``."""
    sys.path.insert(0, str(Path.cwd()))
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(str(Path.cwd()))


def trust_of(names: Iterable[str]) -> list[str]:
    """Trust in what the user typed.

    Args:
        names: ``place:Class`` each.

    Returns:
        their places.
    """
    return [name.rpartition(":")[0] for name in names]
