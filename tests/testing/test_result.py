from __future__ import annotations

import json
import math

import pytest

from pyg_mpnn.testing import Check, Report, Result

GOOD = Check("energy", 1e-12, "eV", 1e-10, "rounding")
BAD = Check("forces", 3e-10, "eV/A", 1e-10, "rounding")
NAN = Check("forces", math.nan, "eV/A", 1e-10, "rounding")
ZERO = Check("bits", 0.0, "tensors", 0.0, "exact")


def report(*results):
    return Report("model", "float64", {result.law: result for result in results}, ["9 atoms"])


def test_check_passes_within_its_tolerance():
    assert (GOOD.passed, BAD.passed, NAN.passed, ZERO.passed) == (True, False, False, True)
    assert GOOD.excess == pytest.approx(0.01)
    assert (NAN.excess, ZERO.excess) == (math.inf, 0.0)
    assert Check("bits", 1.0, "tensors", 0.0, "exact").excess == math.inf


def test_result_shows_its_worst_check():
    result = Result("rotation", "fail", checks=(GOOD, BAD))
    assert (result.value, result.unit, result.tolerance, result.why) == (3e-10, "eV/A", 1e-10, "rounding")
    assert "forces 3e-10 eV/A (allowed 1e-10)" in str(result)
    assert Result("rotation", "fail", checks=(BAD, NAN)).worst is NAN
    with pytest.raises(AssertionError, match="law broken: rotation: fail"):
        result.require()
    Result("rotation", "pass", checks=(GOOD,)).require()


def test_report_passes_with_a_pass_and_no_fail():
    passed, failed = Result("a", "pass", checks=(GOOD,)), Result("b", "fail", checks=(BAD,))
    left_out = Result("c", "n/a", reason="stress: has none")
    assert report(passed, left_out).passed
    assert not report(passed, failed).passed
    assert not report(left_out).passed
    assert not report().passed
    assert (report(passed, failed, left_out).failed, report(left_out).not_applicable) == (("b",), ("c",))


def test_table_and_json_hold_the_same():
    full = report(Result("a", "pass", checks=(GOOD,)), Result("b", "fail", checks=(NAN,)), Result("c", "n/a", "why"))
    text = str(full)
    assert "FAILED: 1 of 3 laws broken: b" in text
    assert all(line in text for line in ("a    pass", "b    fail", "c    n/a      why"))
    content = json.loads(full.to_json())
    assert content["passed"] is False
    assert content["results"]["a"]["value"] == 1e-12
    assert content["results"]["b"]["value"] == "nan"
    assert content["results"]["c"]["reason"] == "why"
    assert content["results"]["a"]["checks"][0]["why"] == "rounding"
    assert "PASSED: 1 laws hold" in str(report(Result("a", "pass", checks=(GOOD,))))
    assert "no law applies" in str(report())


def test_report_of_a_model_that_does_not_run_says_so_once():
    error = "RuntimeError: mat1 and mat2"
    broken = [Result(law, "fail", reason=error) for law in "abc"]
    other = Result("d", "fail", reason="KeyError: z")
    full = report(other, *broken, Result("e", "n/a", reason="stress: has none"))
    assert full.failed == ("d", "a", "b", "c")
    assert list(full.errors) == [error, "KeyError: z"]
    text = str(full)
    assert f"The model does not run, so no law could be measured. {error}" in text
    assert "(d: KeyError: z)" in text
    assert text.count(error) == 1
    assert "FAILED" in text
    assert not report(*broken, Result("f", "fail", checks=(BAD,))).errors
    assert not report(*broken, Result("f", "pass", checks=(GOOD,))).errors
    assert not report(broken[0]).errors
