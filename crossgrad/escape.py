"""Text from outside, made harmless where it is shown.

A network's name may be a file's, an engine's message may quote a page of
anything: an escape sequence would repaint the terminal, a line break would
forge a line of a report, ``=HYPERLINK(...)`` would run in a spreadsheet.
Strings are kept as they are inside; each output has its own escape here.
"""

import re
from html import escape as _html_escape

_FORMULA_BEGINS = ("=", "+", "-", "@", "＝", "＋", "－", "＠")


def terminal(text: str, *, keep: str = "") -> str:
    r"""Write what cannot be printed as ``\n``, ``\x1b``, ``\u202e``.

    This takes in control characters and so every escape sequence, overrides
    of the direction, invisible and unassigned characters, and surrogates,
    which stand for undecodable bytes of a file's name. Backslashes are left
    as they are: the result is to be read, not parsed.

    Parameters
    ----------
    keep
        Characters to leave alone: ``"\n"`` where the text may have lines.
    """
    return "".join(
        c if c.isprintable() or c in keep else c.encode("unicode_escape").decode("ascii") for c in text
    )


def utf8(text: str) -> str:
    r"""Write surrogates, which stand for undecodable bytes and which UTF-8 does not have, as ``\udce9``."""
    return text.encode("utf-8", "backslashreplace").decode()


def json(document: str) -> str:
    r"""The same JSON document, with what cannot be printed as ``\u202e``: JSON has it in strings only.

    ``json.dumps`` does this by itself, pydantic does not.
    """
    if document.isprintable():
        return document
    return "".join(c if c.isprintable() or c in "\r\n\t" else _units(c) for c in document)


def _units(character: str) -> str:
    utf16 = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{utf16[start : start + 4]}" for start in range(0, len(utf16), 4))


def markdown(text: str) -> str:
    """Inline text of Markdown, fit for a table's cell: nothing in it is markup or a link.

    CommonMark 0.31, section 2.4: a backslash before ASCII punctuation makes it literal.
    """
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", terminal(text))


def html(text: str) -> str:
    """Text of an element or of a quoted attribute."""
    return _html_escape(terminal(text), quote=True)


def workflow_data(text: str) -> str:
    """The message of a workflow command of GitHub Actions, in one line; it may have several.

    As actions/toolkit escapes it (packages/core/src/command.ts): ``%`` first, then line ends.
    """
    return terminal(text, keep="\n").replace("%", "%25").replace("\n", "%0A")


def workflow_property(text: str) -> str:
    """The value of a workflow command's property, which a colon or a comma would end."""
    return workflow_data(text).replace(":", "%3A").replace(",", "%2C")


def csv_cell(text: str) -> str:
    """A name as a cell that no spreadsheet takes for a formula; numbers are to be written as they are.

    An apostrophe before what could begin one (OWASP, CSV Injection); quoting is the writer's.
    """
    shown = terminal(text)
    return f"'{shown}" if shown.lstrip().startswith(_FORMULA_BEGINS) else shown


def python_string(text: str) -> str:
    """A literal of Python that reads back as `text` and holds nothing unprintable."""
    literal = repr(text)
    if literal[0] == "'" and '"' not in literal:
        return f'"{literal[1:-1]}"'
    return literal
