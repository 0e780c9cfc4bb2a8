"""The package as a whole: what it exports, what it imports, and that the README says what the code does."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import json
import pkgutil
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import pyg_mpnn
from pyg_mpnn.cli.main import parse_command

ROOT = Path(__file__).parents[1]
MODULES = sorted(
    module.name for module in pkgutil.walk_packages(pyg_mpnn.__path__, "pyg_mpnn.") if not module.name.endswith("__")
)
PACKAGES = ["pyg_mpnn", *(name for name in MODULES if hasattr(importlib.import_module(name), "__path__"))]
OPTIONAL = ("lightning", "ase", "matplotlib", "jsonargparse")


def public(package: str) -> list[str]:
    return list(importlib.import_module(package).__all__)


def run(code: str) -> str:
    """Run Python code in a new process."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_version_is_the_one_of_the_metadata():
    assert pyg_mpnn.__version__ == importlib.metadata.version("pyg-mpnn")
    assert f"version: {pyg_mpnn.__version__}" in (ROOT / "CITATION.cff").read_text()


def test_package_is_typed():
    assert Path(pyg_mpnn.__file__).with_name("py.typed").exists()


def test_all_lists_existing_names_once():
    twice = [name for name in PACKAGES if len(set(public(name))) < len(public(name))]
    missing = [
        f"{name}.{item}"
        for name in PACKAGES
        for item in public(name)
        if not hasattr(importlib.import_module(name), item)
    ]
    assert (twice, missing) == ([], [])


@pytest.mark.slow
def test_import_needs_no_optional_package():
    lines = ["import sys, time, torch_geometric", "start = time.process_time()", "from pyg_mpnn import *"]
    seconds, *loaded = run("\n".join([*lines, "print(time.process_time() - start, *sys.modules)"])).split()
    assert "pyg_mpnn.models" in loaded
    assert not set(OPTIONAL) & set(loaded)
    assert float(seconds) < 0.4, "seconds of CPU above PyG's own"


@pytest.mark.slow
def test_names_are_imported_on_first_use():
    assert "pyg_mpnn.models" not in run("import sys, pyg_mpnn; print(*sys.modules)").split()
    assert (
        run("import pyg_mpnn; print(pyg_mpnn.layers.EdgeMLP is pyg_mpnn.EdgeMLP, 'EdgeMLP' in dir(pyg_mpnn))")
        == "True True\n"
    )
    with pytest.raises(AttributeError, match="module 'pyg_mpnn' has no attribute 'absent'"):
        _ = pyg_mpnn.absent


@pytest.mark.slow
def test_missing_optional_package_is_named_with_its_extra():
    """Each missing alone, in turn in one process: to import torch takes seconds."""
    cases = {"ase": "pyg_mpnn.PotentialCalculator", "lightning": "import pyg_mpnn.training"}
    cases["jsonargparse"] = "import pyg_mpnn.cli"
    lines = ["import sys, pyg_mpnn.models"]
    for missing, code in cases.items():
        lines += [f"sys.modules[{missing!r}] = None", "try:", f"    {code}", "except ImportError as error:"]
        lines += ["    print(error)", f"del sys.modules[{missing!r}]"]
    printed = run("\n".join(lines)).splitlines()
    assert len(printed) == 3
    for line, extra in zip(printed, ["md", "train", "train"], strict=True):
        assert f"pyg_mpnn[{extra}]" in line


def defers_annotations(source):
    first = next((node for node in ast.parse(source).body if not isinstance(node, ast.Expr)), None)
    return isinstance(first, ast.ImportFrom) and (first.module, first.names[0].name) == ("__future__", "annotations")


def test_modules_defer_annotations():
    """Without it PyG rejects optional arguments of `message` and drops its fast path silently."""
    files = sorted((ROOT / "pyg_mpnn").rglob("*.py"))
    assert len(files) > 50
    assert [str(path) for path in files if not defers_annotations(path.read_text())] == []
    assert not defers_annotations("import ast\n"), "control"


def test_no_file_shadows_a_module_of_python():
    """One that is run as a script has its folder first on the path: ``import inspect`` would find ours."""
    assert not {name.rpartition(".")[2] for name in MODULES} & sys.stdlib_module_names


def defining_modules() -> list[str]:
    """Modules that define a public name."""
    values = (getattr(importlib.import_module(package), name) for package in PACKAGES for name in public(package))
    return sorted({module for value in values if (module := getattr(value, "__module__", "")).startswith("pyg_mpnn.")})


def test_modules_have_their_mirrored_tests():
    places = [name.split(".")[1:] for name in defining_modules()]
    files = [ROOT.joinpath("tests", *folders, f"test_{stem}.py") for *folders, stem in places]
    assert len(files) > 50
    assert [str(path) for path in files if not path.exists()] == []


def readme_examples() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("index", range(len(readme_examples())))
def test_readme_example_runs(index):
    scope: dict[str, object] = {}
    exec(compile(readme_examples()[index], f"README.md, example {index}", "exec"), scope)
    if "energy" in scope:
        assert scope["energy"].isfinite().all()
        assert scope["forces"].abs().max() > 0


def test_readme_commands_exist():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = set(re.findall(r"^make ([a-z]+)", (ROOT / "README.md").read_text(), flags=re.MULTILINE))
    assert {"demo", "test"} <= named <= targets


def commands_of(path: Path) -> list[str]:
    """Commands of the package in the code blocks of a page, one line each."""
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [line for line in lines if line.startswith("pyg-mpnn ")]


@pytest.mark.slow
@pytest.mark.parametrize("page", ["README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))])
def test_commands_of_the_pages_are_understood(page):
    for command in commands_of(ROOT / page):
        parse_command(shlex.split(command, comments=True)[1:])


def test_commands_of_the_pages_are_found_and_a_wrong_one_is_not_understood():
    assert len(commands_of(ROOT / "README.md")) > 10
    with pytest.raises(SystemExit, match="2"):
        parse_command(["train", "--data", "ethanol", "--out", "run", "--frieze", "atomwise"])


def said(source: Path) -> list[str]:
    """Texts in the code of a file, with `…` where a value is put in."""
    tree = ast.parse(source.read_text())
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    texts = []
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            texts.append("".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts:
            texts.append(node.value)
    return [" ".join(text.split()) for text in texts]


def test_questions_quote_messages_of_the_code():
    page = (ROOT / "docs" / "questions.md").read_text()
    quoted = [" ".join(text.split()) for text in re.findall(r"```text\n(.*?)```", page, re.DOTALL)]
    texts = [text for path in Path(pyg_mpnn.__file__).parent.rglob("*.py") for text in said(path)]
    assert len(quoted) > 20
    assert [text for text in quoted if not any(text in known for known in texts)] == []
    assert not any("'pos' must be a Hamiltonian, got …" in known for known in texts)  # the control


def test_install_result_is_of_these_requirements():
    project = pytest.importorskip("tomllib").loads((ROOT / "pyproject.toml").read_text())["project"]  # Python 3.11
    found = json.loads((ROOT / "packaging" / "install.json").read_text())
    required = {"": project["dependencies"], **project["optional-dependencies"]}
    assert found["requirements"] == required, "repeat python .ci/check_install.py"
    pythons = ("3.10", "3.11", "3.12", "3.13")
    expected = {f"{python} {extra or 'core'}" for python in pythons for extra in required if extra != "cluster"}
    assert set(found["resolved"]) == expected


def test_conda_recipe_asks_for_what_the_package_asks_for():
    project = pytest.importorskip("tomllib").loads((ROOT / "pyproject.toml").read_text())["project"]  # Python 3.11
    recipe = json.loads((ROOT / "packaging" / "install.json").read_text())["recipe"]
    assert recipe["package"] == f"pyg-mpnn {project['version']}"
    text = (ROOT / "packaging" / "conda" / "recipe.yaml").read_text()
    assert all(f"- {item}" in text.replace("${{ python_min }}", "3.10") for item in recipe["run"]), "render it again"
    names = {
        "torch": "pytorch",
        "torch-geometric": "pytorch_geometric",
        "matplotlib": "matplotlib-base",
        "lmdb": "python-lmdb",
    }
    extras = project["optional-dependencies"]
    for item in (*project["dependencies"], *extras["train"], *extras["md"], *extras["hdf5"]):
        name, lowest = re.fullmatch(r"([\w-]+)(?:\[\w+\])?>=(\S+)", item).groups()
        assert f"{names.get(name, name)} >={lowest}" in recipe["run"]
