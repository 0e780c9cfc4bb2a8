"""All commands: a table, their parser, and what runs them. Only the code of the chosen one is imported."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Collection, Sequence
from importlib import import_module
from typing import Any, NamedTuple, TextIO, cast

import jsonargparse

from pyg_mpnn.cli.parser import Help, Parser, check_keys, join_composition, join_files, parser_of
from pyg_mpnn.cli.stderr import Forgiving

_EPILOG = """examples:
  pyg-mpnn convert OUTCAR data.xyz
  pyg-mpnn inspect --data ethanol --test ethanol
  pyg-mpnn train --data ethanol --test ethanol --out run --minutes 5
  pyg-mpnn evaluate --model run/best.ckpt --data ethanol
  pyg-mpnn md --model run/best.ckpt --structure ethanol --steps 2000 --timestep 0.5 --temperature 300 --out run/md
  pyg-mpnn md --engine lammps --ranks 2 --model run/best.ckpt --structure big.xyz --out run/lammps
  pyg-mpnn predict --model run/best.ckpt --structures ethanol --out predicted.xyz
  pyg-mpnn relax --model run/best.ckpt --structure ethanol --out run/relaxed
  pyg-mpnn vib --model run/best.ckpt --structure ethanol --relax --out run/vib
  pyg-mpnn check --model run/best.ckpt --picture scan.png
  pyg-mpnn learn --teacher ase.calculators.emt:EMT --structures copper.xyz --out student --minutes 20
  pyg-mpnn distill --teacher run/best.ckpt --structures ethanol --sample 1000 --size small --out fast
  pyg-mpnn calibrate --runs run --out run/uncertain.pt --test ethanol
  pyg-mpnn train --data ethanol --model my_net.py:MyNet --model.width 64 --out own
  pyg-mpnn evaluate --model own/best.ckpt --data ethanol --trust my_net.py
  pyg-mpnn export --model run/best.ckpt --out potential.pt2
  pyg-mpnn ablate --data ethanol --only attention l_max --minutes 3 --out blocks
"""
_ENGINES = {"ase": "md", "lammps": "lammps"}  # of md --engine, and the command that runs each
_NOT_RUN = 1  # exit code of a check of a model that does not run
_BROKEN = 3  # exit code of a check that found a broken law
_NOT_REACHED = 3  # exit code of a run of learning that ended above its target
_NOT_CONVERGED = 3  # exit code of a relaxation that gave up


class Command(NamedTuple):
    """What a command says of itself, and where the function is that it calls, as ``module:name``.

    The arguments of the function are the flags, or the fields of ``settings`` if it takes those in one object; where
    ``positional`` says so, those without a default are given by their place. Each flag of ``compositions`` takes a part
    by its name, and arguments of the part below it (``--model.basis.degree 12``).
    """

    help: str
    function: str
    settings: str | None = None
    exit_code: Callable[[Any], int] = lambda result: 0
    positional: bool = False
    compositions: tuple[str, ...] = ()


COMMANDS = {
    "convert": Command(
        "structures of any format to extended XYZ or an ASE database",
        "pyg_mpnn.cli.convert:convert_command",
        positional=True,
    ),
    "inspect": Command("look at structures before training on them", "pyg_mpnn.cli.inspection:inspect_command"),
    "train": Command(
        "learn a potential from structures with energies and forces",
        "pyg_mpnn.cli.train:train_command",
        settings="pyg_mpnn.training:TrainingSettings",
        compositions=("--model", "--outputs"),
    ),
    "learn": Command(
        "from a teacher (any ASE calculator) and a structure to a certified potential",
        "pyg_mpnn.cli.learn:learn_command",
        settings="pyg_mpnn.learning:LearnSettings",
        compositions=("--model", "--teacher"),
        exit_code=lambda result: 0 if result.reached else _NOT_REACHED,
    ),
    "distill": Command(
        "a fast student of a teacher (a trained potential, or any ASE calculator)",
        "pyg_mpnn.cli.distill:distill_command",
        settings="pyg_mpnn.learning:DistillSettings",
        compositions=("--model", "--teacher", "--training"),
    ),
    "evaluate": Command("errors of a trained potential", "pyg_mpnn.cli.evaluate:evaluate_command"),
    "calibrate": Command("error bars for one training or a committee", "pyg_mpnn.cli.calibrate:calibrate_command"),
    "check": Command(
        "hold a potential to the laws of physics",
        "pyg_mpnn.cli.check:check_command",
        exit_code=lambda report: 0 if report.passed else _NOT_RUN if report.errors else _BROKEN,
    ),
    "md": Command("molecular dynamics with a trained potential", "pyg_mpnn.md:run_dynamics"),
    "lammps": Command(
        "the same in LAMMPS, in several processes (or md --engine lammps)", "pyg_mpnn.engines:run_lammps_dynamics"
    ),
    "predict": Command("energies and forces of structures, into a file", "pyg_mpnn.md:run_prediction"),
    "relax": Command(
        "atoms, and the cell, to the nearest minimum",
        "pyg_mpnn.md:run_relaxation",
        exit_code=lambda relaxation: 0 if relaxation.converged else _NOT_CONVERGED,
    ),
    "vib": Command("vibrations from the exact Hessian", "pyg_mpnn.md:run_vibrations"),
    "export": Command("a file that runs without this package", "pyg_mpnn.cli.export:export_command"),
    "ablate": Command(
        "which building block pays on given structures",
        "pyg_mpnn.training.ablation:ablate",
        settings="pyg_mpnn.training.ablation:AblationSettings",
        compositions=("--model",),
    ),
}
"""All commands by name, in the order of the help."""


def _load(place: str) -> Any:
    module, name = place.split(":")
    return getattr(import_module(module), name)


def make_parser(with_flags: Collection[str] = tuple(COMMANDS)) -> jsonargparse.ArgumentParser:
    """The parser of all commands; the help texts are the docstrings of what they call.

    Args:
        with_flags: Commands that get their flags, for which their code is imported; the others have a name and one
            line of help.

    Returns:
        The parser.
    """
    parser = Parser(
        prog="pyg-mpnn",
        description="Train, test and run machine-learned interatomic potentials. Energies in eV, lengths in A.",
        epilog=_EPILOG,
        formatter_class=Help,
    )
    commands = parser.add_subcommands(required=True)
    for name, command in COMMANDS.items():
        if name not in with_flags:
            commands.add_subcommand(name, Parser(), help=command.help)
            continue
        settings = None if command.settings is None else _load(command.settings)
        commands.add_subcommand(
            name, parser_of(_load(command.function), settings, command.positional), help=command.help
        )
    return parser


def parse_command(arguments: Sequence[str]) -> jsonargparse.Namespace:
    """Parse a command as a shell gives it.

    Args:
        arguments: The command and its flags.

    Returns:
        The command as ``subcommand``, and its values under that name.

    Raises:
        ValueError: An engine that no command runs.
    """
    check_keys(arguments)
    words = join_files(_follow_engine(arguments))
    for flag in COMMANDS[words[0]].compositions if words[:1] and words[0] in COMMANDS else ():
        words = join_composition(words, flag)
    return make_parser(words[:1]).parse_args(words)


def _follow_engine(words: Sequence[str]) -> list[str]:
    """``md --engine lammps`` is the command ``lammps``: one parser, which refuses what that engine does not take."""
    if words[:1] != ["md"]:
        return list(words)
    flag = argparse.ArgumentParser(prog="pyg-mpnn md", usage=argparse.SUPPRESS, add_help=False, allow_abbrev=False)
    flag.add_argument("--engine", default="ase")
    found, others = flag.parse_known_args(words[1:])
    if found.engine not in _ENGINES:
        raise ValueError(
            f"'engine' must be one of {', '.join(_ENGINES)}, got {found.engine}: OpenMM, i-PI, TorchSim and metatomic "
            "are run from Python, see docs/engines.md"
        )
    return [_ENGINES[found.engine], *others]


def run_command(arguments: Sequence[str] | None = None) -> int:
    """Parse the arguments and run the command.

    Args:
        arguments: The command and its flags; those of the process without it.

    Returns:
        The exit code.
    """
    parsed = parse_command(sys.argv[1:] if arguments is None else arguments)
    values = parsed[parsed.subcommand].as_dict()
    values.pop("config", None)

    from pyg_mpnn.deploy import keep_freed_memory

    keep_freed_memory()
    command = COMMANDS[parsed.subcommand]
    function = _load(command.function)
    result = function(_load(command.settings)(**values)) if command.settings else function(**values)
    return command.exit_code(result)


def main(arguments: Sequence[str] | None = None) -> int:
    """The entry point: run a command, and turn errors of the user into one line.

    Args:
        arguments: The command and its flags; those of the process without it.

    Returns:
        The exit code.
    """
    try:
        with contextlib.redirect_stderr(cast(TextIO, Forgiving(sys.stderr))):
            return run_command(arguments)
    except KeyboardInterrupt:
        print(
            "\npyg-mpnn: interrupted; a training, md, learn or distill continues with the same command and --resume, "
            "an ablation without it",
            file=sys.stderr,
        )
        return 130
    except Exception as error:
        if os.environ.get("PYG_MPNN_TRACEBACK"):
            raise
        print(f"pyg-mpnn: error: {_told(error)}\n(PYG_MPNN_TRACEBACK=1 shows where it came from)", file=sys.stderr)
        return 1


def _told(error: Exception) -> str:
    """What to say of an error: those that no check has foreseen with their kind, which says more than their text."""
    from pyg_mpnn.deploy import CompilationError

    if isinstance(error, MemoryError):
        return f"not enough memory ({error}): use a smaller --batch-size, or fewer atoms"
    foreseen = (ValueError, TypeError, OSError, ImportError, ArithmeticError, CompilationError)
    if isinstance(error, foreseen):
        return str(error)
    return (
        f"{type(error).__name__}: {error}\nNo check of pyg_mpnn has foreseen this: please report it with its traceback"
    )
