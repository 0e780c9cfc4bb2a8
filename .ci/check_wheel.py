"""Build sdist and wheel, install the wheel in an empty environment away from the clone, and use it there.

Usage: python .ci/check_wheel.py [pip options such as --find-links DIR]; needs the package `build`; environment variable
TORCH as in the Makefile.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import venv
import zipfile
from email.parser import Parser
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = {"train", "md", "cluster", "test", "docs", "all"}
NAMED = ["torch", "torch-geometric", "e3nn", "vesin", "torch-cluster", "torch-scatter", "pytest", "lightning", "ase"]

# What a user of the core dependencies does: no Lightning, ASE or matplotlib anywhere.
CORE = """
import importlib.util, pathlib, sys
for name in ("lightning", "ase", "matplotlib", "jsonargparse", "torch_cluster", "torch_scatter"):
    assert importlib.util.find_spec(name) is None, f"{name} is installed: the environment is not the core one"
import torch, pyg_mpnn
from pyg_mpnn import Potential
from pyg_mpnn.basis import PolynomialCutoff, BesselBasis
assert pathlib.Path(pyg_mpnn.__file__).is_relative_to(sys.prefix), pyg_mpnn.__file__
assert pathlib.Path(pyg_mpnn.__file__).with_name("py.typed").exists()
dist = torch.linspace(0.5, 5.0, 7)
edge_attr = BesselBasis(5.0, num_radial=8)(dist) * PolynomialCutoff(5.0)(dist).unsqueeze(-1)
assert edge_attr.shape == (7, 8) and edge_attr.isfinite().all()
try:
    pyg_mpnn.PotentialCalculator
except ImportError as error:
    assert "pyg_mpnn[md]" in str(error), error
else:
    raise AssertionError("PotentialCalculator without ASE must name the extra to install")
print("core: one layer runs, version", pyg_mpnn.__version__)
"""


def run(*command: str | Path, cwd: Path) -> None:
    """Run a command in a folder with nothing of the clone on its path."""
    print("+", *command, flush=True)
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    subprocess.run(list(map(str, command)), cwd=cwd, env=environment, check=True)


def check_contents(wheel: Path) -> None:
    """The files and the metadata that users rely on."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = Parser().parsestr(
            archive.read(next(name for name in names if name.endswith(".dist-info/METADATA"))).decode()
        )
    assert "pyg_mpnn/py.typed" in names, "py.typed is missing"
    assert any(name.endswith(".npz") for name in names), "the ethanol sample is missing"
    shipped = ("organic", "organic-small")
    kept = {f"pyg_mpnn/models/pretrained/{name}{suffix}" for name in shipped for suffix in (".pt", ".md")}
    assert kept <= set(names), "a shipped potential or its card is missing"
    assert any(name.endswith("LICENSE") for name in names), "the licence is missing"
    assert not any(name.startswith(("tests", "docs", "benchmarks", "examples")) for name in names), names
    assert wheel.stat().st_size < 3_000_000, f"{wheel.name} has {wheel.stat().st_size} bytes"
    required = " ".join(metadata.get_all("Requires-Dist"))
    assert all(name in required for name in NAMED), f"not all of {NAMED} are in: {required}"
    assert set(metadata.get_all("Provides-Extra")) >= EXTRAS, metadata.get_all("Provides-Extra")


def check_extra(python: Path, wheel: Path, extra: str, options: list[str], folder: Path) -> None:
    """An extra resolves. torch-cluster's metadata needs the torch that is installed, hence no build isolation."""
    report = folder / f"{extra}.json"
    install = ["-m", "pip", "install", "--quiet", "--dry-run", "--no-build-isolation", "--report", report]
    run(python, *install, *options, f"pyg-mpnn[{extra}] @ {wheel.as_uri()}", cwd=folder)
    found = sorted(item["metadata"]["name"] for item in json.loads(report.read_text())["install"])
    assert "torch" not in found, f"the extra {extra} replaces torch"
    print(f"extra {extra}: {len(found)} packages to install", flush=True)


def main() -> None:
    options = [*sys.argv[1:], "-c", str(ROOT / "constraints.txt")]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run(sys.executable, "-m", "build", "--outdir", folder / "dist", ROOT, cwd=folder)
        wheel = next((folder / "dist").glob("*.whl"))
        check_contents(wheel)

        venv.create(folder / "empty", with_pip=True)
        python = folder / "empty" / "bin" / "python"
        pip = [python, "-m", "pip", "install", "--quiet"]
        run(*pip, *os.environ.get("TORCH", "torch==2.13.0").split(), cwd=folder)
        run(*pip, *options, wheel, cwd=folder)
        run(python, "-I", "-c", CORE, cwd=folder)

        run(*pip, "setuptools", "wheel", cwd=folder)
        for extra in sorted(EXTRAS):
            check_extra(python, wheel, extra, options, folder)

        downstream = ROOT / "examples" / "downstream"
        run(*pip, *options, "pytest", downstream, cwd=folder)
        run(
            python,
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "-c",
            downstream / "pyproject.toml",
            downstream,
            cwd=folder,
        )
    print("wheel: all checks passed")


if __name__ == "__main__":
    main()
