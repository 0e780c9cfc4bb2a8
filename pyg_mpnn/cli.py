"""The commands of ``pyg-mpnn``: ``inspect``, ``train``, ``evaluate``, ``predict``, ``md`` and the others."""

from __future__ import annotations

import argparse
import functools
import importlib
import inspect
import json as json_format
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

try:
    import jsonargparse
except ImportError as error:
    raise ImportError(
        'The command pyg-mpnn needs jsonargparse, which is not installed: pip install "pyg_mpnn[train]".'
    ) from error

from pyg_mpnn.deploy import CompilationError, keep_freed_memory
from pyg_mpnn.inspect import Inspection
from pyg_mpnn.models import Potential, SumPotential, load_potential
from pyg_mpnn.testing import Report
from pyg_mpnn.training import Errors, TrainingSettings, evaluate, train, train_property
from pyg_mpnn.training.ablation import AblationSettings, ablate
from pyg_mpnn.training.table import error_table

_EPILOG = """examples:
  pyg-mpnn inspect --data ethanol --test ethanol
  pyg-mpnn train --data ethanol --test ethanol --out run --minutes 5
  pyg-mpnn evaluate --model run/best.ckpt --data ethanol
  pyg-mpnn md --model run/best.ckpt --structure ethanol --steps 2000 --timestep 0.5 --temperature 300 --out run/md
  pyg-mpnn predict --model run/best.ckpt --structures ethanol --out predicted.xyz
  pyg-mpnn relax --model run/best.ckpt --structure ethanol --out run/relaxed
  pyg-mpnn vib --model run/best.ckpt --structure ethanol --relax --out run/vib
  pyg-mpnn check --model run/best.ckpt --picture scan.png
  pyg-mpnn ablate --data ethanol --only attention l_max --minutes 3 --out blocks
"""
_FILES = ("--data", "--test")  # flags that take one file or several
_BROKEN = 3  # exit code of a check that found a broken law
_NOT_CONVERGED = 3  # exit code of a relaxation that gave up


class _Help(jsonargparse.DefaultHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Help texts with their line breaks kept."""


class _Parser(jsonargparse.ArgumentParser):
    """Flags as shells have them: ``--valid-size 50`` (hyphens), ``--resume`` (alone), ``--cutoff 3 5`` (a list)."""

    def add_argument(self, *args: Any, **kwargs: Any) -> Any:
        if args and args[0].startswith("--") and not args[0].startswith("--print"):
            args = (args[0].replace("_", "-"), *args[1:])
        if kwargs.get("type") is bool and kwargs.get("default") is False:
            del kwargs["type"]
            kwargs["action"] = "store_true"
        lists = {"--cutoff": float, "--only": str}  # in place of the syntax of jsonargparse for lists
        if args and args[0] in lists and kwargs.get("type") is not float:
            default = kwargs["default"]
            default = None if default is None else list(default)
            kwargs = {"type": lists[args[0]], "nargs": "+", "default": default, "help": kwargs["help"]}
            args = args[:1]
        return super().add_argument(*args, **kwargs)


def evaluate_command(
    model: str,
    data: Sequence[str] | str,
    json: str | None = None,
    batch_size: int = 32,
    batch_atoms: int | None = None,
    batch_edges: int | None = None,
    device: Literal["cpu", "cuda"] = "cpu",
    threads: int | None = None,
    compile: Literal["auto", "on", "off"] = "off",
) -> Errors:
    """Print the errors of a trained potential on a set of structures.

    Args:
        model: Checkpoint of a training (best.ckpt) or saved potential.
        data: File or files of structures with energies and forces: an rMD17/MD17 npz or anything that ASE reads. The
            word ``ethanol`` means the shipped test structures.
        json: File to write the errors to, as numbers in meV and A.
        batch_size: Structures per batch; it changes the speed and the memory, not the result.
        batch_atoms: Atoms per batch at most, in place of the number of structures.
        batch_edges: Edges per batch at most, in place of the number of structures.
        device: Where to compute.
        threads: Number of CPU threads; PyTorch decides without it.
        compile: Compile energies and forces, which takes a minute or more once and then is kept: for many structures.
            It needs one CPU thread and a C++ compiler; ``auto`` warns where they are missing, ``on`` raises.

    Returns:
        The errors.

    Units:
        meV, meV/A, meV/A^3 and GPa.
    """
    if compile != "off" and threads is None:
        threads = 1
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    potential = load_potential(model).to(device).compile(compile)
    sizes = {"batch_size": batch_size, "batch_atoms": batch_atoms, "batch_edges": batch_edges}
    errors = evaluate(potential, data, **sizes)  # type: ignore[arg-type]
    print(f"Errors on {errors.n_structures} structures\n\n{error_table({'error': errors})}")
    if json is not None:
        Path(json).parent.mkdir(parents=True, exist_ok=True)
        Path(json).write_text(json_format.dumps(errors.summary(), indent=2) + "\n")
        print(f"\nWritten to {json}")
    return errors


def check_command(
    model: str,
    structures: str = "ethanol",
    count: int = 2,
    dtype: Literal["float64", "float32"] = "float64",
    cutoff: list[float] | None = None,
    json: str | None = None,
    picture: str | None = None,
    threads: int | None = None,
) -> Report:
    """Hold a potential to the laws of physics; the exit code is 0 if all hold and 3 if one is broken.

    Args:
        model: Checkpoint of a training (best.ckpt), saved potential, or a Python object as ``package.module:name`` or
            ``file.py:name``: a model, or a class or function without arguments that makes one.
        structures: File of structures that the model knows, in any format that training reads; labels are not needed.
            The word ``ethanol`` means the shipped structures.
        count: Number of structures to use, evenly spaced in the file.
        dtype: Precision to check in.
        cutoff: Cutoff radii of the model, in A; its own attribute ``cutoff`` or ``cutoffs`` without it.
        json: File to write the report to.
        picture: File to draw energy and force along a bond scan to, for example scan.png.
        threads: Number of CPU threads; PyTorch decides without it.

    Returns:
        The report.

    Units:
        eV, A.
    """
    import torch
    from tqdm import tqdm

    from pyg_mpnn.data import ethanol, read_structures
    from pyg_mpnn.testing import LAWS, bond_scan, check_potential, draw_scan

    if count < 1:
        raise ValueError(f"'count' must be at least 1, got {count}")
    if threads is not None:
        torch.set_num_threads(threads)
    potential = load_model(model)
    frames = ethanol("test") if structures == "ethanol" else read_structures(structures, energy=False, forces=False)
    frames = frames[:: max(1, len(frames) // count)][:count]
    adapter: dict[str, Any] = {"cutoff": cutoff, "dtype": getattr(torch, dtype), "name": model}
    if isinstance(potential, Potential | SumPotential) and potential.config is not None:
        adapter["rebuild"] = functools.partial(type(potential).from_config, potential.config)
    with tqdm(total=len(LAWS), unit="law", leave=False, disable=not sys.stderr.isatty()) as bar:

        def progress(name: str) -> None:
            bar.set_description(name)
            bar.update()

        report = check_potential(potential, frames, progress=progress, **adapter)
    print(report)
    for name in report.failed if not report.errors else ():
        print(f"  {report.results[name]}")
    for path in filter(None, (json, picture)):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    if json is not None:
        Path(json).write_text(report.to_json() + "\n")
        print(f"Written to {json}")
    if picture is not None:
        try:
            draw_scan(bond_scan(potential, frames, **adapter), picture, title=model)
            print(f"Drawn to {picture}")
        except Exception as error:  # the verdict stands whatever the model does on the scan
            print(f"Not drawn: {error}")
    return report


def inspect_command(
    data: Sequence[str] | str,
    test: Sequence[str] | str | None = None,
    cutoff: list[float] | None = None,
    size: Literal["small", "base", "large"] = "base",
    batch_size: int = 8,
    steps: int = 5,
    json: str | None = None,
    threads: int | None = None,
) -> Inspection:
    """Look at structures before training on them: units, signs, outliers, duplicates, neighbours, training time.

    Each check ends in ok, note (worth knowing; also where the data cannot tell) or warning (likely wrong). Nothing is
    changed. The exit code is 0 whatever is found, and 1 only if the structures cannot be read.

    Args:
        data: File or files with the structures to learn from: an rMD17/MD17 npz, or anything that ASE reads. The word
            ``ethanol`` means the shipped sample.
        test: File or files with the structures for the test, to look for those that are in both; ``ethanol`` means the
            shipped test structures.
        cutoff: Distance in A up to which two atoms are neighbours, as for train; 5 without it.
        size: Size of the potential whose training is timed.
        batch_size: Structures per step of that training.
        steps: Steps of training to time, in at most about 10 seconds; 0 leaves that out.
        json: File to write the findings to, with all numbers.
        threads: Number of CPU threads; PyTorch decides without it.

    Returns:
        The findings.

    Units:
        A and eV, as which the files are read (an MD17 npz is converted from kcal/mol).
    """
    from tqdm import tqdm

    from pyg_mpnn.inspect import inspect_frames, load_labelled

    if steps < 0:
        raise ValueError(f"'steps' must not be negative, got {steps}")
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    frames = load_labelled(data)
    held_out = [] if test is None else load_labelled(test, "test")
    with tqdm(unit="check", leave=False, disable=not sys.stderr.isatty()) as bar:

        def progress(name: str) -> None:
            bar.set_description(name)
            bar.update()

        options: dict[str, Any] = {"size": size, "batch_size": batch_size, "steps": steps, "progress": progress}
        found = inspect_frames(frames, held_out, cutoff=cutoff or 5.0, **options)
    print(found)
    if json is not None:
        Path(json).parent.mkdir(parents=True, exist_ok=True)
        Path(json).write_text(found.to_json() + "\n")
        print(f"Written to {json}")
    return found


def load_model(model: str) -> Any:
    """A potential from a file, or any model from Python code.

    Args:
        model: checkpoint or saved potential, or ``package.module:name`` or ``file.py:name``.

    Returns:
        the model; a class or a function without arguments is called to make it.

    Raises:
        ValueError: there is no such file or name.
    """
    place, separator, name = model.rpartition(":")
    if not separator or Path(model).exists():
        return load_potential(model)
    try:
        file = Path(place).resolve() if place.endswith(".py") else None
        sys.path.insert(0, os.getcwd() if file is None else str(file.parent))
        found = getattr(importlib.import_module(place if file is None else file.stem), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"'model' must name a Python object that exists, got {model!r}: {error}") from error
    makes = inspect.isclass(found) or (inspect.isfunction(found) and not inspect.signature(found).parameters)
    return found() if makes else found


def make_parser() -> jsonargparse.ArgumentParser:
    """The parser of all commands; the help texts are the docstrings of what they call."""
    from pyg_mpnn.md import run_dynamics, run_prediction, run_relaxation, run_vibrations

    parser = _Parser(
        prog="pyg-mpnn",
        description="Train, test and run machine-learned interatomic potentials. Energies in eV, lengths in A.",
        epilog=_EPILOG,
        formatter_class=_Help,
    )
    commands = parser.add_subcommands(required=True)
    commands.add_subcommand("inspect", _parser_of(inspect_command), help="look at structures before training on them")
    commands.add_subcommand("train", _train_parser(), help="learn a potential from structures with energies and forces")
    commands.add_subcommand("evaluate", _parser_of(evaluate_command), help="errors of a trained potential")
    commands.add_subcommand("check", _parser_of(check_command), help="hold a potential to the laws of physics")
    commands.add_subcommand("md", _parser_of(run_dynamics), help="molecular dynamics with a trained potential")
    commands.add_subcommand(
        "predict", _parser_of(run_prediction), help="energies and forces of structures, into a file"
    )
    commands.add_subcommand("relax", _parser_of(run_relaxation), help="atoms, and the cell, to the nearest minimum")
    commands.add_subcommand("vib", _parser_of(run_vibrations), help="vibrations from the exact Hessian")
    commands.add_subcommand("ablate", _ablate_parser(), help="which building block pays on given structures")
    return parser


def _train_parser() -> jsonargparse.ArgumentParser:
    parser = _Parser(description="Train a potential, test it, and write checkpoints, pictures and a model card.")
    parser.add_argument(
        "--config", action="config", help="Settings to start from: YAML, or settings.json of a training."
    )
    parser.add_class_arguments(TrainingSettings, as_group=False)
    return parser


def _ablate_parser() -> jsonargparse.ArgumentParser:
    parser = _Parser(description="Train variants of a potential for equal minutes: which building block pays?")
    parser.add_argument("--config", action="config", help="Settings to start from, YAML or JSON.")
    parser.add_class_arguments(AblationSettings, as_group=False)
    return parser


def _parser_of(function: Callable[..., Any]) -> jsonargparse.ArgumentParser:
    teaching = (inspect.getdoc(function) or "").split("\n\nArgs:", 1)[0]
    parser = _Parser(description=teaching, formatter_class=_Help)
    parser.add_argument("--config", action="config", help="Settings to start from, YAML or JSON.")
    parser.add_function_arguments(function, as_group=False)
    return parser


def join_files(words: Sequence[str]) -> list[str]:
    """Arguments in which several files after ``--data`` or ``--test`` are one list, as the parser takes it.

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
        groups[-1].append(word)
    joined = [[g[0], json_format.dumps(g[1:])] if len(g) > 2 and g[0] in _FILES else g for g in groups]
    return [word for group in joined for word in group]


def run_command(arguments: Sequence[str] | None = None) -> int:
    """Parse the arguments and run the command.

    Args:
        arguments: The command and its flags; those of the process without it.

    Returns:
        The exit code.
    """
    from pyg_mpnn.md import run_dynamics, run_prediction, run_relaxation, run_vibrations

    parsed = make_parser().parse_args(join_files(sys.argv[1:] if arguments is None else arguments))
    values = parsed[parsed.subcommand].as_dict()
    values.pop("config", None)
    keep_freed_memory()
    if parsed.subcommand == "train":
        settings = TrainingSettings(**values)
        train(settings) if settings.target is None else train_property(settings)
    elif parsed.subcommand == "inspect":
        inspect_command(**values)
    elif parsed.subcommand == "ablate":
        ablate(AblationSettings(**values))
    elif parsed.subcommand == "evaluate":
        evaluate_command(**values)
    elif parsed.subcommand == "check":
        return 0 if check_command(**values).passed else _BROKEN
    elif parsed.subcommand == "predict":
        run_prediction(**values)
    elif parsed.subcommand == "relax":
        return 0 if run_relaxation(**values).converged else _NOT_CONVERGED
    elif parsed.subcommand == "vib":
        run_vibrations(**values)
    else:
        run_dynamics(**values)
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The entry point: run a command, and turn errors of the user into one line.

    Args:
        arguments: The command and its flags; those of the process without it.

    Returns:
        The exit code.
    """
    try:
        return run_command(arguments)
    except KeyboardInterrupt:
        print(
            "\npyg-mpnn: interrupted; a training continues with the same command and --resume, an ablation without it",
            file=sys.stderr,
        )
        return 130
    except (ValueError, TypeError, OSError, ImportError, ArithmeticError, CompilationError) as error:
        if os.environ.get("PYG_MPNN_TRACEBACK"):
            raise
        print(f"pyg-mpnn: error: {error}\n(PYG_MPNN_TRACEBACK=1 shows where it came from)", file=sys.stderr)
        return 1
