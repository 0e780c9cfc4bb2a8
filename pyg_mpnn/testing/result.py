"""What a law measured, and the report of all of them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Verdict = Literal["pass", "fail", "n/a"]


@dataclass(frozen=True)
class Check:
    """One measured quantity against its tolerance.

    Args:
        quantity: what was measured.
        value: its size; NaN never passes.
        unit: unit of value and tolerance.
        tolerance: largest value that passes.
        why: why that tolerance.
    """

    quantity: str
    value: float
    unit: str
    tolerance: float
    why: str

    @property
    def passed(self) -> bool:
        """Whether the value is within the tolerance."""
        return self.value <= self.tolerance

    @property
    def excess(self) -> float:
        """Value over tolerance: above 1 for a fail; infinite where the value is not finite."""
        if not math.isfinite(self.value):
            return math.inf
        if self.tolerance > 0.0:
            return self.value / self.tolerance
        return math.inf if self.value > 0.0 else 0.0

    def __str__(self) -> str:
        return f"{self.quantity} {self.value:.2g} {self.unit} (allowed {self.tolerance:.2g})"


@dataclass(frozen=True)
class Result:
    """Outcome of one law.

    Args:
        law: name of the law.
        verdict: ``"pass"``, ``"fail"`` or, for a capability that the model declares not to have, ``"n/a"``.
        reason: why the law does not apply, or the error that the model raised.
        checks: all that was measured.
        seconds: time taken.
    """

    law: str
    verdict: Verdict
    reason: str = ""
    checks: tuple[Check, ...] = ()
    seconds: float = 0.0

    @property
    def worst(self) -> Check | None:
        """The check with the largest ratio of value to tolerance."""
        return max(self.checks, key=lambda check: check.excess, default=None)

    @property
    def value(self) -> float:
        """Value of the worst check; NaN where nothing was measured."""
        return math.nan if self.worst is None else self.worst.value

    @property
    def unit(self) -> str:
        """Unit of the worst check."""
        return "" if self.worst is None else self.worst.unit

    @property
    def tolerance(self) -> float:
        """Tolerance of the worst check."""
        return math.nan if self.worst is None else self.worst.tolerance

    @property
    def why(self) -> str:
        """Why the worst check has that tolerance."""
        return "" if self.worst is None else self.worst.why

    def require(self) -> None:
        """Raise unless the law passed or does not apply.

        Raises:
            AssertionError: the law is broken.
        """
        if self.verdict == "fail":
            raise AssertionError(f"law broken: {self}")

    def __str__(self) -> str:
        failed = [check for check in self.checks if not check.passed]
        told = failed or ([self.worst] if self.worst is not None else [])
        return f"{self.law}: {self.verdict}. {'; '.join(map(str, told))}{self.reason}"


@dataclass(frozen=True)
class Report:
    """Outcome of all laws for one model.

    Args:
        model: name of the model.
        dtype: precision that the laws were checked in.
        results: outcome of each law by its name, in the order they ran.
        structures: formulas of the structures used.
        findings: the same of what is no law.
        strict: whether findings count for the verdict.
    """

    model: str
    dtype: str
    results: Mapping[str, Result]
    structures: Sequence[str] = field(default_factory=tuple)
    findings: Mapping[str, Result] = field(default_factory=dict)
    strict: bool = False

    @property
    def passed(self) -> bool:
        """Whether no law failed and at least one passed; if ``strict``, no finding either."""
        verdicts = [result.verdict for result in self.results.values()]
        return "fail" not in verdicts and "pass" in verdicts and not (self.strict and self.warnings)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Names of the findings that a user should know."""
        return tuple(name for name, result in self.findings.items() if result.verdict == "fail")

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of the laws that failed."""
        return self._with("fail")

    @property
    def not_applicable(self) -> tuple[str, ...]:
        """Names of the laws that do not apply."""
        return self._with("n/a")

    @property
    def errors(self) -> Mapping[str, Sequence[str]]:
        """Where the model ran for none of several laws: these by the error that it raised, the most frequent first."""
        results = list(self.results.values())
        if len(self.failed) < 2 or any(result.checks or result.verdict == "pass" for result in results):
            return {}
        failed = [result for result in results if result.verdict == "fail"]
        laws = {result.reason: [other.law for other in failed if other.reason == result.reason] for result in failed}
        return dict(sorted(laws.items(), key=lambda item: -len(item[1])))

    def to_dict(self) -> dict[str, Any]:
        """Plain values: verdict, value, unit, tolerance, reason and checks of each law.

        Returns:
            a dictionary that ``json`` writes; a value that is not finite is a word.
        """
        results, findings = ({name: _summary(one) for name, one in of.items()} for of in (self.results, self.findings))
        content = {
            "model": self.model,
            "dtype": self.dtype,
            "structures": list(self.structures),
            "passed": self.passed,
            "results": results,
            "findings": findings,
        }
        plain: dict[str, Any] = _finite(content)
        return plain

    def to_json(self) -> str:
        """The report as JSON text.

        Returns:
            what :meth:`to_dict` holds.
        """
        return json.dumps(self.to_dict(), indent=2, allow_nan=False)

    def _with(self, verdict: Verdict) -> tuple[str, ...]:
        return tuple(name for name, result in self.results.items() if result.verdict == verdict)

    def __str__(self) -> str:
        lines = [f"{self.model}, {self.dtype}, on {', '.join(self.structures)}", ""]
        if self.errors:
            first, *others = self.errors
            lines += [f"The model does not run, so no law could be measured. {first}"]
            lines += [f"({', '.join(self.errors[error])}: {error})" for error in others]
            end = f"FAILED: the model raises an error in each of {len(self.failed)} laws"
            return "\n".join([*lines, "", end])
        width = max(len(name) for name in ("law", *self.results))
        lines.append(f"{'law':<{width}}  verdict  {'measured':>9}  {'allowed':>9}  unit")
        for name, result in self.results.items():
            if result.worst is None:
                lines.append(f"{name:<{width}}  {result.verdict:<7}  {result.reason}")
                continue
            numbers = f"{result.value:9.2g}  {result.tolerance:9.2g}  {result.unit}, {result.worst.quantity}"
            lines.append(f"{name:<{width}}  {result.verdict:<7}  {numbers}")
        for name in self.warnings:
            lines += ["", f"WARNING{' (counts: strict)' if self.strict else ''}: {self.findings[name]}"]
        count = len(self.results)
        if self.failed:
            end = f"FAILED: {len(self.failed)} of {count} laws broken: {', '.join(self.failed)}"
        elif self.strict and self.warnings:
            end = f"FAILED: all laws hold, but {', '.join(self.warnings)} counts too (strict)"
        elif self.passed:
            passed = len(self._with("pass"))
            end = f"PASSED: {passed} laws hold, {len(self.not_applicable)} do not apply"
        else:
            end = "FAILED: no law applies, so nothing was shown"
        return "\n".join([*lines, "", end])


def _summary(result: Result) -> dict[str, Any]:
    summary = {key: getattr(result, key) for key in ("verdict", "value", "unit", "tolerance", "why", "reason")}
    return summary | {"seconds": result.seconds, "checks": [asdict(check) for check in result.checks]}


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value
