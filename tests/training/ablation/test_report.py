from __future__ import annotations

import json
from pathlib import Path

from matplotlib.image import imread

from pyg_mpnn.training.ablation.report import markdown, pareto_front, write_report


def test_report_has_the_numbers_and_a_picture(folder: Path, drawn: None) -> None:
    write_report(folder)
    text = (folder / "ablation.md").read_text()
    row = (
        "| l_max 3 | 3 | 1,234 | 100 | 9.0 ± 1.0 | -2.0 ± 0.2 | 1.0 ± 0.0 | 200 | 200 | lower error; slower (x 2.00) |"
    )
    assert row in text
    assert (
        "ethanol.npz, size small, num_layers 3, cutoff 5 A, 3 minutes a cell, batch 8, eager, cpu, 1 thread(s)" in text
    )
    assert "- l_max: pays: l_max 3" in text
    picture = imread(folder / "pareto.png")
    assert picture[..., :3].std() > 0.05  # not blank


def test_a_disturbed_machine_is_told(folder: Path) -> None:
    assert "another program" not in markdown(folder)
    path = folder / "cells" / "l_max-3-seed0.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"cpu_seconds_per_second": 0.4}))
    assert "In 1 of 12 cells another program took part of the processor (the lowest share was 40%)" in markdown(folder)


def test_nothing_run_yet(tmp_path: Path) -> None:
    assert markdown(tmp_path) == "Not run."


def test_front_leaves_out_what_is_beaten() -> None:
    assert pareto_front([(3.0, 1.0), (1.0, 3.0), (2.0, 3.0), (1.0, 4.0)]) == [(1.0, 3.0), (3.0, 1.0)]
