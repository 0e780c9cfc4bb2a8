"""Check the short demo: its force error is under half of the one made by predicting no force at all.

Usage: python .ci/check_demo.py demo/test.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

from pyg_mpnn.data import ethanol


def main() -> None:
    trained = json.loads(Path(sys.argv[1]).read_text())["forces_mae_meV_per_A"]
    trivial = 1000 * torch.cat([frame.forces for frame in ethanol("test")]).abs().mean().item()
    print(f"demo: force MAE {trained:.1f} meV/A; predicting zero: {trivial:.1f} meV/A")
    if not trained < trivial / 2:
        sys.exit("demo: the trained potential is not twice as good as predicting zero")


if __name__ == "__main__":
    main()
