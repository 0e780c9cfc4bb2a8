"""The parser of a command: flags as shells have them, help texts from docstrings."""

from __future__ import annotations

import argparse
import difflib
import inspect
import itertools
import json
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import jsonargparse
import yaml

_FILES = ("--data", "--test", "--replay")  # flags that take one file or several
_KINDS = {"float": "a number", "int": "a whole number", "bool": "true or false", "str": "a text"}
_ALIASES = {"--structure": "--structures", "--structures": "--structure"}  # one or many, by command: take either


class Help(jsonargparse.DefaultHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Help texts with their line breaks kept."""


class Parser(jsonargparse.ArgumentParser):
    """Flags as shells have them: ``--valid-size 50`` (hyphens), ``--resume`` (alone), ``--cutoff 3 5`` (a list).

    A flag is its whole name: a part of one would be taken for the first that begins with it.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, **kwargs})

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """What is wrong and where the flags are explained, without the usage of all of them, which would hide it.

        Args:
            message: what is wrong.
            ex: what was caught.
        """
        if not self.exit_on_error:
            super().error(message, ex)
        of = getattr(ex, "subcommand_parser", None) or self
        prog = of.prog.replace(" [options]", "")
        for wrong in re.findall(r"(?<=unrecognized arguments: )--[\w.-]+", message):
            if near := difflib.get_close_matches(wrong, [flag for a in of._actions for flag in a.option_strings], n=2):
                message += f"\nDid you mean {' or '.join(near)}?"
        if "does not accept option 'engine'" in message:
            command = "pyg-mpnn md --engine lammps --config FILE"
            message += f"\nIt is a flag and no setting of a file: take it out and type {command}"
        self.exit(2, f"{prog}: error: {_plainly(message)}\nAll flags: {prog} --help\n")

    def add_argument(self, *args: Any, **kwargs: Any) -> Any:
        if args and args[0].startswith("--") and not args[0].startswith("--print"):
            args = (args[0].replace("_", "-"), *args[1:])
        if kwargs.get("type") is bool and kwargs.get("default") is False:
            del kwargs["type"]
            kwargs["action"] = "store_true"
        elif kwargs.get("type") is bool and kwargs.get("default") is True:
            del kwargs["type"]
            kwargs["action"] = jsonargparse.ActionYesNo(no_prefix="no-")
        if args and args[0] in _ALIASES:
            args = (args[0], _ALIASES[args[0]])
        lists = {
            "--cutoff": float,
            "--temperature": float,
            "--only": str,
            "--trust": str,
            "--runs": str,
            "--axes": str,
            "--fix": str,
            "--freeze": str,
        }  # in place of the syntax of jsonargparse for lists
        if args and args[0] in lists and kwargs.get("type") is not float:
            given = {"type": lists[args[0]], "nargs": "+", "help": kwargs["help"]}
            if kwargs.get("required"):
                kwargs = {**given, "required": True}
            else:
                default = kwargs["default"]
                kwargs = {**given, "default": None if default is None else list(default)}
            args = args[:1]
        return super().add_argument(*args, **kwargs)


def _plainly(message: str) -> str:
    """What jsonargparse says of a value of simple kind, without the names of Python's types; all else as it is."""
    found = re.fullmatch(r'Parser key "([\w.]+)":\s*(.*?(?:Got|Given) value: (.*))', message.strip(), re.DOTALL)
    if found is None:
        return message
    key, text, value = found.groups()
    expected = re.findall(r"Expected an? (?:typing\.Literal\[(.*?)\]|<class '(\w+)'>)", text)
    wanted = [f"one of {choices.replace(chr(39), '')}" if choices else _KINDS.get(kind) for choices, kind in expected]
    wanted = [words for words, (_, kind) in zip(wanted, expected, strict=True) if kind != "NoneType"]
    if not wanted or None in wanted or len(expected) != text.count("Expected a"):
        return message
    return f"'{key}' must be {' or '.join(map(str, wanted))}, got {value!r} (--{key.replace('_', '-')})"


def parser_of(
    function: Callable[..., Any], settings: type | None = None, positional: bool = False
) -> jsonargparse.ArgumentParser:
    """The parser of a command.

    Args:
        function: What the command calls; its docstring is the help text, its arguments are the flags.
        settings: Class whose fields are the flags, where the function takes one of it.
        positional: Whether arguments without a default are given by their place.

    Returns:
        The parser.
    """
    text = (inspect.getdoc(function) or "").split("\n\nArgs:", 1)[0]
    parser = Parser(description=text, formatter_class=Help)
    parser.add_argument("--config", action="config", help="Settings to start from: YAML, JSON, or a settings.json.")
    if settings is None:
        parser.add_function_arguments(function, as_group=False, as_positional=positional)
    else:
        parser.add_class_arguments(settings, as_group=False)
    return parser


def join_files(words: Sequence[str]) -> list[str]:
    """Arguments in which several files after a flag of files (``--data``) are one list, as the parser takes it.

    Args:
        words: the arguments as the shell gave them.

    Returns:
        the same with ``a b`` after these flags as ``["a", "b"]``.

    Example:
        >>> join_files(["train", "--data", "a.xyz", "b.xyz", "--out", "run"])
        ['train', '--data', '["a.xyz", "b.xyz"]', '--out', 'run']
    """
    groups: list[list[str]] = [[]]
    for word in words:
        if word.startswith("--"):
            groups.append([])
        flag, equals, value = word.partition("=")
        groups[-1] += [flag, value] if equals and flag in _FILES else [word]
    joined = [[g[0], json.dumps(g[1:])] if len(g) > 2 and g[0] in _FILES else g for g in groups]
    return [word for group in joined for word in group]


def check_keys(words: Sequence[str]) -> None:
    """Refuse settings with a key that is there twice, of which YAML and JSON silently take the last.

    Refused as well is what cannot be looked through: a file that is no text, a value that holds itself.

    Args:
        words: the arguments as the shell gave them: files after ``--config``, and mappings after any flag.

    Raises:
        ValueError: such a key, file or value.

    Example:
        >>> check_keys(["train", "--outputs", '{"gap": "ScalarOutput", "gap": "ScalarOutput"}'])
        Traceback (most recent call last):
        ValueError: 'gap' must be given once, got it twice in the value of --outputs
    """
    for word, following in itertools.pairwise([*words, ""]):
        flag, equals, value = word.partition("=")
        text = value if equals else following
        where = f"the value of {flag}"
        if flag == "--config" and os.path.isfile(text):  # which takes settings in place of a file for no name
            text, where = _text(Path(text)), text
        elif not (flag.startswith("--") and text.startswith("{")):
            continue
        try:
            _check_node(yaml.compose(text, yaml.SafeLoader), where)
        except yaml.YAMLError:
            continue  # told by whoever reads it
        except RecursionError:
            raise ValueError(f"{where} must be of finite depth, got lists or mappings without an end") from None


def _text(file: Path) -> str:
    """The settings of a file, decoded as whoever reads them after this decodes them."""
    try:
        return file.read_text()
    except UnicodeDecodeError as error:
        raise ValueError(
            f"'config' must be a text file in {error.encoding}, got {file} with the byte "
            f"{error.object[error.start]:#04x} at place {error.start}: is it a file of settings? If so, save it as "
            f"{error.encoding}"
        ) from error


def _check_node(node: yaml.Node | None, where: str) -> None:
    if not isinstance(node, (yaml.MappingNode, yaml.SequenceNode)):
        return
    if isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise ValueError(f"'{key}' must be given once, got it twice in {where}")
    for child in node.value:
        for part in child if isinstance(child, tuple) else (child,):
            _check_node(part, where)


def join_composition(words: Sequence[str], flag: str = "--model") -> list[str]:
    """Arguments in which parts and their own arguments are one value, as the settings take it.

    ``--model X`` becomes ``--model.class X``, and ``--model.basis X --model.basis.degree 12`` the value
    ``{"class": "X", "degree": 12}`` of ``--model.basis``.

    Args:
        words: the arguments as the shell gave them.
        flag: the flag of the composition.

    Returns:
        the same with one word for each argument of the composition.

    Raises:
        ValueError: an argument without a value, or one that is given twice.

    Example:
        >>> join_composition("train --model net.py:Net --model.basis net.py:B --model.basis.degree 12".split())
        ['train', '--model.class=net.py:Net', '--model.basis={"class": "net.py:B", "degree": 12}']
    """
    others: list[str] = []
    tree: dict[str, Any] = {}
    seen: set[str] = set()
    waiting = list(words)
    while waiting:
        word = waiting.pop(0)
        name, equals, value = word.partition("=")
        if name != flag and not name.startswith(f"{flag}."):
            others.append(word)
            continue
        if not equals:
            if not waiting or waiting[0].startswith("--"):
                raise ValueError(f"'{name}' must have a value, got none")
            value = waiting.pop(0)
        path = name.removeprefix(flag).lstrip(".").replace("-", "_").split(".") if name != flag else []
        if not path and value.startswith("{"):
            others += [flag, value]
            continue
        if name in seen:
            raise ValueError(f"'{name}' must be given once, got it twice")
        seen.add(name)
        _insert(tree, path or ["class"], value)
    return [*others, *(f"{flag}.{key}={_word(value)}" for key, value in tree.items())]


def _insert(tree: dict[str, Any], path: Sequence[str], value: str) -> None:
    """Put a value into nested mappings, in which a name of a part that has arguments is its class."""
    for key in path[:-1]:
        inner = tree.get(key, {})
        tree[key] = inner if isinstance(inner, dict) else {"class": inner}
        tree = tree[key]
    last = tree.get(path[-1])
    try:
        read = value if path[-1] == "class" else yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ValueError(f"'{path[-1]}' must be a YAML value, got {value!r}: {error}") from error
    if isinstance(last, dict) and not isinstance(read, dict):  # its arguments came first
        last["class"] = value
    else:
        tree[path[-1]] = read


def _word(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
