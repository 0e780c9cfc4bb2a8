"""The switch of a potential: energies and forces by compiled code, made when first needed."""

from __future__ import annotations

import functools
import itertools
import warnings
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from pyg_mpnn.deploy.allocator import keep_freed_memory
from pyg_mpnn.deploy.generate import Compiled, first_line, generate, why_not_made
from pyg_mpnn.deploy.proof import NotProven
from pyg_mpnn.deploy.support import CompilationError, why_not
from pyg_mpnn.deploy.tracing import UNTRACEABLE, Inputs, Kind, Outputs, Traced, example_tensors, trace, unflatten
from pyg_mpnn.deploy.trials import make_trials

CompileMode = Literal["auto", "on", "off"]


class Compiler:
    r"""Evaluate a module by compiled code: one graph for each :class:`Kind` of call, whatever the numbers of atoms.

    ``torch.compile`` does not differentiate twice through its own backward. So energies and forces, the latter by
    ``torch.autograd.grad``, are traced to one graph of plain operations first, a function of weights and inputs, with
    free numbers of atoms, edges and graphs. For evaluation that graph is compiled ahead of time to a package that is
    kept on disk; for training it is compiled with its derivative. Weights are inputs: a step of the optimizer, loaded
    weights or averaged ones are seen. Where a part was replaced, code is made anew. From then on the process
    keeps the memory of freed tensors, see :func:`keep_freed_memory`.

    Args:
        mode: ``"on"`` raises where the module cannot be compiled, ``"auto"`` warns and leaves it to eager evaluation.

    Source:
        own design; the route through ``make_fx`` is that of torch's documentation of ``torch.fx``.
    """

    def __init__(self, mode: CompileMode) -> None:
        self.mode = mode
        self._compiled: dict[tuple[Any, ...], _Entry | None] = {}
        self._children: list[dict[str, nn.Module | None]] = []  # of each part that has some
        self._parts: list[nn.Module | None] = []  # what they were
        self._first: tuple[Any, str] = {}, ""  # where a weight is, whose dtype and device are the network's
        self._said: set[str] = set()
        self._unproven = False  # nothing more is compiled where one kind gave wrong results

    def __call__(self, module: nn.Module, inputs: Inputs, *, stress: bool, trained: bool) -> Outputs | None:
        """Results, or ``None`` where eager evaluation shall give them.

        That is where ``"auto"`` cannot compile, and for fewer than two atoms, edges or edges of a scale: compiled code
        takes a length of 0 or 1 for a fixed one.

        Args:
            module: the module, the same in every call but for its weights.
            inputs: a structure or several.
            stress: whether the virial is wanted.
            trained: whether the results are to be differentiated with respect to the weights.

        Returns:
            energies, forces and virial.

        Raises:
            CompilationError: in mode ``"on"``, the module cannot be compiled.
        """
        lengths = (len(inputs.z), inputs.edge_index.shape[1], *(len(edges) for edges in inputs.near))
        if min(lengths) < 2 or self._unproven:
            return None
        read = tuple(getattr(module, "graph_inputs", ()))
        kind = Kind(trained, stress, inputs.cell is not None, 1 + len(inputs.near), read)
        if [*itertools.chain.from_iterable(map(dict.values, self._children))] != self._parts:  # a part was replaced
            self._compiled.clear()
        if not self._compiled:
            self._children = [part._modules for part in module.modules() if part._modules]
            self._parts = [*itertools.chain.from_iterable(map(dict.values, self._children))]
            self._first = _first_floating(module)
        owner, name = self._first
        weight = owner[name]
        elements = getattr(module, "elements", None)  # plain numbers in the code
        key = (kind, elements, weight.dtype, weight.device, torch.get_num_threads())  # which torch.compile guards
        if key not in self._compiled:
            self._compiled[key] = self._compile(module, kind)
        entry = self._compiled[key]
        if entry is None:
            return None
        graphs = None if inputs.cell is None else inputs.cell.shape[0]
        if graphs == 1:  # a second cell that no atom is in
            assert inputs.cell is not None
            inputs = inputs._replace(cell=inputs.cell.expand(2, 3, 3).contiguous())
        outputs = unflatten(kind, entry(inputs.flat()))
        return outputs if outputs.virial is None else outputs._replace(virial=outputs.virial[:graphs])

    def _compile(self, module: nn.Module, kind: Kind) -> _Entry | None:
        owner, name = self._first
        dtype, device = owner[name].dtype, owner[name].device
        reason = why_not(device)
        if reason is not None:
            self._refuse(reason)
            return None
        keep_freed_memory()
        try:
            traced = trace(module, kind, dtype, device)
        except Exception as error:
            self._refuse(f"{UNTRACEABLE}: {first_line(error)}", error)
            return None
        try:
            return _Entry(module, kind, traced, dtype)
        except Exception as error:
            self._unproven = self.mode == "auto" and isinstance(error, NotProven)
            self._refuse(why_not_made(error), error)
            return None

    def _refuse(self, reason: str, error: Exception | None = None) -> None:
        """Raise in mode ``"on"``; else say it once."""
        if self.mode == "on":
            raise CompilationError(f"energies and forces cannot be compiled here: {reason}") from error
        if reason not in self._said:
            self._said.add(reason)
            warnings.warn(f"energies and forces are not compiled: {reason}", stacklevel=6)

    def __deepcopy__(self, memo: dict[int, Any]) -> Compiler:
        """A compiler with nothing compiled: entries hold the tensors of one module."""
        return Compiler(self.mode)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Compiler, (self.mode,)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.mode!r})"


class _Entry:
    """Compiled code of one kind, with the places of the tensors that it reads."""

    def __init__(self, module: nn.Module, kind: Kind, traced: Traced, dtype: torch.dtype) -> None:
        example = example_tensors(module, traced, kind)
        self.trained = kind.trained
        trials = functools.partial(make_trials, module, traced, kind, dtype)
        self.run: Compiled = generate("training" if kind.trained else "inference", traced, example, trials)
        self.places = [_place(module, name.removeprefix("module.")) for name in traced.names]

    def __call__(self, inputs: list[Tensor]) -> list[Tensor]:
        state = [owner[key] for owner, key in self.places]
        if not self.trained and not all(map(Tensor.is_contiguous, state)):  # a package reads memory as if it were
            state = [tensor.contiguous() for tensor in state]
        return self.run([*state, *inputs])


def _first_floating(module: nn.Module) -> tuple[Any, str]:
    """The place of the first weight or, without any, of the first buffer."""
    state = itertools.chain(module.named_parameters(), module.named_buffers())
    return _place(module, next(name for name, tensor in state if tensor.is_floating_point()))


def _place(module: nn.Module, name: str) -> tuple[Any, str]:
    """The dictionary that holds a weight or buffer: a tensor put in its place is found too."""
    path, _, key = name.rpartition(".")
    owner = module.get_submodule(path)
    return (owner._parameters if key in owner._parameters else owner._buffers), key
