"""The picture of the README: parity and energy conservation of a finished `make demo`, one above the other.

python -m benchmarks.picture demo       writes docs/images/demo.png
"""

from __future__ import annotations

import sys
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.image import imread

TARGET = Path(__file__).parents[1] / "docs" / "images" / "demo.png"


def main() -> None:
    run = Path(sys.argv[1])
    pictures = [imread(run / name) for name in ("parity.png", "md/energy_drift.png")]
    heights = [picture.shape[0] / picture.shape[1] for picture in pictures]
    figure = Figure(figsize=(9, 9 * sum(heights)), layout="constrained")
    for axes, picture in zip(figure.subplots(2, 1, height_ratios=heights), pictures, strict=True):
        axes.imshow(picture)
        axes.axis("off")
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(TARGET, dpi=110)
    print(f"written to {TARGET}")


if __name__ == "__main__":
    main()
