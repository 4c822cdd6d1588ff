"""Tables on terminals of any width: a figure is never cut or broken."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from crossgrad import tables, text
from crossgrad.checking import check
from crossgrad.tables import render_table
from crossgrad.text import report_text
from crossgrad.words import counted

WORDS = st.text("0123456789.e+-µ", min_size=1, max_size=14)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make tables as wide as a terminal of so many columns."""

    def of(width: int) -> None:
        for module in (tables, text):
            monkeypatch.setattr(
                module, "console_to", lambda buffer, to_file: Console(file=buffer, width=width)
            )

    return of


def test_a_title_is_as_wide_as_it_is(terminal: Any) -> None:
    title = "article · 1-1-1 · mse · batch 1 · lr 0.1 · seed 0 · float64"
    terminal(30)
    first, _, second, *_ = render_table(title, ["a", "b"], [["1", "2"]]).splitlines()
    assert (first, second.split()) == (title, ["a", "b"])


@given(
    rows=st.integers(1, 6).flatmap(
        lambda columns: st.lists(st.lists(WORDS, min_size=columns, max_size=columns), min_size=1, max_size=4)
    ),
    width=st.integers(36, 100),
)
def test_no_cell_is_cut_and_no_line_too_wide(rows: list[list[str]], width: int) -> None:
    names = [f"column {number}" for number in range(len(rows[0]))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "console_to", lambda buffer, to_file: Console(file=buffer, width=width))
        shown = render_table("", names, rows)
    assert all(len(line) <= width for line in shown.splitlines())
    lines = [line.split() for line in shown.splitlines()]
    for first, *others in rows:
        for cell in others:
            assert any(first in words and cell in words for words in lines), shown


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_a_report_has_its_figures_whole(width: int, terminal: Any) -> None:
    report = check("3-2", backends=["numpy"], devices=["cpu"], dtypes=["float32"])
    terminal(200)
    words = {word for word in report_text(report).split() if set(word) != {"─"}}
    terminal(width)
    shown = report_text(report)
    assert words <= set(shown.split())
    assert max(map(len, shown.splitlines())) <= width
    assert shown.count("numpy:manual") == {60: 3, 80: 2}.get(width, 1)


def test_one_thing_is_no_plural() -> None:
    assert [counted(number, "case") for number in (0, 1, 2000)] == ["0 cases", "1 case", "2,000 cases"]
