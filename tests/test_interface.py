"""The interface of dec9c62, kept: each flag and name is there still, or CHANGELOG.md says why it went.

``python tests/test_interface.py`` writes ``interface.json``. It is written once: what comes later is not frozen.
"""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path

import pyg_mpnn
from pyg_mpnn import MPNN
from pyg_mpnn.cli import make_parser
from pyg_mpnn.models.sizes import OF_POTENTIAL

FILE = Path(__file__).with_name("interface.json")
CHANGELOG = Path(__file__).parents[1] / "CHANGELOG.md"


def flags() -> list[str]:
    """All flags that ``--help`` shows, as ``train --epochs``."""
    commands = next(action.choices for action in make_parser()._actions if isinstance(action.choices, dict))
    return sorted(
        f"{command} {flag}"
        for command, parser in commands.items()
        for action in parser._actions
        for flag in action.option_strings
        if not flag.endswith("+")  # jsonargparse's, for lists
    )


def model_arguments() -> list[str]:
    """What ``train --model.NAME`` takes, as ``--model.l_max``."""
    names = [*OF_POTENTIAL, *inspect.signature(MPNN).parameters]
    return sorted(f"--model.{name}" for name in names)


def is_model_argument(entry: str) -> bool:
    """Whether ``train`` takes it still."""
    return entry in model_arguments()


def names() -> list[str]:
    """Public names of the package."""
    return sorted([*pyg_mpnn.__all__, "PotentialCalculator"])


def explained(changelog: str) -> list[set[str]]:
    """Words of each text in backticks under a heading ``Removed`` or ``Changed``."""
    sections = re.findall(r"^### (?:Removed|Changed)\n(.*?)(?=^##|\Z)", changelog, flags=re.MULTILINE | re.DOTALL)
    return [set(span.split()) for section in sections for span in re.findall(r"`([^`]+)`", section)]


def unexplained(vanished: list[str], changelog: str) -> list[str]:
    """Entries that the changelog does not name: a flag alone, or with its command, or a name of Python."""
    commands = {entry.split()[0] for entry in flags()}

    def is_named(entry: str) -> bool:
        *command, last = entry.split()
        return any(last in words and (not words & commands or set(command) <= words) for words in explained(changelog))

    return [entry for entry in vanished if not is_named(entry)]


def test_nothing_vanished_without_a_word() -> None:
    frozen, changelog = json.loads(FILE.read_text()), CHANGELOG.read_text()
    vanished = sorted(set(frozen["flags"]) - set(flags()))
    vanished += [entry for entry in frozen["model_arguments"] if not is_model_argument(entry)]
    vanished += [name for name in frozen["names"] if not hasattr(pyg_mpnn, name)]
    missing = unexplained(vanished, changelog)
    assert not missing, f"gone, and not in backticks under '### Removed' or '### Changed' in CHANGELOG.md: {missing}"


def test_nothing_vanished_without_a_word_control() -> None:
    frozen = json.loads(FILE.read_text())
    assert {"train --epochs", "md --timestep", "train --help"} <= set(frozen["flags"])
    assert len(frozen["flags"]) > 150
    assert "--model.l_max" in frozen["model_arguments"]
    assert {"Potential", "PotentialCalculator"} <= set(frozen["names"])
    assert not is_model_argument("--model.absent")
    assert is_model_argument("--model.zbl")
    gone = ["train --clip", "md --clip", "MLP"]
    assert unexplained(gone, "### Added\n\n- `--clip`, `MLP`\n") == gone
    assert unexplained(gone, "### Removed\n\n- `train --clip`: why\n- MLP\n\n### Added\n- `MLP`") == gone[1:]
    assert unexplained(gone, "## Unreleased\n### Changed\n\n- `--clip` is\n  `MLP` now\n## 0.1") == []


if __name__ == "__main__":
    FILE.write_text(json.dumps({"flags": flags(), "model_arguments": model_arguments(), "names": names()}, indent=1))
