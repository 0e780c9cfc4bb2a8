"""``python -m pyg_mpnn``: the same as the command ``pyg-mpnn``."""

from __future__ import annotations

import sys

from pyg_mpnn.cli import main

if __name__ == "__main__":
    sys.exit(main())
