from __future__ import annotations

import io
import sys
import time

import pytest

import pyg_mpnn.deploy.announce as announce_module
from pyg_mpnn.deploy.announce import announce


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_says_what_it_does_and_how_long_it_took(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with announce("Compiling the crystal", 31.4):
        assert sys.stderr.getvalue() == "Compiling the crystal, once: about 31 s on a free core ...\n"
    assert sys.stderr.getvalue().endswith("...\nDone in 0 s\n")


@pytest.mark.slow
def test_counts_the_seconds_on_a_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with announce("Compiling", 2.0):
        time.sleep(1.2)
    assert "\r  1 of about 2 s" in sys.stderr.getvalue()


def test_a_line_each_minute_without_a_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    monkeypatch.setattr(announce_module, "MINUTE", 0.02)
    with announce("Compiling", 2.0):
        time.sleep(0.2)
    assert sys.stderr.getvalue().startswith("Compiling, once: about 2 s on a free core ...\n  0 of about 2 s\n")


def test_an_error_is_not_done(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with pytest.raises(KeyError), announce("Compiling", 2.0):
        raise KeyError
    assert "Done" not in sys.stderr.getvalue()
