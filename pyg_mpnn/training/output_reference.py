"""What outputs take from the training structures, and what they can say without a network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from pyg_mpnn.data import QM9_TARGETS
from pyg_mpnn.data.dataset import PreparedStructures
from pyg_mpnn.models import DipoleLengthOutput, Output, ScalarOutput, SpatialExtentOutput
from pyg_mpnn.models.structure import Structure, read_inputs, read_structure

Frames = Sequence[Data] | PreparedStructures


def target_output(target: str) -> Output:
    """The output of a property of QM9.

    Args:
        target: A key of ``QM9_TARGETS``.

    Returns:
        An output of its kind and unit.

    Raises:
        ValueError: An unknown target.
    """
    if target not in QM9_TARGETS:
        raise ValueError(f"'target' must be one of {', '.join(QM9_TARGETS)}, got {target!r}.")
    info = QM9_TARGETS[target]
    if info.kind == "dipole":
        return DipoleLengthOutput(unit=info.unit)
    if info.kind == "spatial_extent":
        return SpatialExtentOutput(unit=info.unit)
    return ScalarOutput(extensive=info.kind == "extensive", unit=info.unit)


def fit_output(output: Output, name: str, frames: Frames) -> float:
    """Let an output take from the training structures what it does not train.

    Args:
        output: The output.
        name: Its name, and that of the field with its references.
        frames: Training structures; the field is NaN where unknown.

    Returns:
        What its errors are divided by in the loss.

    Raises:
        ValueError: There is nothing left to learn.
    """
    try:
        return output.fit(gather_structures(frames), gather_references(frames, name))
    except ValueError as error:
        raise ValueError(f"{name!r}: {error}") from error


def guess_output(output: Output, name: str, frames: Frames, train: Frames) -> Tensor:
    """The trivial predictor of an output, which the training structures determine.

    Args:
        output: The output, with its numbers of the elements.
        name: Its name.
        frames: Structures to predict.
        train: Training structures.

    Returns:
        One value for each structure or atom.
    """
    return output.guess(gather_structures(frames), gather_references(train, name))


def gather_structures(frames: Frames) -> Structure:
    """All structures as one, without edges.

    Args:
        frames: Structures of one set.

    Returns:
        One structure of many graphs, in float64.
    """
    fields = ("z", "pos", "cell", "pbc", "charge")
    batch = Batch.from_data_list([Data(**{k: frame[k] for k in fields if k in frame}) for frame in _each(frames)])
    batch.pos = batch.pos.double()
    structure = read_structure(batch, None, None, None, None, None, None)
    return structure._replace(inputs=read_inputs(batch, (), ("charge",), structure.num_graphs))


def gather_references(frames: Frames, name: str) -> Tensor:
    """References of an output in all structures.

    Args:
        frames: Structures of one set.
        name: Field of the references.

    Returns:
        The references, float64.
    """
    return torch.cat([frame[name] for frame in _each(frames)])


def _each(frames: Frames) -> Iterator[Data]:
    return (frames[place] for place in range(len(frames)))
