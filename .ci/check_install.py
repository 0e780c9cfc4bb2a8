"""Check that the wheel installs as a user installs it: from the package index, without the clone and constraints.txt.

Usage: python .ci/check_install.py [--only resolve|install|recipe]; needs the packages `build`, `uv` and
`py-rattler-build`.

`resolve` asks for the newest versions that each extra admits on each Python: metadata only, wheels only, Linux on
x86-64 with glibc 2.34; nothing of it is run. `install` makes an empty environment of the Python that runs this script,
installs the torch that TORCH names (as in the Makefile) and then the wheel with its extras, trains, evaluates, runs
dynamics and predicts. `recipe` renders the recipe for conda-forge; nothing is built. Each writes what it found to
packaging/install.json and ends with an error where that is not what is expected.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import tomllib

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "packaging" / "install.json"
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
PLATFORM = "x86_64-manylinux_2_34"  # OpenMM 8.6 has wheels for glibc 2.34 and later only
INSTALLED = "train,md,hdf5"
# What cannot be had, and the words of the resolver that say so.
REFUSED = {("3.10", "torchsim"): "does not satisfy Python>=3.11"}
# Source only on the package index: to learn what these need, torch must be there. check_wheel.py resolves them with it.
SOURCE_ONLY = ("cluster",)
SHOWN = ("torch", "torch-geometric", "e3nn", "vesin", "numpy", "ase", "lightning", "sphinx")
COMMANDS = (
    "train --data ethanol --test ethanol --size small --epochs 1 --compile off --out run",
    "evaluate --model run/best.ckpt --data ethanol --json test.json",
    "md --model run/best.ckpt --structure ethanol --steps 20 --compile off --out md",
    "predict --model run/best.ckpt --structures ethanol --out predicted.xyz",
)


def requirements() -> dict[str, list[str]]:
    """What each extra asks for; the empty name stands for the core."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return {"": project["dependencies"], **project["optional-dependencies"]}


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder with nothing of the clone on its path, and without constraints by the environment."""
    dropped = ("PYTHONPATH", "VIRTUAL_ENV", "PIP_CONSTRAINT", "UV_CONSTRAINT")
    environment = {key: value for key, value in os.environ.items() if key not in dropped}
    return subprocess.run(
        list(map(str, command)), cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


def must(*command: str | Path, cwd: Path) -> str:
    done = run(*command, cwd=cwd)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def resolve(wheel: Path, folder: Path) -> dict[str, dict[str, object]]:
    """The newest versions for each Python and extra, or why there are none."""
    # For a Python that is not here uv would try to download one, three times for each question; metadata need none.
    flags = ["--no-config", "--no-header", "--no-annotate", "--only-binary", ":all:"]
    flags += ["--python", sys.executable, "--no-python-downloads", "--python-platform", PLATFORM]
    found: dict[str, dict[str, object]] = {}
    for python in PYTHONS:
        for extra in requirements():
            if extra in SOURCE_ONLY:
                continue
            asked = folder / "asked.txt"
            asked.write_text(f"pyg-mpnn[{extra}] @ {wheel.as_uri()}\n" if extra else f"pyg-mpnn @ {wheel.as_uri()}\n")
            done = run(
                *[sys.executable, "-m", "uv", "pip", "compile", *flags, "--python-version", python, asked], cwd=folder
            )
            versions = dict(re.findall(r"^([\w.-]+)==(\S+)", done.stdout, re.MULTILINE))
            refused = REFUSED.get((python, extra))
            message = " ".join(done.stderr.split())
            if (refused is None) != (done.returncode == 0) or (refused and refused not in message):
                sys.exit(f"Python {python}, extra {extra or 'none'}: expected {refused or 'versions'}, got\n{message}")
            key = f"{python} {extra or 'core'}"
            found[key] = {"refused": refused} if refused else {"packages": len(versions)}
            found[key].update({name: versions[name] for name in SHOWN if name in versions})
            print(key, found[key], flush=True)
    return found


def install(wheel: Path, folder: Path) -> dict[str, object]:
    """Install for real and use it."""
    venv.create(folder / "empty", with_pip=True)
    binaries = folder / "empty" / "bin"
    pip = [binaries / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    must(*pip, *os.environ.get("TORCH", "torch==2.13.0").split(), cwd=folder)
    must(*pip, f"pyg-mpnn[{INSTALLED}] @ {wheel.as_uri()}", cwd=folder)
    where = must(binaries / "python", "-I", "-c", "import pyg_mpnn; print(pyg_mpnn.__file__)", cwd=folder)
    assert Path(where.strip()).is_relative_to(folder / "empty"), where
    for command in COMMANDS:
        print("pyg-mpnn", command, flush=True)
        must(binaries / "pyg-mpnn", *command.split(), cwd=folder)
    listed = json.loads(must(binaries / "python", "-m", "pip", "list", "--format", "json", cwd=folder))
    versions = {item["name"].lower().replace("_", "-"): item["version"] for item in listed}
    return {
        "python": platform.python_version(),
        "extras": INSTALLED,
        "packages": len(versions),
        "commands": [f"pyg-mpnn {command}" for command in COMMANDS],
        **{name: versions[name] for name in SHOWN if name in versions},
    }


def render() -> dict[str, object]:
    """The recipe for conda-forge as its build tool understands it."""
    from rattler_build import Stage0Recipe, VariantConfig, rattler_build_version

    recipe = Stage0Recipe.from_file(str(ROOT / "packaging" / "conda" / "recipe.yaml"))
    (variant,) = recipe.render(VariantConfig())
    package = variant.recipe.package
    return {
        "package": f"{package.name} {package.version}",
        "run": [str(item) for item in variant.recipe.requirements.run],
        "rattler-build": rattler_build_version(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("resolve", "install", "recipe"))
    only = parser.parse_args().only
    result = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    if only in (None, "recipe"):
        result["recipe"] = render()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        if only != "recipe":
            must(sys.executable, "-m", "build", "--wheel", "--outdir", folder / "dist", ROOT, cwd=folder)
            wheel = next((folder / "dist").glob("*.whl"))
        if only in (None, "resolve"):
            result["requirements"], result["platform"], result["resolved"] = (
                requirements(),
                PLATFORM,
                resolve(wheel, folder),
            )
        if only in (None, "install"):
            result["run"] = install(wheel, folder)
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    print(f"written: {RESULT.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
