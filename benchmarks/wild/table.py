"""Rows as a table for the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

COLUMNS = ("package", "model", "dtype", "expected", "verdict", "over floor", "worst quantity", "blamed")


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = [COLUMNS, *(_cells(row) for row in rows)]
    widths = [max(len(line[n]) for line in lines) for n in range(len(COLUMNS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def summary(rows: Sequence[Mapping[str, Any]]) -> str:
    """How many were as expected, why some differ, and what was said of those that were not as expected."""
    strange = [row for row in rows if not row["as_expected"]]
    kinds = ("agree", "disagree", "undecidable")
    counted = ", ".join(f"{sum(row['expected'] == kind for row in rows)} {kind}" for kind in kinds)
    lines = [f"{len(rows)} comparisons, expected: {counted}; {len(rows) - len(strange)} are as expected"]
    told = {row["explanation"]: row for row in rows if row["as_expected"] and row["explanation"]}
    lines += [f"{row['package']}, {row['model']}: {why}" for why, row in told.items()]
    for row in strange:
        lines.append(
            f"{row['package']}, {row['model']}, {row['dtype']}: {row['verdict']}\n{row['explanation']}"
        )
    return "\n".join(lines)


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    over = row["over_floor"]
    size = "-" if over is None else f"{over:.2g}"
    verdict = row["verdict"] + " (!)" * (not row["as_expected"])
    blamed = ", ".join(row["blamed"]) or "-"
    return (
        *(row[name] for name in ("package", "model", "dtype", "expected")),
        *(verdict, size, row["worst"], blamed),
    )
