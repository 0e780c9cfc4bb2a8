"""Learning from a teacher: sample, select, label, train, and test along the student's own dynamics."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyg_mpnn.learning.distill_settings import DistillSettings
    from pyg_mpnn.learning.distillation import DistillResult, distill
    from pyg_mpnn.learning.rounds import LearnResult, learn
    from pyg_mpnn.learning.settings import LearnSettings
    from pyg_mpnn.learning.teacher import Teacher

__all__ = ["LearnSettings", "learn", "LearnResult", "DistillSettings", "distill", "DistillResult", "Teacher"]

_HOMES = {
    "LearnSettings": "settings",
    "learn": "rounds",
    "LearnResult": "rounds",
    "DistillSettings": "distill_settings",
    "distill": "distillation",
    "DistillResult": "distillation",
    "Teacher": "teacher",
}


def __getattr__(name: str) -> Any:
    """Import a name on its first use: processes of a teacher need no training."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    """All public names, imported or not."""
    return [*globals(), *__all__]
