"""Several processes, on one machine or more: what they sum, share and gather.

Every process holds the whole potential and computes its share of each batch; the gradients are added up in one vector
before the step. Lightning starts the processes and connects them. Its wrapper around the model is not used: it takes
the mean over processes whatever they computed on, and waits until a time-out for one that has nothing to compute in the
last batch of an epoch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor


class SumStrategy(DDPStrategy):
    """Lightning's DDP without the wrapper around the model, whose gradients :func:`sum_over_processes` adds up.

    All processes start with the weights and buffers of the first.

    Args:
        threads: Number of CPU threads of each process; Lightning divides the cores without it.
    """

    def __init__(self, threads: int | None = None) -> None:
        super().__init__()
        self.threads = threads

    def setup_environment(self) -> None:
        """Connect the processes, then copy the weights of the first."""
        super().setup_environment()
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        assert self.lightning_module is not None
        self.lightning_module.load_state_dict(self.broadcast(self.lightning_module.state_dict()))

    def configure_ddp(self) -> None:
        """Leave the model unwrapped."""


def count_processes() -> int:
    """Number of connected processes; 1 before they are connected."""
    return torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1


def launched_rank(devices: int, num_nodes: int) -> int:
    """Number of this process, from 0, before the processes are connected.

    Args:
        devices: Processes on each machine, as the user said.
        num_nodes: Machines, as the user said.

    Returns:
        What torchrun, SLURM or Lightning say in the environment.

    Raises:
        ValueError: torchrun started another number of processes.
    """
    processes = devices * num_nodes
    elastic = TorchElasticEnvironment.detect()
    if elastic and TorchElasticEnvironment().world_size() != processes:
        raise ValueError(
            f"'devices' times 'num_nodes' must be the number of processes that torchrun started "
            f"({TorchElasticEnvironment().world_size()}), got {devices} x {num_nodes}: give both here too."
        )
    if processes == 1:
        return 0
    if elastic:
        return TorchElasticEnvironment().global_rank()
    if SLURMEnvironment.detect():
        return SLURMEnvironment().global_rank()
    own = LightningEnvironment()
    return own.node_rank() * devices + own.local_rank()


def sum_over_processes(tensors: list[Tensor]) -> list[Tensor]:
    """Add up tensors over all processes, in one message.

    Args:
        tensors: Tensors of one dtype and device, of the same shapes in every process.

    Returns:
        The sums; the tensors themselves where there is one process.

    Raises:
        ConnectionError: Another process is gone.
    """
    if count_processes() == 1:
        return tensors
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    _connected(torch.distributed.all_reduce, flat)
    parts = torch.split(flat, [tensor.numel() for tensor in tensors])
    return [part.view_as(tensor) for part, tensor in zip(parts, tensors, strict=True)]


def share_from_first(value: float, device: torch.device) -> float:
    """The value of the first process, so that all decide the same.

    Args:
        value: The number of this process.
        device: Device that messages go through.

    Returns:
        The number of the first process.

    Raises:
        ConnectionError: Another process is gone.
    """
    if count_processes() == 1:
        return value
    tensor = torch.tensor(value, dtype=torch.float64, device=device)
    _connected(torch.distributed.broadcast, tensor, src=0)
    return tensor.item()


def gather(value: Any) -> list[Any]:
    """The values of all processes, in order, in every process.

    Args:
        value: Anything that pickle takes, on the CPU.

    Returns:
        One value a process.

    Raises:
        ConnectionError: Another process is gone.
    """
    if count_processes() == 1:
        return [value]
    values = [None] * count_processes()
    _connected(torch.distributed.all_gather_object, values, value)
    return values


def _connected(collective: Callable[..., Any], *arguments: Any, **options: Any) -> None:
    try:
        collective(*arguments, **options)
    except RuntimeError as error:
        raise ConnectionError(
            "Another process of the training has ended or cannot be reached: see what it printed, then repeat the "
            f"command with --resume; last.ckpt holds the last complete epoch. ({str(error).splitlines()[0]})"
        ) from error
