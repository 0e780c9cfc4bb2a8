"""Print constraints.txt from the environments that the tests and the linters ran in: `make constraints`.

Called once per environment; arguments are the distributions to leave out.
"""

from __future__ import annotations

import importlib.metadata
import re
import sys

# Tied to the interpreter or to the build of torch.
LEFT_OUT = {"pyg-mpnn", "triton", "pip", "setuptools", "wheel"}


def pin(distribution: importlib.metadata.Distribution) -> str:
    """`name==version`, limited to the Python versions which that version supports when 3.10 is not among them."""
    line = f"{distribution.name}=={distribution.version.partition('+')[0]}"
    at_least = re.search(r">=\s*(3\.\d+(?:\.\d+)?)", distribution.metadata.get("Requires-Python") or "")
    if at_least and tuple(map(int, at_least[1].split("."))) > (3, 10):
        line += f" ; python_full_version >= '{at_least[1]}'"
    return line


def main() -> None:
    for distribution in importlib.metadata.distributions():
        name = re.sub(r"[-_.]+", "-", distribution.name).lower()
        if name not in LEFT_OUT | set(sys.argv[1:]) and not name.startswith("nvidia-"):
            print(pin(distribution))


if __name__ == "__main__":
    main()
