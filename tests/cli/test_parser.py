from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pyg_mpnn.cli import join_files, main, make_parser
from pyg_mpnn.cli.parser import check_keys, join_composition


def _help(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    with pytest.raises(SystemExit, match="0"):
        make_parser().parse_args([*command, "--help"])
    return " ".join(capsys.readouterr().out.split())


def test_help_names_the_commands_with_examples(capsys: pytest.CaptureFixture[str]) -> None:
    text = _help(capsys)
    assert "pyg-mpnn train --data ethanol --test ethanol --out run --minutes 5" in text
    assert "learn a potential from structures" in text


def test_help_of_train_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    text = _help(capsys, "train")
    flags = ("data", "valid-size", "test", "out", "size", "epochs", "minutes", "seed", "cutoff", "resume", "config")
    assert all(f"--{flag}" in text for flag in flags)
    assert "The word ``ethanol`` means the shipped sample" in text
    assert "Without ``epochs`` and ``minutes``: 10" in text
    assert "_size" not in text, "flags have hyphens"


@pytest.mark.parametrize(
    ("command", "flag"),
    [
        ("evaluate", "--json"),
        ("md", "--timestep"),
        ("predict", "--batch-size"),
        ("relax", "--cell"),
        ("vib", "--relax"),
        ("ablate", "--budget-minutes"),
    ],
)
def test_help_of_the_other_commands_teaches(command: str, flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = _help(capsys, command)
    assert flag in text
    assert "Args:" not in text


def test_config_repeats_a_training_and_flags_win(trained: Path) -> None:
    parsed = make_parser().parse_args(["train", "--config", str(trained / "settings.json"), "--epochs", "7"])
    assert parsed.train.epochs == 7
    assert parsed.train.valid_size == 4
    assert parsed.train.model["l_max"] == 1


def test_print_config_shows_what_config_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--data", "x", "--out", "y", "--cutoff", "3", "5", "--isolated", "{1: -13.6}", "--resume"]
    with pytest.raises(SystemExit, match="0"):
        make_parser().parse_args(["train", *flags, "--print_config"])
    text = capsys.readouterr().out
    assert yaml.safe_load(text)["cutoff"] == [3.0, 5.0]
    (tmp_path / "config.yaml").write_text(text)
    parsed = make_parser().parse_args(["train", "--config", str(tmp_path / "config.yaml")]).train
    assert parsed.cutoff == [3.0, 5.0]
    assert parsed.isolated == {1: -13.6}
    assert parsed.resume is True


def test_several_files_are_one_list(tmp_path: Path) -> None:
    parsed = (
        make_parser()
        .parse_args(join_files(["train", "--data", "a.xyz", "b.db", "--test", "c.xyz", "--out", "y"]))
        .train
    )
    assert parsed.data == ["a.xyz", "b.db"]
    assert parsed.test == "c.xyz"
    assert join_files(["--data=a.xyz", "b.db", "--test=c.xyz"]) == ["--data", '["a.xyz", "b.db"]', "--test", "c.xyz"]
    (tmp_path / "one.yaml").write_text("data: a.xyz\nout: y\n")
    (tmp_path / "two.yaml").write_text("data: [a.xyz, b.db]\nout: y\n")
    one, two = (
        make_parser().parse_args(["train", "--config", str(tmp_path / f"{name}.yaml")]).train.data
        for name in ("one", "two")
    )
    assert one == "a.xyz"
    assert two == ["a.xyz", "b.db"]
    assert make_parser().parse_args(join_files(["evaluate", "--model", "m", "--data", "a", "b"])).evaluate.data == [
        "a",
        "b",
    ]


def test_parts_to_freeze_and_files_to_replay_are_several_words() -> None:
    words = [
        "train",
        "--data",
        "a.xyz",
        "--out",
        "y",
        "--freeze",
        "representation.embedding",
        "representation.layers.0",
    ]
    parsed = make_parser().parse_args(join_files([*words, "--replay", "b.xyz", "c.xyz"])).train
    assert parsed.freeze == ["representation.embedding", "representation.layers.0"]
    assert parsed.replay == ["b.xyz", "c.xyz"]


def test_part_of_a_flag_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["train", "--data", "ethanol", "--out", "x", "--epoch", "1"])
    shown = capsys.readouterr().err
    assert "train: error: unrecognized arguments: --epoch 1\nDid you mean --epochs" in shown
    assert shown.count("\n") < 5, "no usage of all flags"


def test_missing_flag_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["train", "--out", "x"])
    assert "data" in capsys.readouterr().err


@pytest.mark.parametrize(("command", "name"), [("md", "structure"), ("predict", "structures")])
def test_one_structure_or_many_is_not_a_trap(command: str, name: str) -> None:
    for flag in ("--structure", "--structures"):
        parsed = make_parser().parse_args([command, "--model", "m", flag, "s.xyz", "--out", "o"])
        assert parsed[command][name] == "s.xyz"


def test_outputs_are_parts_with_arguments_by_name() -> None:
    words = ["train", "--outputs.dipole.unit", "D", "--outputs.dipole", "DipoleOutput"]
    words += ["--outputs.q", "ChargesOutput", "--out", "x"]
    assert join_composition(words, "--outputs") == [
        *("train", "--out", "x"),
        '--outputs.dipole={"unit": "D", "class": "DipoleOutput"}',
        "--outputs.q=ChargesOutput",
    ]
    with pytest.raises(ValueError, match=r"'--outputs.q' must be given once, got it twice"):
        join_composition([*words, "--outputs.q", "ScalarOutput"], "--outputs")


def test_two_outputs_of_one_name_in_settings_are_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "twice.yaml"
    file.write_text("data: ethanol\noutputs:\n  gap: ScalarOutput\n  gap: DipoleOutput\n")
    assert main(["train", "--config", str(file), "--out", str(tmp_path / "run")]) == 1
    assert f"'gap' must be given once, got it twice in {file}" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    with pytest.raises(ValueError, match="'eta' must be given once, got it twice in the value of --model"):
        check_keys(["train", '--model={"basis": [{"eta": 1}, {"eta": 1, "eta": 2}]}'])
    check_keys([])
    file.write_text("outputs: {a: {unit: D}, b: {unit: D}}")
    check_keys(["train", "--config", str(file), "--outputs", "{broken", "--out", "x", "--resume"])


def test_settings_that_cannot_be_looked_through_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, words = tmp_path / "model.pt", ["train", "--data", "ethanol", "--out", str(tmp_path / "run")]
    file.write_bytes(b"data: ethanol # \xff")
    assert main([*words, "--config", str(file)]) == 1
    shown = capsys.readouterr().err
    assert f"error: 'config' must be a text file in utf-8, got {file} with the byte 0xff at place 16: " in shown
    for value in ("{'a': &x [*x]}", "{a: " + 2000 * "[" + 2000 * "]" + "}"):
        assert main([*words, "--model", value]) == 1
        assert "error: the value of --model must be of finite depth, got lists or mappings" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    file.write_text("outputs: {a: &x {unit: D}, b: *x}  # \u00fc", encoding="utf-8")
    check_keys(["train", "--config", str(file)])
    with pytest.raises(ValueError, match="'data' must be given once, got it twice in the value of --config"):
        check_keys(["train", "--config", "{" + ", ".join(100 * ["data: x"]) + "}"])


def test_engine_in_settings_is_told_what_to_type(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "md.yaml"
    file.write_text("engine: lammps\nmodel: organic\nstructure: ethanol\nout: x\n")
    with pytest.raises(SystemExit, match="2"):
        main(["md", "--config", str(file)])
    shown = capsys.readouterr().err
    assert "does not accept option 'engine'\nIt is a flag and no setting of a file: take it out and type" in shown
    assert "pyg-mpnn md --engine lammps --config FILE\n" in shown
    file.write_text("engin: lammps\nmodel: organic\nstructure: ethanol\nout: x\n")
    with pytest.raises(SystemExit, match="2"):
        main(["md", "--config", str(file)])
    assert "It is a flag" not in capsys.readouterr().err
