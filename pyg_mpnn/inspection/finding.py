"""What an inspection found: one small record for each check."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Severity = Literal["ok", "note", "warning"]

__all__ = ["Finding", "Severity"]


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Args:
        name: of the check.
        severity: ``"ok"``; ``"note"`` for what one should know, also that a check could not tell; ``"warning"`` for
            what is likely wrong.
        finding: one or two sentences.
        numbers: what was measured, plain values with their units in the names.
    """

    name: str
    severity: Severity
    finding: str
    numbers: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.severity:<8}{self.name}: {self.finding}"
