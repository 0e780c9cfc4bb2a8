"""Compiled code of one test session is kept in one folder, away from the user's."""

from __future__ import annotations

import shutil

import pytest


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.getbasetemp() / "compiled"
    monkeypatch.setenv("PYG_MPNN_CACHE", str(folder))
    return folder


@pytest.fixture
def compiler():
    """A C++ compiler, without which there is nothing to test."""
    if shutil.which("g++") is None:
        pytest.skip("no C++ compiler g++")
