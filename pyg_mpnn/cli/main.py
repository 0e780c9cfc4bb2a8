"""All commands: their parser, and what runs them."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import jsonargparse

from pyg_mpnn.cli.check import check_command
from pyg_mpnn.cli.evaluate import evaluate_command
from pyg_mpnn.cli.export import export_command
from pyg_mpnn.cli.inspect import inspect_command
from pyg_mpnn.cli.parser import Help, Parser, join_composition, join_files, parser_of
from pyg_mpnn.deploy import CompilationError, keep_freed_memory
from pyg_mpnn.training import TrainingSettings, train
from pyg_mpnn.training.ablation import AblationSettings, ablate

_EPILOG = """examples:
  pyg-mpnn inspect --data ethanol --test ethanol
  pyg-mpnn train --data ethanol --test ethanol --out run --minutes 5
  pyg-mpnn evaluate --model run/best.ckpt --data ethanol
  pyg-mpnn md --model run/best.ckpt --structure ethanol --steps 2000 --timestep 0.5 --temperature 300 --out run/md
  pyg-mpnn predict --model run/best.ckpt --structures ethanol --out predicted.xyz
  pyg-mpnn relax --model run/best.ckpt --structure ethanol --out run/relaxed
  pyg-mpnn vib --model run/best.ckpt --structure ethanol --relax --out run/vib
  pyg-mpnn check --model run/best.ckpt --picture scan.png
  pyg-mpnn train --data ethanol --model my_net.py:MyNet --model.width 64 --out own
  pyg-mpnn evaluate --model own/best.ckpt --data ethanol --trust my_net.py
  pyg-mpnn export --model run/best.ckpt --out potential.pt2
  pyg-mpnn ablate --data ethanol --only attention l_max --minutes 3 --out blocks
"""
_NOT_RUN = 1  # exit code of a check of a model that does not run
_BROKEN = 3  # exit code of a check that found a broken law
_NOT_CONVERGED = 3  # exit code of a relaxation that gave up


def make_parser() -> jsonargparse.ArgumentParser:
    """The parser of all commands; the help texts are the docstrings of what they call."""
    from pyg_mpnn.engines.lammps_dynamics import run_lammps_dynamics
    from pyg_mpnn.md import run_dynamics, run_prediction, run_relaxation, run_vibrations

    parser = Parser(
        prog="pyg-mpnn",
        description="Train, test and run machine-learned interatomic potentials. Energies in eV, lengths in A.",
        epilog=_EPILOG,
        formatter_class=Help,
    )
    commands = parser.add_subcommands(required=True)
    commands.add_subcommand("inspect", parser_of(inspect_command), help="look at structures before training on them")
    commands.add_subcommand("train", _train_parser(), help="learn a potential from structures with energies and forces")
    commands.add_subcommand("evaluate", parser_of(evaluate_command), help="errors of a trained potential")
    commands.add_subcommand("check", parser_of(check_command), help="hold a potential to the laws of physics")
    commands.add_subcommand("md", parser_of(run_dynamics), help="molecular dynamics with a trained potential")
    commands.add_subcommand("lammps", parser_of(run_lammps_dynamics), help="the same in LAMMPS, in several processes")
    commands.add_subcommand("predict", parser_of(run_prediction), help="energies and forces of structures, into a file")
    commands.add_subcommand("relax", parser_of(run_relaxation), help="atoms, and the cell, to the nearest minimum")
    commands.add_subcommand("vib", parser_of(run_vibrations), help="vibrations from the exact Hessian")
    commands.add_subcommand("export", parser_of(export_command), help="a file that runs without this package")
    commands.add_subcommand("ablate", _ablate_parser(), help="which building block pays on given structures")
    return parser


def _train_parser() -> jsonargparse.ArgumentParser:
    parser = Parser(description="Train a potential, test it, and write checkpoints, pictures and a model card.")
    parser.add_argument(
        "--config", action="config", help="Settings to start from: YAML, or settings.json of a training."
    )
    parser.add_class_arguments(TrainingSettings, as_group=False)
    return parser


def _ablate_parser() -> jsonargparse.ArgumentParser:
    parser = Parser(description="Train variants of a potential for equal minutes: which building block pays?")
    parser.add_argument("--config", action="config", help="Settings to start from, YAML or JSON.")
    parser.add_class_arguments(AblationSettings, as_group=False)
    return parser


def run_command(arguments: Sequence[str] | None = None) -> int:
    """Parse the arguments and run the command.

    Args:
        arguments: The command and its flags; those of the process without it.

    Returns:
        The exit code.
    """
    from pyg_mpnn.engines.lammps_dynamics import run_lammps_dynamics
    from pyg_mpnn.md import run_dynamics, run_prediction, run_relaxation, run_vibrations

    words = join_files(sys.argv[1:] if arguments is None else arguments)
    words = join_composition(words) if words[:1] in (["train"], ["ablate"]) else words
    words = join_composition(words, "--outputs") if words[:1] == ["train"] else words
    parsed = make_parser().parse_args(words)
    values = parsed[parsed.subcommand].as_dict()
    values.pop("config", None)
    keep_freed_memory()
    if parsed.subcommand == "train":
        train(TrainingSettings(**values))
    elif parsed.subcommand == "inspect":
        inspect_command(**values)
    elif parsed.subcommand == "ablate":
        ablate(AblationSettings(**values))
    elif parsed.subcommand == "evaluate":
        evaluate_command(**values)
    elif parsed.subcommand == "check":
        report = check_command(**values)
        return 0 if report.passed else _NOT_RUN if report.errors else _BROKEN
    elif parsed.subcommand == "lammps":
        run_lammps_dynamics(**values)
    elif parsed.subcommand == "predict":
        run_prediction(**values)
    elif parsed.subcommand == "relax":
        return 0 if run_relaxation(**values).converged else _NOT_CONVERGED
    elif parsed.subcommand == "export":
        export_command(**values)
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
            "\npyg-mpnn: interrupted; a training or md continues with the same command and --resume, an ablation "
            "without it",
            file=sys.stderr,
        )
        return 130
    except (ValueError, TypeError, OSError, ImportError, ArithmeticError, CompilationError) as error:
        if os.environ.get("PYG_MPNN_TRACEBACK"):
            raise
        print(f"pyg-mpnn: error: {error}\n(PYG_MPNN_TRACEBACK=1 shows where it came from)", file=sys.stderr)
        return 1
