"""The tables of docs/learning.md, from the result files: `python -m benchmarks.tables` writes them into the page."""

from __future__ import annotations

import re

from benchmarks.learn import barrier, crystal, emt, ethanol, intervals
from benchmarks.record import RESULTS

PAGE = RESULTS.parents[1] / "docs" / "learning.md"
TABLES = {
    "emt": emt.table,
    "barrier": barrier.table,
    "intervals": intervals.table,
    "ethanol": ethanol.table,
    "crystal": crystal.tables,
}


def build() -> str:
    """The page with its tables made anew, each after its mark."""
    page = PAGE.read_text()
    for name, table in TABLES.items():
        mark = f"<!-- {name}: made by python -m benchmarks.tables -->\n\n"
        before, found, after = page.partition(mark)
        if not found:
            raise ValueError(f"{PAGE} must have the mark of the table {name}: {mark.strip()}")
        rest = re.sub(r"\A(\|.*\n)*", "", after)
        page = f"{before}{mark}{table()}\n{rest}"
    return page
