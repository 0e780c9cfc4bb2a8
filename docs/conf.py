"""Sphinx configuration. The build needs no network; set PYG_MPNN_INTERSPHINX=1 to link to other projects' pages."""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import os
import pkgutil
import pydoc
import shutil
import warnings
from typing import Any

import matplotlib as mpl
from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx_gallery.scrapers import figure_rst

# Tutorials run in the build: a warning in one of them is an error there as it is in the tests.
mpl.use("agg")
warnings.filterwarnings("ignore", category=DeprecationWarning)

project = "pyg_mpnn"
author = "the pyg_mpnn developers"
copyright = author
release = importlib.metadata.version("pyg-mpnn")
version = release

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_gallery.gen_gallery",
]
html_theme = "furo"
html_title = f"pyg_mpnn {release}"
templates_path = ["_templates"]
exclude_patterns = ["_build", "tutorials", "laws_results.md", "engines_results.md"]
myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3


def public_names(name: str) -> list[str]:
    """Public names of a module: those in `__all__`, or where there is none the ones that it defines."""
    module = importlib.import_module(name)
    defined = [
        key
        for key, value in vars(module).items()
        if not key.startswith("_") and not inspect.ismodule(value) and getattr(value, "__module__", name) == name
    ]
    return list(getattr(module, "__all__", defined))


def submodules(name: str) -> list[str]:
    """The floors of the package."""
    path = importlib.import_module(name).__path__
    return [module.name for module in pkgutil.iter_modules(path) if not module.name.startswith("_")]


# API pages follow the code (docs/_templates): a new block appears without an edit here.
autosummary_generate = True
autosummary_context = {"public_names": public_names, "submodules": submodules}
suppress_warnings = ["config.cache"]  # that context holds functions
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_typehints = "signature"
napoleon_custom_sections = ["Shapes", "Units", "Source"]
napoleon_use_ivar = True

# Links to our own names must lead somewhere. Other projects' names are linked where intersphinx is on.
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(?!pyg_mpnn\.).*"),
    # types of arguments and bases that are no public names
    ("py:class", r"pyg_mpnn\.models\.(structure\.Structure|energy_model\._Energies|files\.Stored|build\.Described)"),
    ("py:class", r"pyg_mpnn\.(layers\.edge_block\.(EdgeBlock|Values)|geometry\.structures\.Structures)"),
    ("py:class", r"pyg_mpnn\.data\.(dataset|frames|stream)\.\w+"),
]
if os.environ.get("PYG_MPNN_INTERSPHINX"):
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3", None),
        "torch": ("https://docs.pytorch.org/docs/stable", None),
        "torch_geometric": ("https://pytorch-geometric.readthedocs.io/en/latest", None),
        "e3nn": ("https://docs.e3nn.org/en/stable", None),
        "ase": ("https://ase-lib.org", None),
    }


def written_pictures(block: Any, block_vars: dict[str, Any], gallery_conf: dict[str, Any]) -> str:
    """Show the files that a page names in ``pictures``, those that a command has written."""
    shown = []
    for picture in block_vars["example_globals"].pop("pictures", []):
        shown.append(next(block_vars["image_path_iterator"]))
        shutil.copy(picture, shown[-1])
    return str(figure_rst(shown, gallery_conf["src_dir"]))


sphinx_gallery_conf = {
    "image_scrapers": ("matplotlib", written_pictures),
    "within_subsection_order": "FileNameSortKey",
    "examples_dirs": "tutorials",
    "gallery_dirs": "gallery",
    "filename_pattern": r"\.py$",
    "ignore_pattern": r"my_parts\.py$",  # shown in a page, and imported there
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_memory": False,
    "write_computation_times": False,
}


def link_alias(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, contnode: nodes.TextElement
) -> nodes.Node | None:
    """Link a name under any path that imports it, such as `pyg_mpnn.EdgeMLP`, to the page of the object."""
    target = node["reftarget"]
    if node["refdomain"] != "py" or not target.startswith("pyg_mpnn."):
        return None
    short = target.rpartition(".")[2]
    for name in env.domaindata["py"]["objects"]:
        if name.rpartition(".")[2] == short and pydoc.locate(name) is pydoc.locate(target):
            return env.domains["py"].resolve_xref(
                env, node["refdoc"], app.builder, node["reftype"], name, node, contnode
            )
    return None


def drop_type_docstring(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """A constant is not described by the docstring of its type."""
    if what == "data" and inspect.getdoc(type(obj)) == "\n".join(lines).strip():
        lines.clear()


def setup(app: Sphinx) -> None:
    app.connect("autodoc-process-docstring", drop_type_docstring)
    app.connect("missing-reference", link_alias)
