"""QM9: molecules with 12 properties, their units and kinds, and a split."""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import lzma
import os
import pickle
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, overload

import numpy as np
import torch
from torch_geometric.data import Data

from pyg_mpnn.units import HARTREE

Kind = Literal["extensive", "intensive", "dipole", "spatial_extent"]


@dataclass(frozen=True)
class QM9Target:
    """One target of QM9.

    Args:
        column: its name in the table of the molecules.
        unit: its unit in this package, that of the published error tables (with eV for meV).
        factor: what converts the unit of the table to it.
        kind: how a molecule's value comes from its atoms.
        free_atoms: values of the free atoms in hartree by atomic number, where the value is an energy of formation
            plus theirs.
    """

    column: str
    unit: str
    factor: float
    kind: Kind
    free_atoms: dict[int, float] | None = None


def _free(*energies: float) -> dict[int, float]:
    return dict(zip((1, 6, 7, 8, 9), energies, strict=True))


QM9_TARGETS: dict[str, QM9Target] = {
    "mu": QM9Target("mu", "D", 1.0, "dipole"),
    "alpha": QM9Target("alpha", "Bohr^3", 1.0, "extensive"),
    "homo": QM9Target("homo", "eV", HARTREE, "intensive"),
    "lumo": QM9Target("lumo", "eV", HARTREE, "intensive"),
    "gap": QM9Target("gap", "eV", HARTREE, "intensive"),
    "r2": QM9Target("r2", "Bohr^2", 1.0, "spatial_extent"),
    "zpve": QM9Target("zpve", "eV", HARTREE, "extensive"),
    "U0": QM9Target("u0", "eV", HARTREE, "extensive", _free(-0.500273, -37.846772, -54.583861, -75.064579, -99.718730)),
    "U": QM9Target(
        "u298", "eV", HARTREE, "extensive", _free(-0.498857, -37.845355, -54.582445, -75.063163, -99.717314)
    ),
    "H": QM9Target(
        "h298", "eV", HARTREE, "extensive", _free(-0.497912, -37.844411, -54.581501, -75.062219, -99.716370)
    ),
    "G": QM9Target(
        "g298", "eV", HARTREE, "extensive", _free(-0.510927, -37.861317, -54.598897, -75.079532, -99.733544)
    ),
    "Cv": QM9Target("cv", "cal/(mol K)", 1.0, "extensive"),
}
"""The targets by name. Free atoms: ``atomref.txt`` of the data set, B3LYP/6-31G(2df,p) (Ramakrishnan et al., Sci. Data
1, 140022 (2014), doi:10.6084/m9.figshare.c.978904)."""


NUM_MOLECULES = 130_831  # of QM9 without the 3,054 uncharacterised ones
NUM_TRAIN, NUM_VALID = 110_000, 10_000
_DIGESTS = {  # of seed 0
    NUM_MOLECULES: "8fc352dd131431968d1b459eef58a084929e3ba5603c93eb3cfabfa5bacf8bed",
    76_699: "7e74eeda76c934dd02ff72396b37239eb41c4e265a9b7df2320e6facad23fd14",
}


class QM9Split(NamedTuple):
    """Positions of molecules in the data set, in random order, and a hash that names the split.

    The first n training molecules are the training set of size n: larger sets hold the smaller ones.
    """

    train: list[int]
    valid: list[int]
    test: list[int]
    sha256: str


def split_qm9(n: int = NUM_MOLECULES, seed: int = 0) -> QM9Split:
    """The split of QM9: 110,000 molecules to train, 10,000 to validate, the rest to test.

    Of a part of QM9 the same fractions are taken (84.08 and 7.64 %, rounded). The order is that of n raw 64-bit numbers
    of NumPy's PCG64, whose stream is the same in all versions. ``sha256`` is the hash of the whole order as
    little-endian 64-bit integers: two results with the same hash used the same split.

    Args:
        n: number of molecules, in ascending order of their gdb number.
        seed: seed of the generator, at least 0.

    Returns:
        Positions, from 0 to n - 1, each in one of the three lists.

    Raises:
        ValueError: fewer than 14 molecules, of which one of the parts would be empty.
        RuntimeError: the known splits (seed 0 of 130,831 and of 76,699 molecules) came out differently.

    Source:
        sizes: Schütt et al., NeurIPS 2017 (SchNet), arXiv:1706.08566; own design otherwise.

    Example:
        >>> split = split_qm9(76_699)
        >>> len(split.train), len(split.valid), len(split.test), split.sha256[:8]
        (64487, 5862, 6350, '7e74eeda')
    """
    train, valid = round(n * NUM_TRAIN / NUM_MOLECULES), round(n * NUM_VALID / NUM_MOLECULES)
    if min(train, valid, n - train - valid) < 1:
        raise ValueError(f"'n' must be at least 14, so that each part of the split has a molecule, got {n}.")
    order = np.argsort(np.random.PCG64(seed).random_raw(n), kind="stable")
    digest = hashlib.sha256(order.astype("<i8").tobytes()).hexdigest()
    if seed == 0 and digest != _DIGESTS.get(n, digest):
        raise RuntimeError(f"the split of {n} molecules must have the hash {_DIGESTS[n]}, got {digest}: report this.")
    indices = order.tolist()
    return QM9Split(indices[:train], indices[train : train + valid], indices[train + valid :], digest)


_NUM_UNCHARACTERIZED = 3054
_PYG_HARTREE = 27.211386246  # eV, in torch_geometric.datasets.qm9
_PYG_FILE = "qm9_v3.pt"
_COLUMNS = [target.column for target in QM9_TARGETS.values()]


class QM9(Sequence[Data]):
    """QM9 with one target: positions, elements and the value of each molecule, in this package's units.

    ``root`` is either a folder with one ``*_geometry.npz`` (``index``, ``natoms``, ``Z``, ``pos_microangstrom``) and
    one ``*_targets.csv`` or ``.csv.xz`` (QM9's own columns and units), or the root of PyG's ``QM9``, which is
    downloaded where it is absent. PyG keeps targets in float32, so total energies carry an error of about 0.5 meV
    there; a local folder keeps float64.

    From U0, U, H and G the energies of the free atoms are subtracted, which leaves minus the atomization energy.

    Uncharacterised molecules, 3,054 whose geometry did not stay that of their SMILES, are left out: PyG's copy and the
    76,699 molecules of the local folder come without them, and where a file ``uncharacterized.txt`` (the published one)
    lies in the folder its numbers are removed. A known mistake is to take its numbers for positions: they are gdb
    numbers, which begin at 1, while rows and PyG's ``idx`` begin at 0, so that the neighbours of the bad molecules are
    removed and most bad ones stay. Here molecules are compared by gdb number only.

    Args:
        root: folder of the data.
        target: a key of ``QM9_TARGETS``: mu (D), alpha (Bohr^3), homo, lumo, gap (eV), r2 (Bohr^2), zpve, U0, U, H, G
            (eV), Cv (cal/(mol K)); or None for no values.
        download: whether PyG's copy may be downloaded.

    Shapes:
        each item has ``z`` (nodes,), ``pos`` (nodes, 3), ``gdb`` (1,) and ``target`` (1,).

    Units:
        A, and the unit of the target, :attr:`unit`.

    Raises:
        FileNotFoundError: no data in the folder, and no download; the message has the address and the path.
        ValueError: an unknown target, files that do not fit each other, or files of PyG that would run code.

    Source:
        Ramakrishnan, Dral, Rupp and von Lilienfeld, Sci. Data 1, 140022 (2014), doi:10.6084/m9.figshare.c.978904, CC0.

    Example:
        >>> QM9("no folder", "U0", download=False)
        Traceback (most recent call last):
        ...
        FileNotFoundError: 'root' must be a folder with QM9, got 'no folder'...
    """

    def __init__(self, root: str | Path, target: str | None = None, *, download: bool = True) -> None:
        if target is not None and target not in QM9_TARGETS:
            raise ValueError(f"'target' must be one of {', '.join(QM9_TARGETS)}, got {target!r}.")
        root = Path(root)
        if root.is_file():
            raise ValueError(f"'root' must be a folder, with QM9 or for it, got the file {str(root)!r}.")
        arrays = _read_folder(root) if _local_files(root) is not None else _read_pyg(root, download)
        arrays = _leave_out(arrays, root / "uncharacterized.txt")
        self.root, self.target = root, target
        self.gdb: np.ndarray = arrays["gdb"]
        self._ends = arrays["natoms"].cumsum()
        self._z = torch.from_numpy(arrays["z"])
        self._pos = torch.from_numpy(arrays["pos"])
        self.values = None if target is None else torch.from_numpy(_values(target, arrays, self._ends))

    @property
    def unit(self) -> str | None:
        """Unit of the target."""
        return None if self.target is None else QM9_TARGETS[self.target].unit

    def split(self, seed: int = 0) -> QM9Split:
        """Positions to train on, to validate and to test, see :func:`split_qm9`.

        Args:
            seed: seed of the split.

        Returns:
            the split.
        """
        return split_qm9(len(self), seed)

    def __len__(self) -> int:
        return len(self.gdb)

    @overload
    def __getitem__(self, index: int) -> Data: ...

    @overload
    def __getitem__(self, index: slice) -> list[Data]: ...

    def __getitem__(self, index: int | slice) -> Data | list[Data]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        place = range(len(self))[index]
        atoms = slice(int(self._ends[place - 1]) if place else 0, int(self._ends[place]))
        data = Data(z=self._z[atoms], pos=self._pos[atoms], gdb=torch.tensor([int(self.gdb[place])]))
        if self.values is not None:
            data.target = self.values[place : place + 1]
        return data

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.root)!r}, {self.target!r}, {len(self)} molecules)"


def _values(target: str, arrays: dict[str, np.ndarray], ends: np.ndarray) -> np.ndarray:
    info = QM9_TARGETS[target]
    values: np.ndarray = arrays["table"][:, _COLUMNS.index(info.column)]
    if info.free_atoms is not None:
        unknown = set(np.unique(arrays["z"]).tolist()) - set(info.free_atoms)
        if unknown:
            raise ValueError(f"'root' must hold H, C, N, O and F only, got the atomic numbers {sorted(unknown)}.")
        free = np.zeros(10)
        free[list(info.free_atoms)] = list(info.free_atoms.values())
        sums = np.concatenate([[0.0], free[arrays["z"]].cumsum()])
        values = values - np.diff(sums[np.concatenate([[0], ends])])
    return values * info.factor


def _local_files(root: Path) -> tuple[Path, Path] | None:
    geometries, tables = list(root.glob("*_geometry.npz")), list(root.glob("*_targets.csv*"))
    if not geometries and not tables:
        return None
    if len(geometries) != 1 or len(tables) != 1:
        raise ValueError(
            "'root' must hold one *_geometry.npz and one *_targets.csv (or .csv.xz), got "
            f"{len(geometries)} and {len(tables)} in {root}."
        )
    return geometries[0], tables[0]


def _read_folder(root: Path) -> dict[str, np.ndarray]:
    files = _local_files(root)
    assert files is not None
    geometry, table = files
    try:
        with np.load(geometry, allow_pickle=False) as found:
            gdb, natoms, z = (found[name].astype(np.int64) for name in ("index", "natoms", "Z"))
            pos = found["pos_microangstrom"] * 1e-6
        text = (lzma.decompress(table.read_bytes()) if table.suffix == ".xz" else table.read_bytes()).decode()
        rows = list(csv.DictReader(text.splitlines()))
    except (FileNotFoundError, PermissionError):
        raise
    except Exception as error:  # what is raised depends on the bytes
        raise ValueError(f"'root' must hold whole files, got a damaged one in {root}: {error}") from error
    numbers = [int(row["mol_id"].removeprefix("gdb_")) for row in rows]
    if numbers != gdb.tolist() or len(z) != natoms.sum() or pos.shape != (len(z), 3):
        raise ValueError(f"'root' must hold the same molecules in {geometry.name} and {table.name}, got others: {root}")
    values = np.array([[float(row[column]) for column in _COLUMNS] for row in rows])
    return {"gdb": gdb, "natoms": natoms, "z": z, "pos": pos, "table": values}


def _read_pyg(root: Path, download: bool) -> dict[str, np.ndarray]:
    from torch_geometric.datasets import QM9 as PyGQM9

    rdkit = importlib.util.find_spec("rdkit") is not None
    raw = root / "raw"
    url, names = (PyGQM9.raw_url, ["gdb9.sdf", "gdb9.sdf.csv"]) if rdkit else (PyGQM9.processed_url, [_PYG_FILE])
    targets = " and ".join(str(raw / name) for name in names)
    also = f", and {PyGQM9.raw_url2} as {raw / 'uncharacterized.txt'}" if rdkit else ""
    help_ = (
        f"where there is a connection download {url}, unzip it to {targets}{also}; or name a folder with "
        "*_geometry.npz and *_targets.csv"
    )
    here = (root / "processed" / "data_v3.pt").exists() or all((raw / name).exists() for name in names)
    if not here and not download:
        raise FileNotFoundError(f"'root' must be a folder with QM9, got {str(root)!r} without it: {help_}.")
    made = [folder for folder in (raw, root) if not folder.exists()]
    try:
        with _without_code():
            dataset = PyGQM9(str(root))
    except (pickle.UnpicklingError, AssertionError, EOFError, TypeError, RuntimeError) as error:
        raise ValueError(
            f"'root' must hold PyG's QM9 in files that need no code to be read, got others in {root}: "
            f"{str(error).splitlines()[0] if str(error) else type(error).__name__} Delete {root / 'processed'}, and "
            f"{raw} too if it was not downloaded by PyG."
        ) from error
    except OSError as error:
        (raw / url.rsplit("/", 1)[-1]).unlink(missing_ok=True)  # a half of it would be taken for the whole
        for folder in made:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        raise FileNotFoundError(
            f"'root' must be a folder with QM9, got {str(root)!r} without it, and the download failed ({error}): "
            f"{help_}."
        ) from error
    return _from_pyg(dataset)


@contextmanager
def _without_code() -> Iterator[None]:
    """Read files without running what is in them: PyG falls back to that where a file asks for it."""
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Weights only load failed")
            yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before


def _from_pyg(dataset: Any) -> dict[str, np.ndarray]:
    molecules = [dataset[place] for place in range(len(dataset))]
    gdb = np.array([int(molecule.name.removeprefix("gdb_")) for molecule in molecules])
    if [int(molecule.idx) + 1 for molecule in molecules] != gdb.tolist():
        raise ValueError("'root' must hold PyG's QM9, whose 'idx' is the gdb number less 1, got other numbers.")
    factors = np.array([1.0 if target.factor == 1.0 else _PYG_HARTREE for target in QM9_TARGETS.values()])
    table = torch.cat([molecule.y[:, : len(factors)] for molecule in molecules]).double().numpy() / factors
    return {
        "gdb": gdb,
        "natoms": np.array([molecule.num_nodes for molecule in molecules]),
        "z": torch.cat([molecule.z for molecule in molecules]).numpy(),
        "pos": torch.cat([molecule.pos for molecule in molecules]).double().numpy(),
        "table": table,
    }


def read_uncharacterized(path: str | Path) -> set[int]:
    """The gdb numbers of the published list ``uncharacterized.txt``.

    Args:
        path: the file: nine lines of heading, then a line a molecule that begins with its gdb number (from 1), then
            one closing line.

    Returns:
        the numbers.

    Raises:
        ValueError: there are not 3,054 of them.
    """
    words = [line.split()[:1] for line in Path(path).read_text().rstrip().splitlines()[9:-1]]
    numbers = {int(first[0]) for first in words if first and first[0].isdigit()}
    if len(numbers) != _NUM_UNCHARACTERIZED:
        raise ValueError(
            f"'path' must hold the {_NUM_UNCHARACTERIZED} uncharacterised molecules of QM9, got {len(numbers)} in "
            f"{path}: take the published file."
        )
    return numbers


def _leave_out(arrays: dict[str, np.ndarray], path: Path) -> dict[str, np.ndarray]:
    if not path.exists():
        return arrays
    keep = ~np.isin(arrays["gdb"], list(read_uncharacterized(path)))
    atoms = keep.repeat(arrays["natoms"])
    return {name: values[atoms if name in ("z", "pos") else keep] for name, values in arrays.items()}
