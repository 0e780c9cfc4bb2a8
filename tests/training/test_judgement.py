"""The page, as its text says it and as a browser shows it."""

from __future__ import annotations

import gzip
import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from pyg_mpnn.cli import main
from pyg_mpnn.data import StructureDataset, ethanol
from pyg_mpnn.data.frames import CheckedFrames
from pyg_mpnn.training import Predictions, TrainingResult
from pyg_mpnn.training.judgement import JudgedSet, _counted, _number, judge_sets, write_judgement

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def text_of(page: Path) -> str:
    return " ".join(
        html.unescape(re.sub(r"<style>.*?</style>|<[^>]+>", " ", page.read_text(), flags=re.DOTALL)).split()
    )


def test_training_ends_with_a_page(finished: TrainingResult, capsys: pytest.CaptureFixture[str]) -> None:
    source = (finished.out / "report.html").read_text()
    text = text_of(finished.out / "report.html")
    for heading in (
        "Is it good enough?",
        "Errors by element",
        "Worst structures",
        "Learning curve",
        "What the data lack",
    ):
        assert heading in text
    assert "6 test structures" in text
    assert source.count("data:image/png;base64,") == 3 + 6 + 1
    assert "<script" not in source
    assert not re.search(r"(src|href)=.?(https?:|//|file:)", source)
    assert "All training structures have one composition" in text
    card = json.loads((finished.out / "model_card.json").read_text())
    assert len(card["verdict"]) == 3
    assert card["verdict"][0].split(":")[0].lower() in text.lower()


@pytest.fixture
def drawn() -> None:
    """Pictures are drawn."""


@pytest.fixture
def page(finished: TrainingResult, tmp_path: Path, drawn: None) -> Path:
    """Six ethanols, the third far off at its fifth atom, which come from two files."""
    frames = CheckedFrames(ethanol("test")[:6])
    for k, frame in enumerate(frames):
        frame.config_type = "odd" if k % 2 else "even"
    frames.origins = [
        ("a.xyz", 7),
        ("a.xyz", 8),
        ("some/b.db", 0),
        ("some/b.db", 1),
        ("some/b.db", 2),
        ("some/b.db", 3),
    ]
    energy, forces = (torch.cat([frame[name] for frame in frames]) for name in ("energy", "forces"))
    off = torch.full_like(forces, 0.005)
    off[2 * 9 + 4, 0] = 3.0
    predictions = Predictions(torch.full((6,), 9), energy + 0.009, energy, forces + off, forces)
    tested = JudgedSet("test", predictions, StructureDataset(frames, 5.0))
    write_judgement(tmp_path, "A <test> & more", finished.potential, [tested], units={})
    return tmp_path / "report.html"


def test_page_says_where_the_errors_are(page: Path) -> None:
    text = text_of(page)
    assert "A <test> & more" in text
    assert re.search(
        r"Worst structures .*?counted from 0\. frame 0 of b\.db: force (29|30)\d\d meV/A off at atom 4", text
    )
    assert "Errors by kind of structure (config_type)" in text
    assert "NOT good enough for dynamics at 300 K force RMSE" in text
    assert "Good enough for optimisation force MAE 23.5 meV/A (at most 50)." in text
    content = json.loads(gzip.decompress((page.parent / "structures.chemiscope.json.gz").read_bytes()))
    assert content["properties"]["energy error"]["values"] == pytest.approx([1.0] * 6, abs=1e-6)


def test_structures_without_forces_are_judged_by_those_of_validation() -> None:
    frames, sizes, energy = StructureDataset(ethanol("test")[:5], 5.0), torch.full((5,), 9), torch.zeros(5)
    forces = torch.ones(45, 3)
    without = JudgedSet("test", Predictions(sizes, energy + 0.009, energy), frames)
    valid = JudgedSet("validation", Predictions(sizes, energy, energy, forces + 0.02, forces), frames)
    trained = JudgedSet("training", Predictions(sizes, energy, energy, forces, forces), frames)
    of = "; of 5 validation structures, as the test structures have no forces"
    found = judge_sets([without, valid, trained], {})
    assert [verdict.passed for verdict in found] == [True, True, False]
    assert all(verdict.reason.endswith(of) for verdict in found)
    assert not any(of in verdict.reason for verdict in judge_sets([valid, trained], {}))
    assert [verdict.passed for verdict in judge_sets([without, trained], {})] == [None] * 3, "no training structures"


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="NOT LOOKED AT in a browser: apt-get install chromium")
@pytest.mark.parametrize("dark", [False, True])
def test_page_is_whole_on_a_phone_in_a_browser(page: Path, dark: bool) -> None:
    frame = page.with_name("phone.html")
    frame.write_text(
        '<iframe id="f" src="report.html" style="width:390px;height:800px;border:0"></iframe><pre id="r"></pre><script>'
        "f.onload = () => { const d = f.contentDocument, i = [...d.images]; r.textContent = JSON.stringify({"
        "wide: d.documentElement.scrollWidth, broken: i.filter(x => !x.naturalWidth).length, images: i.length, "
        "paper: f.contentWindow.getComputedStyle(d.body).backgroundColor }); }</script>"
    )
    flags = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--allow-file-access-from-files",
        "--virtual-time-budget=5000",
    ]
    flags += [f"--blink-settings=preferredColorScheme={0 if dark else 1}", f"--user-data-dir={page.parent / 'profile'}"]
    command = [str(CHROMIUM), *flags, "--dump-dom", frame.as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    found = json.loads(html.unescape(re.search(r'<pre id="r">(.*?)</pre>', dom)[1]))  # type: ignore[index]
    assert found["wide"] <= 390, "the page must not be wider than the phone"
    assert (found["images"], found["broken"]) == (1 + 6, 0)
    assert found["paper"] == ("rgb(18, 24, 31)" if dark else "rgb(255, 255, 255)")


def test_evaluate_writes_a_page_on_demand(
    finished: TrainingResult, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["convert", "ethanol", str(tmp_path / "e.xyz")]) == 0
    lines = (tmp_path / "e.xyz").read_text().splitlines()[: 11 * 5]
    (tmp_path / "e.xyz").write_text("\n".join(lines) + "\n")
    flags = ["evaluate", "--model", str(finished.out / "best.ckpt"), "--data", str(tmp_path / "e.xyz")]
    assert main(flags) == 0
    assert "--out FOLDER writes a report" in capsys.readouterr().out
    assert main([*flags, "--out", str(tmp_path / "test")]) == 0
    assert "good enough for phonons" in capsys.readouterr().out
    assert "of e.xyz: force" in text_of(tmp_path / "test" / "report.html")
    assert (tmp_path / "test" / "parity.png").exists()


def test_numbers_and_counts_are_written_as_people_write_them() -> None:
    assert [_number(value) for value in (2183.7, 184.23, 0.0123, 5e-6, None)] == ["2184", "184", "0.0123", "0.00", ""]
    assert [_counted(count, "test") for count in (0, 1, 2)] == [
        "0 test structures",
        "1 test structure",
        "2 test structures",
    ]
