"""The package as a whole: what it exports, what it imports, and that documentation says what the code does."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import pyg_mpnn

ROOT = Path(__file__).parents[1]
MODULES = sorted(
    module.name for module in pkgutil.walk_packages(pyg_mpnn.__path__, "pyg_mpnn.") if not module.name.endswith("__")
)
PACKAGES = ["pyg_mpnn", *(name for name in MODULES if hasattr(importlib.import_module(name), "__path__"))]
OPTIONAL = ("lightning", "ase", "matplotlib", "jsonargparse")

# The words of style and documentation for the axes of tensors; digits, products and "any" besides.
AXES = {"nodes", "edges", "triplets", "graphs", "channels", "radial", "angular", "heads"}
SECTIONS = ["Args", "Shapes", "Units", "Raises", "Source", "Example"]


def public(package: str) -> list[str]:
    return list(importlib.import_module(package).__all__)


def public_blocks() -> list[type]:
    """Public classes that compute something on tensors."""
    values = (getattr(pyg_mpnn, name) for name in pyg_mpnn.__all__)
    return [value for value in values if inspect.isclass(value) and "forward" in vars(value)]


def sections(doc: str) -> dict[str, str]:
    """Text of each Google-style section of a docstring, in order."""
    parts = re.split(rf"^({'|'.join(SECTIONS)}):\s*$", inspect.cleandoc(doc), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


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


@pytest.mark.parametrize("name", PACKAGES)
def test_all_lists_existing_names_once(name):
    assert len(set(public(name))) == len(public(name))
    assert all(hasattr(importlib.import_module(name), item) for item in public(name))


def test_import_needs_no_optional_package():
    loaded = run("import sys, pyg_mpnn; print(*sorted(name for name in sys.modules if '.' not in name))").split()
    assert "torch_geometric" in loaded
    assert not set(OPTIONAL) & set(loaded)


@pytest.mark.parametrize(
    ("code", "missing", "extra"),
    [
        ("import pyg_mpnn; pyg_mpnn.PotentialCalculator", "ase", "md"),
        ("import pyg_mpnn.training", "lightning", "train"),
        ("import pyg_mpnn.cli", "jsonargparse", "train"),
    ],
)
def test_missing_optional_package_is_named_with_its_extra(code, missing, extra):
    blocked = f"import sys; sys.modules[{missing!r}] = None\n"
    printed = run(f"{blocked}try:\n    {code}\nexcept ImportError as error:\n    print(error)")
    assert f"pyg_mpnn[{extra}]" in printed


@pytest.mark.parametrize("path", sorted((ROOT / "pyg_mpnn").rglob("*.py")), ids=lambda path: path.name)
def test_module_defers_annotations(path):
    """Without it PyG rejects optional arguments of `message` and drops its fast path silently."""
    first = next(node for node in ast.parse(path.read_text()).body if not isinstance(node, ast.Expr))
    assert isinstance(first, ast.ImportFrom)
    assert (first.module, first.names[0].name) == ("__future__", "annotations")


def defining_modules() -> list[str]:
    """Modules that define a public name."""
    values = (getattr(importlib.import_module(package), name) for package in PACKAGES for name in public(package))
    return sorted({module for value in values if (module := getattr(value, "__module__", "")).startswith("pyg_mpnn.")})


@pytest.mark.parametrize("name", defining_modules())
def test_module_has_its_mirrored_test(name):
    *folders, stem = name.split(".")[1:]
    assert (ROOT / "tests").joinpath(*folders, f"test_{stem}.py").exists()


@pytest.mark.parametrize("block", public_blocks(), ids=lambda block: block.__name__)
def test_docstring_has_its_sections_in_order(block):
    found = list(sections(block.__doc__))
    assert found == [name for name in SECTIONS if name in found]
    if not inspect.isabstract(block) and block.__subclasses__() == []:
        assert {"Shapes", "Units", "Source", "Example"} <= set(found)
        assert "\n" not in block.__doc__.split("\n\n")[0].strip()


@pytest.mark.parametrize("block", public_blocks(), ids=lambda block: block.__name__)
def test_shapes_name_the_axes_of_the_annotations(block):
    annotations = inspect.get_annotations(inspect.unwrap(vars(block)["forward"])).values()
    words = {word for text in annotations for axes in re.findall(r'"([^"]*)"', str(text)) for word in axes.split()}
    words = {word.lstrip("*#") for word in words} - {"_", "..."}
    words = {word for word in words if not word.isdigit()}
    assert words <= AXES, f"unknown axis words {words - AXES}"
    described = sections(block.__doc__).get("Shapes", "")
    assert all(re.search(rf"\b{word}\b", described) for word in words), f"{words} are not all under Shapes"


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
