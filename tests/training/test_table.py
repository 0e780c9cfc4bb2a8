from __future__ import annotations

from dataclasses import replace

from pyg_mpnn.training import Errors, OutputErrors
from pyg_mpnn.training.table import error_markdown, error_table
from pyg_mpnn.units import KCAL_PER_MOL

GOOD = Errors(2, 1e3 * KCAL_PER_MOL, 60.0, 5.0, 6.0, 20.0, 30.0)
TRIVIAL = Errors(2, 100.0, 120.0, 10.0, 12.0, 900.0, 1200.0)


def test_table_has_a_row_per_error_and_kilocalories_of_the_first_column() -> None:
    header, *rows = error_table({"test": GOOD, "trivial predictor": TRIVIAL}).splitlines()
    assert header.split("  ")[-3:] == ["test", "trivial predictor", "test (kcal/mol)"]
    assert len(rows) == 6
    assert rows[0].split() == ["energy", "MAE", "(meV)", "43.36", "100.00", "1.0000"]
    assert rows[4].split()[:5] == ["forces", "MAE", "(meV/A)", "20.00", "900.00"]
    assert len({len(row) for row in rows}) == 1, "columns must be aligned"


def test_stress_rows_appear_only_where_every_column_has_a_stress() -> None:
    with_stress = Errors(2, 1, 1, 1, 1, 1, 1, 500.0, 700.0)
    rows = [line.split() for line in error_table({"test": with_stress}).splitlines() if line.startswith("stress")]
    assert rows == [
        ["stress", "MAE", "(meV/A^3)", "500.00", f"{0.5 / KCAL_PER_MOL:.4f}"],
        ["stress", "RMSE", "(meV/A^3)", "700.00", f"{0.7 / KCAL_PER_MOL:.4f}"],
        ["stress", "MAE", "(GPa)", "80.109"],  # 1 eV/A^3 is 160.2177 GPa
        ["stress", "RMSE", "(GPa)", "112.152"],
    ]
    assert "stress" not in error_table({"test": with_stress, "trivial predictor": TRIVIAL})


def test_markdown_has_the_same_cells() -> None:
    lines = error_markdown({"test": GOOD}).splitlines()
    assert lines[1] == "| --- | ---: | ---: |"
    assert lines[2] == "| energy MAE (meV) | 43.36 | 1.0000 |"


def test_rows_count_the_structures_with_a_reference_where_some_have_none() -> None:
    gap = {"gap": OutputErrors(0.5, 0.5, 1, "eV")}
    some = Errors(2, 1, 1, 1, 1, 1, 1, outputs=gap, known={"energy": 1, "gap": 1})
    lines = error_table({"test": some}).splitlines()
    assert lines[1].startswith("energy MAE (meV), 1 structure ")
    assert lines[4].startswith("energy per atom RMSE (meV/atom), 1 structure ")
    assert lines[5].startswith("forces MAE (meV/A)  ")
    assert lines[7].startswith("gap MAE (eV), 1 structure ")


def test_other_outputs_have_rows_with_their_units() -> None:
    columns = {
        title: Errors(2, outputs={"gap": OutputErrors(value, 2 * value, 2, "eV"), "count": OutputErrors(value, 1.0, 2)})
        for title, value in (("test", 0.25), ("trivial predictor", 1.5))
    }
    header, *rows = [line.split() for line in error_table(columns).splitlines()]
    assert header == ["test", "trivial", "predictor"], "no kcal/mol where there is no energy"
    assert rows[0] == ["gap", "MAE", "(eV)", "0.25", "1.5"]
    assert rows[3] == ["count", "RMSE", "1", "1"]
    assert error_table({"test": replace(GOOD, outputs=columns["test"].outputs)}).count("kcal") == 1
