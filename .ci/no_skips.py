"""Pytest plugin: a skipped test fails the run unless it carries the marker `gpu`, `dataset` or `browser`.

CI installs every optional package, so any other skip means that something was not tested.
"""

from __future__ import annotations

import pytest

ALLOWED = {"gpu", "dataset", "browser"}
unexpected: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and not hasattr(report, "wasxfail") and not ALLOWED & set(report.keywords):
        unexpected.append(f"{report.nodeid}: {report.longreprtext}")


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.skipped:
        unexpected.append(f"{report.nodeid}: {report.longreprtext}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    if unexpected and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in unexpected:
        terminalreporter.write_line(f"NOT ALLOWED TO BE SKIPPED {line}", red=True)
