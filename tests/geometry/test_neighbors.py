from __future__ import annotations

import itertools
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyg_mpnn.geometry import NeighborList, check_edges, edge_vectors, neighbor_list
from pyg_mpnn.geometry.backends import _optional
from pyg_mpnn.geometry.grid import _CENTRES

needs_cluster = pytest.mark.skipif(
    find_spec("torch_cluster") is None, reason="torch-cluster is not installed (make cluster)"
)
BACKENDS = ["auto", "vesin", "torch"]
OPEN_BACKENDS = [*BACKENDS, pytest.param("torch-cluster", marks=needs_cluster)]
DTYPES = [torch.float32, torch.float64]
QUICK = [pytest.param(torch.float32, marks=pytest.mark.slow), torch.float64]  # for searches that take seconds
# Pairs this close to the cutoff may fall on either side of it: twenty roundings of a coordinate of 50 A.
NEAR = {torch.float32: 1e-4, torch.float64: 1e-6}


def brute_force(pos, cutoff, cell, pbc):
    """Independent reference: {(i, j, *shift): distance} from all images that could reach, one by one."""
    if len(pos) == 0:
        return {}
    box = np.array(cell, dtype=float)
    fixed = [axis for axis in range(3) if pbc[axis]]
    for axis in range(3):
        if not pbc[axis]:  # Gram-Schmidt on the unit vectors: the one that leaves the most
            basis = np.linalg.qr(box[fixed].T)[0] if fixed else np.zeros((3, 0))
            rest = np.eye(3) - basis @ basis.T
            box[axis] = max(rest, key=np.linalg.norm) / np.linalg.norm(max(rest, key=np.linalg.norm))
            fixed.append(axis)
    fractional = pos @ np.linalg.inv(box)
    heights = 1.0 / np.linalg.norm(np.linalg.inv(box), axis=0)
    spread = np.ptp(fractional, axis=0)
    counts = [int(np.ceil(cutoff / heights[a] + spread[a])) + 1 if pbc[a] else 0 for a in range(3)]
    found = {}
    for shift in itertools.product(*[range(-n, n + 1) for n in counts]):
        dist = np.linalg.norm(pos[None, :] + np.array(shift) @ box - pos[:, None], axis=-1)
        for i, j in np.argwhere(dist < cutoff):
            if i != j or any(shift):
                found[(int(i), int(j), *shift)] = dist[i, j]
    return found


@st.composite
def crystals(draw, periodic=None):
    """Positions, cell and pbc of every kind: triclinic, left-handed, flat, tiny, zero vectors, atoms outside, empty."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    num_atoms = draw(st.integers(0, 5))
    pbc = draw(st.tuples(st.booleans(), st.booleans(), st.booleans())) if periodic is None else (periodic,) * 3
    lengths = rng.uniform(draw(st.sampled_from([1.2, 3.0])), 7.0, size=3)
    kind = draw(st.sampled_from(["orthogonal", "triclinic", "left-handed", "skewed"]))
    cell = np.diag(lengths)
    if kind != "orthogonal":
        cell = cell + rng.uniform(-0.4, 0.4, size=(3, 3)) * lengths.min()
    if kind == "left-handed":
        cell = cell[[1, 0, 2]]
    if kind == "skewed":
        cell[1] += 3 * cell[0]
    if draw(st.booleans()):  # what files write for directions that are not periodic
        cell = cell * np.array(pbc)[:, None]
    pos = rng.normal(size=(num_atoms, 3)) * draw(st.sampled_from([1.5, 6.0]))
    return pos, cell, np.array(pbc)


def as_batch(structures, dtype):
    batch = torch.arange(len(structures)).repeat_interleave(torch.tensor([len(pos) for pos, _, _ in structures]))
    pos = torch.from_numpy(np.concatenate([pos for pos, _, _ in structures])).to(dtype)
    cell = torch.from_numpy(np.stack([cell for _, cell, _ in structures])).to(dtype)
    pbc = torch.from_numpy(np.stack([pbc for _, _, pbc in structures]))
    return pos, {"batch": batch, "num_graphs": len(structures), "cell": cell, "pbc": pbc}


def as_set(edge_index, shifts):
    rows = torch.cat([edge_index.flip(0).t(), shifts], dim=1).tolist()
    assert rows == sorted(rows)
    assert len(rows) == len(set(map(tuple, rows)))
    return set(map(tuple, rows))


def assert_equals_brute_force(pos, cutoff, arguments, backend):
    found = as_set(*neighbor_list(pos, cutoff, backend=backend, **arguments))
    expected, near, first = {}, set(), 0
    for graph in range(arguments["num_graphs"]):
        members = pos[arguments["batch"] == graph].double().numpy()
        cell, pbc = arguments["cell"][graph].double().numpy(), arguments["pbc"][graph].numpy()
        margin = NEAR[pos.dtype]
        for (i, j, *shift), dist in brute_force(members, cutoff + margin, cell, pbc).items():
            edge = (i + first, j + first, *shift)
            expected[edge] = dist
            if dist > cutoff - margin:
                near.add(edge)
        first += len(members)
    assert found - near == set(expected) - near
    assert found <= set(expected)


@pytest.mark.parametrize("dtype", QUICK)
@pytest.mark.parametrize("backend", BACKENDS)
@settings(max_examples=40, deadline=None)
@given(structures=st.lists(crystals(), min_size=1, max_size=3), cutoff=st.floats(0.5, 4.0))
def test_equals_brute_force_for_any_cell(backend, dtype, structures, cutoff):
    pos, arguments = as_batch(structures, dtype)
    assert_equals_brute_force(pos, cutoff, arguments, backend)


@pytest.mark.parametrize("dtype", QUICK)
@pytest.mark.parametrize("backend", OPEN_BACKENDS)
@settings(max_examples=40, deadline=None)
@given(structures=st.lists(crystals(periodic=False), min_size=1, max_size=5), cutoff=st.floats(0.5, 12.0))
def test_equals_brute_force_for_molecules(backend, dtype, structures, cutoff):
    pos, arguments = as_batch(structures, dtype)
    assert_equals_brute_force(pos, cutoff, arguments, backend)


@settings(max_examples=60, deadline=None)
@given(
    structures=st.lists(crystals(), min_size=1, max_size=3), cutoff=st.floats(0.5, 4.0), dtype=st.sampled_from(DTYPES)
)
def test_backends_agree_to_the_last_edge(structures, cutoff, dtype):
    pos, arguments = as_batch(structures, dtype)
    vesin = neighbor_list(pos, cutoff, backend="vesin", **arguments)
    plain = neighbor_list(pos, cutoff, backend="torch", **arguments)
    assert torch.equal(vesin.edge_index, plain.edge_index)
    assert torch.equal(vesin.shifts, plain.shifts)


@needs_cluster
@settings(max_examples=40, deadline=None)
@given(
    structures=st.lists(crystals(periodic=False), min_size=1, max_size=4),
    cutoff=st.floats(0.5, 12.0),
    dtype=st.sampled_from(DTYPES),
)
def test_torch_cluster_agrees_to_the_last_edge(structures, cutoff, dtype):
    pos, arguments = as_batch(structures, dtype)
    cluster = neighbor_list(pos, cutoff, backend="torch-cluster", **arguments)
    vesin = neighbor_list(pos, cutoff, backend="vesin", **arguments)
    assert torch.equal(cluster.edge_index, vesin.edge_index)
    assert not cluster.shifts.any()


@settings(max_examples=40, deadline=None)
@given(structure=crystals(), cutoff=st.floats(0.5, 4.0))
def test_equals_ase(structure, cutoff):
    ase = pytest.importorskip("ase", reason="ASE is not installed (extra md)")
    from ase.neighborlist import primitive_neighbor_list

    pos, cell, pbc = structure
    if len(pos) == 0:
        return
    i, j, shifts, dist = primitive_neighbor_list("ijSd", pbc, ase.geometry.complete_cell(cell), pos, cutoff)
    far = abs(dist - cutoff) > 1e-6
    expected = {(*pair, *shift) for *pair, shift in zip(i[far], j[far], map(tuple, shifts[far]), strict=True)}
    tensor = torch.from_numpy
    found = neighbor_list(tensor(pos), cutoff, cell=tensor(cell), pbc=tensor(pbc))
    dist = edge_vectors(tensor(pos), *found, cell=tensor(cell)).norm(dim=1)
    far = abs(dist - cutoff) > 1e-6
    assert as_set(found.edge_index[:, far], found.shifts[far]) == expected


@pytest.mark.parametrize("backend", OPEN_BACKENDS)
def test_dense_structure_is_not_truncated(backend):
    torch.manual_seed(0)
    pos = torch.rand(300, 3)
    edge_index, _ = neighbor_list(pos, 2.0, backend=backend)  # all pairs, 299 neighbours each
    assert edge_index.shape[1] == 300 * 299
    assert torch.equal(edge_index[1].bincount(), torch.full((300,), 299))


@needs_cluster
def test_dense_structure_is_truncated_by_plain_torch_cluster():
    import torch_cluster

    torch.manual_seed(0)
    assert torch_cluster.radius_graph(torch.rand(300, 3), 2.0).shape[1] == 300 * 32  # the control


@needs_cluster
@pytest.mark.parametrize("num_nodes", [127, 128, 129, 130, 256, 257])
def test_torch_cluster_is_exact_around_its_bounds(num_nodes):
    torch.manual_seed(0)
    edge_index, _ = neighbor_list(torch.rand(num_nodes, 3), 2.0, backend="torch-cluster")
    assert edge_index.shape[1] == num_nodes * (num_nodes - 1)


@pytest.mark.parametrize("backend", BACKENDS)
def test_tiny_cell_has_thousands_of_images_of_one_atom(backend):
    cell, pbc = 0.5 * torch.eye(3, dtype=torch.float64), torch.ones(3, dtype=torch.bool)
    pos = torch.zeros(1, 3, dtype=torch.float64)
    edge_index, shifts = neighbor_list(pos, 5.01, cell=cell, pbc=pbc, backend=backend)
    grid = torch.cartesian_prod(*[torch.arange(-11, 12)] * 3)
    inside = (grid.double() * 0.5).norm(dim=1).lt(5.01) & grid.any(1)
    assert torch.equal(shifts, grid[inside])
    assert shifts.shape[0] > 4000
    assert not edge_index.any()


def test_torch_searches_in_several_blocks():
    torch.manual_seed(0)
    pos = 45.0 * torch.rand(_CENTRES + 500, 3, dtype=torch.float64)
    plain, vesin = (neighbor_list(pos, 2.5, backend=backend) for backend in ("torch", "vesin"))
    assert torch.equal(plain.edge_index, vesin.edge_index)
    assert plain.edge_index.shape[1] > 1000


@pytest.mark.parametrize("backend", OPEN_BACKENDS)
@pytest.mark.parametrize("distance", [1e2, 1e7, 1e12])
def test_distant_clusters_of_atoms(backend, distance):
    tetrahedron = torch.tensor([[0, 0, 0], [1, 1, 0], [1, 0, 1], [0, 1, 1]], dtype=torch.float64)
    edge_index, _ = neighbor_list(torch.cat([tetrahedron, tetrahedron + distance]), 2.0, backend=backend)
    assert torch.equal(edge_index[1].bincount(), torch.full((8,), 3))
    assert not ((edge_index[0] < 4) ^ (edge_index[1] < 4)).any()


@pytest.mark.parametrize("pbc", [[True, False, False], [True, True, False], [True, True, True]])
def test_few_atoms_spread_over_many_cutoffs(pbc):
    """Minutes in vesin 0.6 for a wire, if vesin is told that two directions are not periodic."""
    pos = 500.0 * torch.rand(8, 3, dtype=torch.float64)
    pos[:4] = pos[4:] + torch.tensor([0.6, 0.5, 0.4])
    cell, pbc = 50.0 * torch.eye(3, dtype=torch.float64), torch.tensor(pbc)
    vesin, plain = (neighbor_list(pos, 1.0, cell=cell, pbc=pbc, backend=backend) for backend in ("vesin", "torch"))
    assert torch.equal(vesin.edge_index, plain.edge_index)
    assert torch.equal(vesin.shifts, plain.shifts)
    assert vesin.shifts.shape[0] >= 8


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_pairs_at_the_cutoff_are_whole(backend, dtype):
    """Six neighbours lie at the cutoff up to rounding, and rounding in the dtype of ``pos`` decides, for both
    directions of a pair alike."""
    rotation = torch.linalg.qr(torch.tensor([[1.0, 2, 3], [4, 5, 7], [7, 8, 1]], dtype=torch.float64)).Q
    cell = (3.0 * rotation).to(dtype)
    pos = torch.cartesian_prod(*[torch.tensor([0.0, 0.5], dtype=dtype)] * 3) @ cell + 1000.0
    edge_index, shifts = neighbor_list(pos, 3.0, cell=cell, pbc=torch.tensor([True] * 3), backend=backend)
    every = torch.cartesian_prod(torch.arange(8), torch.arange(8), *[torch.arange(-2, 3)] * 3)
    dist = edge_vectors(pos, every[:, :2].t().flip(0), every[:, 2:], cell).norm(dim=1)
    expected = every[(dist < 3.0) & (dist > 0.0)]
    found = as_set(edge_index, shifts)
    assert found == set(map(tuple, expected.tolist()))
    assert found == {(j, i, -x, -y, -z) for i, j, x, y, z in found}
    assert ((dist - 3.0).abs() < 1e-5).sum() == 8 * 6


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("backend", OPEN_BACKENDS)
def test_distance_in_the_dtype_of_the_positions_decides(backend, dtype):
    directions = torch.randn(500, 3, dtype=torch.float64)
    sphere = (3.0 * directions / directions.norm(dim=1, keepdim=True)).to(dtype)
    pos = torch.cat([sphere.new_zeros(1, 3), sphere])
    edge_index, _ = neighbor_list(pos, 3.0, backend=backend)
    inside = sphere.norm(dim=1) < 3.0
    assert 50 < inside.sum() < 450  # rounding puts points on both sides
    assert torch.equal(edge_index[0, edge_index[1] == 0], inside.nonzero().squeeze(1) + 1)


@pytest.mark.parametrize("backend", OPEN_BACKENDS)
def test_cutoff_is_exclusive(backend):
    pos = torch.tensor([[0.0, 0, 0], [3.0, 0, 0]], dtype=torch.float64)
    assert neighbor_list(pos, 3.0, backend=backend).edge_index.shape == (2, 0)
    assert neighbor_list(pos, float(np.nextafter(3.0, 4.0)), backend=backend).edge_index.shape == (2, 2)


@pytest.mark.parametrize("backend", OPEN_BACKENDS)
@pytest.mark.parametrize("sizes", [[0], [1], [0, 0], [2, 0], [0, 2, 1, 0, 2, 0]])
def test_empty_molecules_and_isolated_atoms(backend, sizes):
    batch = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    pos = torch.zeros(len(batch), 3, dtype=torch.float64)
    pos[1:, 0] = torch.where(batch[1:] == batch[:-1], 1.0, 0.0)
    edge_index, shifts = neighbor_list(pos, 1.5, batch=batch, num_graphs=len(sizes), backend=backend)
    assert edge_index.shape[1] == 2 * sizes.count(2)
    assert shifts.shape == (edge_index.shape[1], 3)
    assert (batch[edge_index[0]] == batch[edge_index[1]]).all()
    assert edge_index.dtype == shifts.dtype == torch.long


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_cell_serves_all_graphs(backend):
    torch.manual_seed(0)
    pos, batch = 4.0 * torch.rand(6, 3), torch.tensor([0, 0, 0, 1, 1, 1])
    cell, pbc = 4.0 * torch.eye(3), torch.tensor([True, True, False])
    one = neighbor_list(pos, 3.0, batch=batch, cell=cell, pbc=pbc, backend=backend)
    each = neighbor_list(pos, 3.0, batch=batch, cell=cell.expand(2, 3, 3), pbc=pbc.expand(2, 3), backend=backend)
    assert torch.equal(one.edge_index, each.edge_index)
    assert torch.equal(one.shifts, each.shifts)
    assert one.shifts.any()


def test_result_carries_no_graph():
    pos = torch.tensor([[0.0, 0, 0], [1.0, 0, 0]], requires_grad=True)
    assert not neighbor_list(pos, 2.0).edge_index.requires_grad
    with torch.inference_mode():
        assert neighbor_list(pos, 2.0).edge_index.shape == (2, 2)


def test_auto_needs_no_optional_package(monkeypatch):
    torch.manual_seed(0)
    pos = 5.0 * torch.rand(20, 3)
    expected = neighbor_list(pos, 2.0).edge_index
    for package in ("torch_cluster", "vesin"):  # one after the other: vesin, then plain torch
        monkeypatch.setitem(sys.modules, package, None)
        _optional.cache_clear()
        assert torch.equal(neighbor_list(pos, 2.0).edge_index, expected)
    _optional.cache_clear()


PAIR = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
CUBE, PERIODIC = 4.0 * torch.eye(3), torch.tensor([True, True, True])


@pytest.mark.parametrize(
    ("package", "backend", "message"),
    [
        (
            "torch_cluster",
            "torch-cluster",
            r"'backend' must name an installed package, got 'torch-cluster'.*pip install \"pyg_mpnn\[cluster\]\"",
        ),
        ("vesin", "vesin", r"'backend' must name an installed package, got 'vesin'.*run pip install vesin"),
    ],
)
def test_missing_backend_is_an_error(monkeypatch, package, backend, message):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=message):
        neighbor_list(PAIR, 2.0, backend=backend)


@pytest.mark.parametrize("backend", OPEN_BACKENDS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_coincident_atoms_are_an_error(backend, dtype):
    pos = torch.tensor([[0, 0, 0], [1, 0, 0], [2, 0, 0], [1, 0, 0]], dtype=dtype)
    with pytest.raises(ValueError, match=r"'pos' must not hold coincident atoms, got atoms 1 and 3 at distance 0"):
        neighbor_list(pos, 2.5, backend=backend)
    batch = torch.tensor([0, 0, 1, 1])
    assert neighbor_list(pos, 2.5, batch=batch, backend=backend).edge_index.shape == (2, 4)  # in different structures


@pytest.mark.parametrize("backend", BACKENDS)
def test_coincident_images_are_an_error(backend):
    pos = torch.tensor([[0.0, 0, 0], [4.0, 0, 0]])
    with pytest.raises(ValueError, match=r"atoms 0 and 1 at distance 0 \(cell shift \[-1, 0, 0\]\)"):
        neighbor_list(pos, 2.5, cell=CUBE, pbc=PERIODIC, backend=backend)


@pytest.mark.parametrize(
    ("pos", "cutoff", "arguments", "error", "message"),
    [
        (PAIR, 0.0, {}, ValueError, r"'cutoff' must be positive and finite \(in A\), got 0.0"),
        (PAIR, -1.0, {}, ValueError, r"'cutoff' must be positive and finite \(in A\), got -1.0"),
        (PAIR, float("nan"), {}, ValueError, r"'cutoff' must be positive and finite \(in A\), got nan"),
        (PAIR, float("inf"), {}, ValueError, r"'cutoff' must be positive and finite \(in A\), got inf"),
        (PAIR, "5", {}, TypeError, r"'cutoff' must be a number \(in A\), got '5'"),
        (PAIR, [3.0, 5.0], {}, ValueError, r"'cutoff' must be a single radius \(in A\), got \[3.0, 5.0\]"),
        (PAIR, 2.0, {"backend": "kdtree"}, ValueError, r"'backend' must be one of .*, got 'kdtree'"),
        (PAIR.long(), 2.0, {}, TypeError, r"'pos' must be float32 or float64, got torch.int64"),
        (PAIR.half(), 2.0, {}, TypeError, r"'pos' must be float32 or float64, got torch.float16"),
        (PAIR[:, :2], 2.0, {}, ValueError, r"'pos' must have shape \(nodes, 3\), got \(2, 2\)"),
        (PAIR[0], 2.0, {}, ValueError, r"'pos' must have shape \(nodes, 3\), got \(3,\)"),
        (PAIR * torch.tensor([[1.0], [float("nan")]]), 2.0, {}, ValueError, r"'pos' must be finite, .* for atom 1"),
        (PAIR + torch.tensor([[0.0], [float("inf")]]), 2.0, {}, ValueError, r"'pos' must be finite, .* for atom 1"),
        (PAIR, 2.0, {"num_graphs": 2}, ValueError, r"'batch' must be given with several graphs, got None for 2"),
        (
            PAIR,
            2.0,
            {"batch": torch.tensor([0])},
            ValueError,
            r"'batch' must have shape \(nodes,\) = \(2,\), got",
        ),
        (
            PAIR,
            2.0,
            {"batch": torch.tensor([0.0, 0.0])},
            TypeError,
            r"'batch' must hold whole numbers, got torch.float32",
        ),
        (
            PAIR,
            2.0,
            {"batch": torch.tensor([1, 0])},
            ValueError,
            r"'batch' must be sorted, got a smaller graph at atom 1",
        ),
        (
            PAIR,
            2.0,
            {"batch": torch.tensor([0, 2]), "num_graphs": 2},
            ValueError,
            r"'batch' must lie in 0..1 for 2 gra",
        ),
        (PAIR, 2.0, {"batch": torch.tensor([-1, 0])}, ValueError, r"'batch' must lie in 0..0 for 1 graphs, got -1..0"),
        (PAIR, 2.0, {"cell": CUBE}, ValueError, r"'pbc' must be given with a 'cell', got None"),
        (PAIR, 2.0, {"pbc": PERIODIC}, ValueError, r"'cell' must be given with periodic directions, got None"),
        (PAIR, 2.0, {"cell": CUBE, "pbc": PERIODIC.int()}, TypeError, r"'pbc' must be bool, got torch.int32"),
        (PAIR, 2.0, {"cell": CUBE, "pbc": PERIODIC[:2]}, ValueError, r"'pbc' must have shape \(3,\) or \(1, 3\), got"),
        (
            PAIR,
            2.0,
            {"cell": CUBE[:2], "pbc": PERIODIC},
            ValueError,
            r"'cell' must have shape \(3, 3\) or \(1, 3, 3\),",
        ),
        (PAIR, 2.0, {"cell": CUBE / 0.0, "pbc": PERIODIC}, ValueError, r"'cell' must be finite, got nan or inf"),
        (PAIR, 2.0, {"cell": 0 * CUBE, "pbc": PERIODIC}, ValueError, r"'cell' must have linearly independent periodic"),
        (
            PAIR,
            2.0,
            {"cell": torch.tensor([[1.0, 2, 3], [2, 4, 6], [0, 0, 1]]), "pbc": torch.tensor([True, True, False])},
            ValueError,
            r"'cell' must have linearly independent periodic vectors, got .* for graph 0",
        ),
        (
            PAIR,
            2.0,
            {"cell": CUBE, "pbc": PERIODIC, "backend": "torch-cluster"},
            ValueError,
            r"'backend' must be 'vesin', 'torch' or 'auto' for periodic structures, got 'torch-cluster'",
        ),
    ],
)
def test_bad_input_is_an_error(unchecked, pos, cutoff, arguments, error, message):
    with pytest.raises(error, match=message):
        neighbor_list(pos, cutoff, **arguments)


def test_a_complete_list_passes_the_full_check():
    for pbc in ([True] * 3, [True, True, False], [False] * 3):
        arguments = {"cell": 3.0 * torch.eye(3), "pbc": torch.tensor(pbc)}
        pos = 3.0 * torch.rand(4, 3)
        edges = neighbor_list(pos, 3.5, **arguments)
        order = torch.randperm(edges.edge_index.shape[1])
        check_edges(NeighborList(edges.edge_index[:, order], edges.shifts[order]), pos, 3.0, **arguments)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda e: NeighborList(e.edge_index.repeat(1, 2), e.shifts.repeat(2, 1)), "hold each pair once, got twice"),
        (lambda e: NeighborList(e.edge_index[:, 1:], e.shifts[1:]), "hold both directions of each pair, got none from"),
        (lambda e: NeighborList(e.edge_index, -e.shifts), r"hold all pairs within 3 A, got none"),
    ],
)
def test_the_full_check_finds_what_is_wrong(change, message):
    pos, arguments = 3.0 * torch.rand(4, 3), {"cell": 3.0 * torch.eye(3), "pbc": torch.ones(3, dtype=torch.bool)}
    edges = neighbor_list(pos, 3.0, **arguments)
    with pytest.raises(ValueError, match=f"'edges' must {message}"):
        check_edges(change(edges), pos, 3.0, **arguments)


@pytest.mark.parametrize("size", [[8.0, 8.0, 1e6], [1e6, 8.0, 8.0], [8.0, 1e5, 1e5]])
@pytest.mark.parametrize("pbc", [[True, True, True], [True, True, False], [False, False, False]])
def test_cells_of_any_shape(size, pbc):
    """Of the first, vesin's own grid has no bins along an edge: the process ended by a division by zero."""
    size = torch.tensor(size, dtype=torch.float64)
    pos = torch.rand(4, 3, dtype=torch.float64) * 5.0 * torch.eye(3, dtype=torch.float64)[size.argmax()]
    pos[3] += size - 3.0
    found = [
        neighbor_list(pos, 5.0, cell=torch.diag(size), pbc=torch.tensor(pbc), backend=backend)
        for backend in ("vesin", "torch", "auto")
    ]
    for other in found[1:]:
        assert torch.equal(other.edge_index, found[0].edge_index)
        assert torch.equal(other.shifts, found[0].shifts)
    assert found[0].edge_index.shape[1] > 0


@pytest.mark.parametrize("backend", ["vesin", "torch", "auto"])
@pytest.mark.parametrize(("size", "cutoff"), [(8.0, 1e4), (0.05, 5.0)])
def test_more_neighbours_than_any_computer_takes(size, cutoff, backend):
    with pytest.raises(ValueError, match=r"'cutoff' must leave an atom at most 100000 neighbours, got about .*e\+\d"):
        neighbor_list(
            torch.rand(9, 3), cutoff, cell=size * torch.eye(3), pbc=torch.ones(3, dtype=torch.bool), backend=backend
        )


@pytest.mark.parametrize("backend", ["vesin", "torch", "auto"])
def test_a_long_cutoff_of_a_molecule(backend):
    """Left to itself vesin takes hours."""
    for cutoff in (3.0, 1e4):
        assert neighbor_list(torch.rand(9, 3), cutoff, backend=backend).edge_index.shape[1] == 72
