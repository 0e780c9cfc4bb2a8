"""Neighbour search in plain torch, for any device: atoms and their periodic images sorted into a grid."""

from __future__ import annotations

import torch
from torch import Tensor

from pyg_mpnn.geometry.structures import Structures, heights

_MAX_BINS = 2**15  # per direction: three of them and the graph fit in one int64 key
_CENTRES = 8192  # centres searched at a time, which bounds the memory


def search_torch(structures: Structures, reach: float) -> tuple[Tensor, Tensor]:
    """Every pair closer than ``reach``, as unsorted ``edge_index`` and ``shifts``, at a cost linear in the atoms.

    Own design: wrap the atoms into their cells; add every periodic image within reach of the wrapped atoms; sort images
    by grid bins of side ``reach``; compare each atom with the images in the 27 bins around it. Bins that differ only in
    z have consecutive keys, so 9 ranges of the sorted images hold the 27 bins.
    """
    batch = structures.batch
    pos, wrap = _wrap(structures)
    node, shift, image = _images(structures, pos, reach)
    key, ranges = _bins(pos, batch, image, batch[node], structures.num_graphs, reach)
    order = key.argsort()
    key, node, shift, image = key[order], node[order], shift[order], image[order]
    edges, shifts = [], []
    for centre in torch.split(torch.arange(pos.shape[0], device=pos.device), _CENTRES):
        start = torch.searchsorted(key, ranges[0][centre])  # (centres, 9)
        count = torch.searchsorted(key, ranges[1][centre], right=True) - start
        i = centre.repeat_interleave(count.sum(1))
        k = _ranges(start.flatten(), count.flatten())
        near = (image.index_select(0, k) - pos.index_select(0, i)).norm(dim=1) < reach
        i, k = i[near], k[near]
        other = (node[k] != i) | shift[k].any(1)
        i, k = i[other], k[other]
        edges.append(torch.stack([node[k], i]))
        # pos_j + wrap_j C + shift C - (pos_i + wrap_i C): the shift between the atoms as they were given
        shifts.append(wrap[node[k]] + shift[k] - wrap[i])
    return torch.cat(edges, dim=1), torch.cat(shifts)


def _wrap(structures: Structures) -> tuple[Tensor, Tensor]:
    """Positions moved into the cell along the periodic directions, and the number of cells each was moved."""
    pos = structures.pos.double()
    if structures.cell is None or structures.pbc is None:
        return pos, structures.batch.new_zeros(pos.shape)
    cell = structures.cell.to(pos.device)[structures.batch]
    inverse = torch.linalg.inv(structures.cell).to(pos.device)[structures.batch]
    wrap = -torch.einsum("na,nab->nb", pos, inverse).floor() * structures.pbc.to(pos.device)[structures.batch]
    return pos + torch.einsum("na,nab->nb", wrap, cell), wrap.long()


def _images(structures: Structures, pos: Tensor, reach: float) -> tuple[Tensor, Tensor, Tensor]:
    """Atom, shift and position of the atoms themselves and of their periodic images."""
    node = torch.arange(pos.shape[0], device=pos.device)
    if structures.cell is None or structures.pbc is None:
        return node, structures.batch.new_zeros(pos.shape), pos
    # Wrapped atoms lie less than one cell apart, so an image within reach is at most ceil(reach / height) cells away.
    cells = (reach / heights(structures.cell)).ceil().long() * structures.pbc
    repeat = cells.to(pos.device)[structures.batch]  # (nodes, 3)
    width = 2 * repeat + 1
    count = width.prod(1)
    node = node.repeat_interleave(count)
    number = _ranges(torch.zeros_like(count), count)
    z = number % width[node, 2]
    y = number // width[node, 2] % width[node, 1]
    x = number // width[node, 2] // width[node, 1]
    shift = torch.stack([x, y, z], dim=1) - repeat[node]
    cell = structures.cell.to(pos.device)[structures.batch]
    return node, shift, pos[node] + torch.einsum("na,nab->nb", shift.double(), cell[node])


def _bins(
    pos: Tensor, batch: Tensor, image: Tensor, image_batch: Tensor, num_graphs: int, reach: float
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Bin of every image, and for every atom the first and last bins (nodes, 9) of the 9 ranges around it."""
    index = batch.unsqueeze(1).expand(-1, 3)
    low = pos.new_zeros(num_graphs, 3).scatter_reduce(0, index, pos, "amin", include_self=False)
    span = (pos - low[batch]).amax(0) if pos.shape[0] else pos.new_zeros(3)
    side = (span / (_MAX_BINS - 4)).clamp(min=reach)
    # Atoms are in bins 2..num - 3, so their neighbours are in 1..num - 2; images further out share the outermost bins.
    num = (span / side).long() + 5
    strides = torch.stack([num[1] * num[2], num[2], torch.ones_like(num[2])])
    around = batch.new_tensor([[x, y, 0] for x in (-1, 0, 1) for y in (-1, 0, 1)])
    offset = (around * strides).sum(1)  # (9,)

    def keys(points: Tensor, graph: Tensor) -> Tensor:
        bins = ((points - low[graph]) / side).floor().long() + 2
        return graph * num.prod() + (bins.clamp(min=0).minimum(num - 1) * strides).sum(1)

    first = keys(pos, batch).unsqueeze(1) + offset - 1
    return keys(image, image_batch), (first, first + 2)


def _ranges(start: Tensor, count: Tensor) -> Tensor:
    """The integers start, ..., start + count - 1 of each range, one range after the other."""
    end = count.cumsum(0)
    return torch.arange(int(count.sum()), device=start.device) + (start - end + count).repeat_interleave(count)
