"""The errors as a table to read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pyg_mpnn.training.breakdown import MOST_GROUPS, Group
from pyg_mpnn.training.metrics import Errors
from pyg_mpnn.units import KCAL_PER_MOL

_ROWS = (
    ("energy", "meV", "energy_{}_meV"),
    ("energy per atom", "meV/atom", "energy_{}_meV_per_atom"),
    ("forces", "meV/A", "forces_{}_meV_per_A"),
    ("stress", "meV/A^3", "stress_{}_meV_per_A3"),
    ("stress", "GPa", "stress_{}_GPa"),
)


def error_rows(columns: Mapping[str, Errors]) -> list[list[str]]:
    """The cells of the table: a header, then one row per quantity and kind of error, with the number of structures that
    have a reference where it is not all of them.

    GPa and other outputs than energy, forces and stress have nothing in the column with kcal/mol.

    Args:
        columns: Errors by the title of their column; the first column is repeated with kcal/mol for meV.

    Returns:
        Rows of cells.

    Units:
        each row names its own.
    """
    first = next(iter(columns.values()))
    rows = [["", *columns, f"{next(iter(columns))} (kcal/mol)"]]
    number = {name: f", {count} structure{'s' * (count != 1)}" for name, count in first.known.items()}
    for quantity, unit, field in _ROWS:
        for kind in ("MAE", "RMSE"):
            values = [getattr(errors, field.format(kind.lower())) for errors in columns.values()]
            if None in values:
                continue
            decimals, kcal = (2, f"{values[0] / 1e3 / KCAL_PER_MOL:.4f}") if unit.startswith("meV") else (3, "")
            of = number.get(quantity.split()[0], "")
            rows.append([f"{quantity} {kind} ({unit}){of}", *(f"{value:.{decimals}f}" for value in values), kcal])
    for name, found in first.outputs.items():
        for kind in ("MAE", "RMSE"):
            values = [getattr(errors.outputs[name], kind.lower()) for errors in columns.values()]
            label = f"{name} {kind} ({found.unit})" if found.unit else f"{name} {kind}"
            rows.append([label + number.get(name, ""), *(f"{value:.4g}" for value in values), ""])
    return rows if any(row[-1] for row in rows[1:]) else [row[:-1] for row in rows]


def error_table(columns: Mapping[str, Errors]) -> str:
    """The errors as aligned text.

    Args:
        columns: Errors by the title of their column; the first column is repeated with kcal/mol for meV.

    Returns:
        Lines of equal columns.

    Units:
        each row names its own.

    Example:
        >>> print(error_table({"model": Errors(1, 9.0, 9.0, 1.0, 1.0, 20.0, 30.0)}).splitlines()[-1])
        forces RMSE (meV/A)              30.00            0.6918
    """
    return _aligned(error_rows(columns))


def kinds_table(kinds: Sequence[Group]) -> str:
    """Errors by kind of structure as aligned text: a test of energies alone is not lost in the mean over all.

    Args:
        kinds: errors of each kind (``config_type``).

    Returns:
        Lines of equal columns; empty where there are less than two kinds, or no errors of energies and forces.

    Units:
        each column names its own.

    Example:
        >>> print(kinds_table([Group("bulk", 9, 1.5, 20.0, 0.1), Group("scan", 5, 12.0, None, None)]))
        config_type  structures  energy MAE (meV/atom)  force MAE (meV/A)
        bulk                  9                    1.5                 20
        scan                  5                     12                  -
    """
    if len(kinds) < 2 or all(kind.energy is None and kind.forces is None for kind in kinds):
        return ""
    rows = [["config_type", "structures", "energy MAE (meV/atom)", "force MAE (meV/A)"]]
    for kind in kinds:
        values = ["-" if value is None else f"{value:.3g}" for value in (kind.energy, kind.forces)]
        rows.append([kind.name, str(kind.number), *values])
    more = f"\nThe {MOST_GROUPS} most frequent kinds; there may be more." if len(kinds) == MOST_GROUPS else ""
    return _aligned(rows) + more


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]
    return "\n".join(line.rstrip() for line in lines)


def error_markdown(columns: Mapping[str, Errors]) -> str:
    """The errors as a Markdown table.

    Args:
        columns: Errors by the title of their column; the first column is repeated with kcal/mol for meV.

    Returns:
        Lines of Markdown.

    Units:
        each row names its own.
    """
    header, *rows = error_rows(columns)
    lines = [header, ["---", *("---:" for _ in header[1:])], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
