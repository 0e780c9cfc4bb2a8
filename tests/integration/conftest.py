"""Whole commands and trainings as users run them; the shapes of the parts are checked where the parts are tested."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _as_users_run_it(unchecked: None, undrawn: None) -> None:
    """Without shape checks, which take a third of the time, and draw from the generator whose state is resumed."""
