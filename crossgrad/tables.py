"""Tables on a terminal, plain ones in a pipe or file: titles whole, figures never cut or broken.

Names and messages may come from files and engines: each is escaped as it
becomes a `Text`, and a plain string would be read as Rich's markup.
"""

import io
import sys
from collections.abc import Iterator, Sequence

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from .escape import terminal

PLAIN_WIDTH = 120
MARGIN, GAP = 2, 3
"""Columns of the screen that a table takes beside its cells: at its edges, and between two of them."""


def render_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], keys: int = 1) -> str:
    """A plain table as text: the first columns, `keys` of them, tell a row from others."""
    buffer = io.StringIO()
    console = console_to(buffer, to_file=False)
    cells = [[shown(cell, keep="\n") for cell in row] for row in rows]
    print_table(console, title, columns, cells, keys)
    return buffer.getvalue()


def print_table(
    console: Console,
    title: str,
    names: Sequence[str],
    rows: Sequence[Sequence[Text]],
    keys: int,
    right: frozenset[str] = frozenset(),
) -> None:
    """The title in one line, however narrow the table below it is."""
    if title:
        console.print(shown(title, "bold"), soft_wrap=True)
    for table in _fitting(names, rows, console.width, keys, right):
        console.print(table)


def shown(text: str, style: str = "", keep: str = "") -> Text:
    """A text with what could steer a terminal escaped, but for the characters in `keep`."""
    return Text(terminal(text, keep=keep), style=style)


def console_to(buffer: io.StringIO, to_file: bool) -> Console:
    """A console that writes to `buffer` as it would to stdout: colours and width only on a terminal."""
    terminal = sys.stdout.isatty() and not to_file
    width = Console().width if terminal else PLAIN_WIDTH
    return Console(file=buffer, force_terminal=terminal, width=width, highlight=False)


def _fitting(
    names: Sequence[str],
    rows: Sequence[Sequence[Text]],
    width: int,
    keys: int,
    right: frozenset[str],
) -> Iterator[Table]:
    """The table; or in turn as many of its columns as fit beside its keys, so that no figure is cut."""
    columns = zip([shown(name) for name in names], *rows, strict=True)
    widths = [max(cell_len(line) for cell in cells for line in cell.plain.split("\n")) for cells in columns]
    for group in _groups(widths, width, min(keys, len(widths))):
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        for index in group:
            side: JustifyMethod = "right" if names[index] in right else "left"
            table.add_column(shown(names[index]), justify=side, overflow="fold")
        for row in rows:
            table.add_row(*(row[index] for index in group))
        yield table


def _groups(widths: Sequence[int], available: int, keys: int) -> list[list[int]]:
    """Columns that fit beside each other, by their numbers; the first `keys` in every group."""
    groups = [list(range(keys))]
    for index in range(keys, len(widths)):
        beside = [*groups[-1], index]
        if len(groups[-1]) > keys and sum(widths[i] + GAP for i in beside) > available - MARGIN + GAP:
            groups.append(list(range(keys)))
        groups[-1].append(index)
    return groups
