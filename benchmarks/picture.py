"""The picture of the README: parity and energy conservation of a finished `make demo`, side by side.

python -m benchmarks.picture demo       writes docs/images/demo.png, and benchmarks/results/demo.json about it
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.image import imread

from benchmarks.record import RESULTS

TARGET = Path(__file__).parents[1] / "docs" / "images" / "demo.png"


def main() -> None:
    run = Path(sys.argv[1])
    pictures = [imread(run / name) for name in ("parity.png", "md/energy_drift.png")]
    widths = [picture.shape[1] / picture.shape[0] for picture in pictures]
    figure = Figure(figsize=(12, 12 / sum(widths)), layout="constrained")
    for axes, picture in zip(figure.subplots(1, 2, width_ratios=widths), pictures, strict=True):
        axes.imshow(picture)
        axes.axis("off")
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(TARGET, dpi=100)
    shutil.copy(run / "model_card.json", RESULTS / "demo.json")
    print(f"written to {TARGET} and {RESULTS / 'demo.json'}")


if __name__ == "__main__":
    main()
