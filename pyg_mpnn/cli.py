"""The commands: ``pyg-mpnn train``, ``pyg-mpnn evaluate``, ``pyg-mpnn md``."""

from __future__ import annotations

import argparse
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

from pyg_mpnn.training import Errors, TrainingSettings, evaluate, train
from pyg_mpnn.training.table import error_table

_EPILOG = """examples:
  pyg-mpnn train --data ethanol --test ethanol --out run --minutes 5
  pyg-mpnn evaluate --model run/best.ckpt --data ethanol
  pyg-mpnn md --model run/best.ckpt --structure ethanol --steps 2000 --timestep 0.5 --temperature 300 --out run/md
"""


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
        if args[:1] == ("--cutoff",):  # in place of the syntax of jsonargparse for lists
            args = args[:1]
            kwargs = {"type": float, "nargs": "+", "default": list(kwargs["default"]), "help": kwargs["help"]}
        return super().add_argument(*args, **kwargs)


def evaluate_command(
    model: str,
    data: str,
    json: str | None = None,
    batch_size: int = 32,
    device: Literal["cpu", "cuda"] = "cpu",
    threads: int | None = None,
) -> Errors:
    """Print the errors of a trained potential on a set of structures.

    Args:
        model: Checkpoint of a training (best.ckpt) or saved potential.
        data: File of structures with energies and forces: an rMD17/MD17 npz or anything that ASE reads. The word
            ``ethanol`` means the shipped test structures.
        json: File to write the errors to, as numbers in meV and A.
        batch_size: Structures per batch; it changes the speed and the memory, not the result.
        device: Where to compute.
        threads: Number of CPU threads; PyTorch decides without it.

    Returns:
        The errors.

    Units:
        meV, meV/A, meV/A^3.
    """
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    errors = evaluate(model, data, batch_size=batch_size, device=device)
    print(f"Errors on {errors.n_structures} structures\n\n{error_table({'error': errors})}")
    if json is not None:
        Path(json).parent.mkdir(parents=True, exist_ok=True)
        Path(json).write_text(json_format.dumps(errors.summary(), indent=2) + "\n")
        print(f"\nWritten to {json}")
    return errors


def make_parser() -> jsonargparse.ArgumentParser:
    """The parser of all commands; the help texts are the docstrings of what they call."""
    from pyg_mpnn.md import run_dynamics

    parser = _Parser(
        prog="pyg-mpnn",
        description="Train, test and run machine-learned interatomic potentials. Energies in eV, lengths in A.",
        epilog=_EPILOG,
        formatter_class=_Help,
    )
    commands = parser.add_subcommands(required=True)
    commands.add_subcommand("train", _train_parser(), help="learn a potential from structures with energies and forces")
    commands.add_subcommand("evaluate", _parser_of(evaluate_command), help="errors of a trained potential")
    commands.add_subcommand("md", _parser_of(run_dynamics), help="molecular dynamics with a trained potential")
    return parser


def _train_parser() -> jsonargparse.ArgumentParser:
    parser = _Parser(description="Train a potential, test it, and write checkpoints, pictures and a model card.")
    parser.add_argument(
        "--config", action="config", help="Settings to start from: YAML, or settings.json of a training."
    )
    parser.add_class_arguments(TrainingSettings, as_group=False)
    return parser


def _parser_of(function: Callable[..., Any]) -> jsonargparse.ArgumentParser:
    parser = _Parser(description=(function.__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--config", action="config", help="Settings to start from, YAML or JSON.")
    parser.add_function_arguments(function, as_group=False)
    return parser


def run_command(arguments: Sequence[str] | None = None) -> None:
    """Parse the arguments and run the command.

    Args:
        arguments: The command and its flags; those of the process without it.
    """
    from pyg_mpnn.md import run_dynamics

    parsed = make_parser().parse_args(arguments)
    values = parsed[parsed.subcommand].as_dict()
    values.pop("config", None)
    if parsed.subcommand == "train":
        train(TrainingSettings(**values))
    elif parsed.subcommand == "evaluate":
        evaluate_command(**values)
    else:
        run_dynamics(**values)


def main(arguments: Sequence[str] | None = None) -> int:
    """The entry point: run a command, and turn errors of the user into one line.

    Args:
        arguments: The command and its flags; those of the process without it.

    Returns:
        The exit code.
    """
    try:
        run_command(arguments)
    except KeyboardInterrupt:
        print("\npyg-mpnn: interrupted; a training continues with the same command and --resume", file=sys.stderr)
        return 130
    except (ValueError, TypeError, OSError, ImportError, ArithmeticError) as error:
        if os.environ.get("PYG_MPNN_TRACEBACK"):
            raise
        print(f"pyg-mpnn: error: {error}\n(PYG_MPNN_TRACEBACK=1 shows where it came from)", file=sys.stderr)
        return 1
    return 0
