"""Sphinx configuration. The build needs no network; set PYG_MPNN_INTERSPHINX=1 to link to other projects' pages."""

from __future__ import annotations

import importlib.metadata
import os
import warnings

import matplotlib as mpl

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
exclude_patterns = ["_build", "tutorials"]
myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3

# API pages follow the packages' __all__: a new block appears without an edit here.
autosummary_generate = True
autosummary_ignore_module_all = False
autosummary_imported_members = True
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_typehints = "signature"
napoleon_custom_sections = ["Shapes", "Units", "Source"]
napoleon_use_ivar = True

# Links to our own names must lead somewhere. Other projects' names are linked where intersphinx is on.
nitpicky = True
nitpick_ignore_regex = [("py:.*", r"(?!pyg_mpnn\.).*")]
if os.environ.get("PYG_MPNN_INTERSPHINX"):
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3", None),
        "torch": ("https://docs.pytorch.org/docs/stable", None),
        "torch_geometric": ("https://pytorch-geometric.readthedocs.io/en/latest", None),
        "e3nn": ("https://docs.e3nn.org/en/stable", None),
        "ase": ("https://ase-lib.org", None),
    }

sphinx_gallery_conf = {
    "examples_dirs": "tutorials",
    "gallery_dirs": "gallery",
    "filename_pattern": r"\.py$",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_memory": False,
    "write_computation_times": False,
}
