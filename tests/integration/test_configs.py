"""The files in benchmarks/configs say what the benchmark scripts, the Makefile and the committed results say."""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest

from benchmarks.md17 import train as md17
from benchmarks.peers import ours
from benchmarks.periodic import crystals
from benchmarks.qm9 import cell
from pyg_mpnn.cli import make_parser
from pyg_mpnn.training import TrainingSettings
from pyg_mpnn.training.ablation import AblationSettings

ROOT = Path(__file__).parents[2]
CONFIGS = sorted(path for path in (ROOT / "benchmarks" / "configs").glob("*.yaml") if "ablation" not in path.stem)


def _parse(*arguments: str) -> TrainingSettings:
    values = make_parser().parse_args(["train", *arguments]).train.as_dict()
    del values["config"]
    settings = TrainingSettings(**values)
    files = {name: getattr(settings, name) for name in ("data", "test")}
    names = {name: Path(file).name for name, file in files.items() if file is not None}
    return dataclasses.replace(settings, out="run", **names)


def _config(name: str) -> TrainingSettings:
    return _parse("--config", str(ROOT / "benchmarks" / "configs" / f"{name}.yaml"))


def _result(path: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((ROOT / "benchmarks" / "results" / path).read_text())
    return result


def _plain(settings: TrainingSettings) -> TrainingSettings:
    names = {name: Path(getattr(settings, name)).name for name in ("data", "test")}
    return dataclasses.replace(settings, **names)


@pytest.mark.parametrize("molecule", ["ethanol", "aspirin"])
def test_config_of_md17_repeats_the_script_and_its_result(molecule: str) -> None:
    result = _result(f"md17/{molecule}-base-seed0.json")
    kept = {name: result[name] for name in ("minutes", "threads")}
    options = argparse.Namespace(**kept, compile=result["compiled"], data="folder")
    cell = md17.Cell(*(result[name] for name in ("molecule", "size", "seed")))
    assert _config(f"md17-{molecule}") == _plain(md17.settings_of(cell, options, Path("run")))


def test_config_of_peers_repeats_the_script_and_its_result() -> None:
    result = _result("peers/ethanol-ours-seed0.json")
    job = result | {"test": True, "settings": {"size": "base"}}
    settings = _plain(ours.settings_of(job, "run"))
    assert settings.cutoff == (5.0,)  # which the file need not say
    assert _config("peers-ethanol") == dataclasses.replace(settings, cutoff=None)


def test_config_of_qm9_has_the_settings_of_its_result() -> None:
    result = _result("qm9/U0-ours-10000-seed0.json")
    config = _config("qm9-u0")
    for name in ("size", "learning_rate", "epochs", "batch_size", "threads"):
        assert getattr(config, name) == result[name]
    assert (config.target, config.seed) == (result["cell"]["target"], result["cell"]["seed"])
    made_by_grid = re.search(r"settings = TrainingSettings\((.*?)\n    \)", inspect.getsource(cell.run_cell), re.DOTALL)
    assert made_by_grid is not None
    named = set(re.findall(r"^        (\w+)=", made_by_grid[1], re.MULTILINE))
    default = TrainingSettings("qm9", "run", target="U0")  # whatever the grid does not name is left at its default
    assert {name for name, value in vars(config).items() if value != getattr(default, name)} <= named | {"minutes"}


def test_config_of_the_ablation_is_that_of_its_result() -> None:
    path = ROOT / "benchmarks" / "configs" / "ablation-ethanol.yaml"
    values = make_parser().parse_args(["ablate", "--config", str(path)]).ablate.as_dict()
    del values["config"]
    settings = dataclasses.asdict(AblationSettings(**values))
    grid = _result("ablation/ethanol-3-layers/grid.json")
    assert {name: settings[name] for name in grid if name in settings} == {
        name: value for name, value in grid.items() if name in settings
    }
    cells = list((ROOT / "benchmarks" / "results" / "ablation" / "ethanol-3-layers" / "cells").glob("*.json"))
    assert len(cells) == settings["seeds"] * len(AblationSettings(**values).variants)


@pytest.mark.parametrize("element", ["Si", "Li"])
def test_config_of_crystals_repeats_the_script_and_its_result(element: str) -> None:
    result = _result(f"periodic/{element.lower()}-base-seed0.json")
    names = ("size", "minutes", "epochs", "seed", "threads", "batch_size", "energy_weight")
    options = argparse.Namespace(**{name: result[name] for name in names}, smoke=False)
    files = [Path(name) for name in result["data"]]
    assert _config(f"periodic-{element.lower()}") == _plain(crystals.settings_of(options, files, "run"))


def test_config_of_the_demo_repeats_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text()
    length = re.search(r"^DEMO_LENGTH \?= (.*)$", makefile, flags=re.MULTILINE)
    command = re.search(r"pyg-mpnn train (.*)$", makefile, flags=re.MULTILINE)
    assert length is not None
    assert command is not None
    flags = command[1].replace("$(DEMO_LENGTH)", length[1]).replace("$(DEMO_DIR)", "demo").split()
    assert _config("demo") == _parse(*flags)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_printed_config_parses_to_the_same(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        make_parser().parse_args(["train", "--config", str(path), "--print_config"])
    (tmp_path / "printed.yaml").write_text(capsys.readouterr().out)
    assert _parse("--config", str(tmp_path / "printed.yaml")) == _config(path.stem)


def test_every_config_is_compared() -> None:
    assert {path.stem for path in CONFIGS} == {
        *("md17-ethanol", "md17-aspirin", "periodic-si", "periodic-li", "peers-ethanol", "qm9-u0", "demo")
    }
