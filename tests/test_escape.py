"""Names from files and engines, hostile ones: nothing of them is obeyed wherever they are shown."""

import csv
import io
import json
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

import crossgrad
from crossgrad import escape
from crossgrad.cli import output
from crossgrad.cli.app import run
from crossgrad.engines import EngineId
from crossgrad.scripts import script

from .conftest import make_case

HOSTILE = "\x1b]0;owned\x07\x1b[2J\u202e[bold]:warning:[/]`|<b>&\r\nall agree\x85\u2028x\udcff"
"""Repaints, retitles, reverses; is markup of Rich, Markdown and HTML; forges lines; is no UTF-8."""

UNPRINTABLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def unprintable(text: str, keep: str = "") -> set[str]:
    return {c for c in text if unicodedata.category(c) in UNPRINTABLE and c not in keep}


def test_terminal_shows_what_it_disarms() -> None:
    assert escape.terminal("a\x1b[31m\u202e\n\udcff é·漢\\") == r"a\x1b[31m\u202e\n\udcff é·漢" + "\\"
    assert escape.terminal("a\nb\tc", keep="\n") == "a\nb\\tc"


@given(st.text())
@example(HOSTILE)
def test_terminal_leaves_nothing_unprintable(text: str) -> None:
    assert not unprintable(escape.terminal(text))
    assert not unprintable(escape.terminal(text, keep="\n"), keep="\n")
    assert escape.terminal(text) == text or not text.isprintable()


def plain_inline(source: str) -> str:
    """What a Markdown renderer shows of `source`, if all of it is plain text."""
    (token,) = MarkdownIt("commonmark").enable("table").enable("strikethrough").parseInline(source)
    assert {child.type for child in token.children or ()} <= {"text", "text_special"}
    return "".join(child.content for child in token.children or ())


@given(st.text(alphabet=st.sampled_from(" `*_[]()<>#+-.!|~&$:\\/@={}^\"'a1\n\x1b")))
@example(HOSTILE)
@example("[a](http://b) ![c](d) <script> &lt; `code` **x** ~~y~~ 1. # -")
def test_markdown_is_text_and_nothing_else(text: str) -> None:
    assert plain_inline(escape.markdown(text)) == escape.terminal(text)


def test_markdown_begins_no_block_and_ends_no_cell() -> None:
    parser = MarkdownIt("commonmark").enable("table")
    for text in ("# a", "- a", "1. a", "> a", "---", "```", "=", "+ a", "    a"[3:]):
        assert parser.parse(escape.markdown(text))[0].type == "paragraph_open"
    table = parser.render(f"| a | b |\n|---|---|\n| {escape.markdown('x|y')} | z |\n")
    assert "<td>x|y</td>" in table


@given(st.text(st.characters()))
@example(HOSTILE)
@example("\U000e0041\x7f\x9b")
def test_json_is_the_same_document(text: str) -> None:
    document = json.dumps({"a": [text]}, indent=1, ensure_ascii=False)
    assert json.loads(escape.json(document)) == {"a": [text]}
    assert not unprintable(escape.json(document), keep="\n")


def test_html() -> None:
    assert escape.html('<a href="x">&\'\x1b') == "&lt;a href=&quot;x&quot;&gt;&amp;&#x27;\\x1b"


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "＝", "＋", "－", "＠", "  ="])
def test_csv_cell_is_no_formula(begin: str) -> None:
    file = io.StringIO()
    csv.writer(file).writerow([escape.csv_cell(f'{begin}HYPERLINK("x","y")\r\n')])
    (row,) = csv.reader(io.StringIO(file.getvalue()))
    assert row == [f'\'{begin}HYPERLINK("x","y")\\r\\n']


@pytest.mark.parametrize("name", ["784-100-10", "digits", "torch:eager", ""])
def test_csv_cell_leaves_names_alone(name: str) -> None:
    assert escape.csv_cell(name) == name


@given(st.text())
@example(HOSTILE)
@example("'\"\\")
def test_python_string_reads_back(text: str) -> None:
    literal = escape.python_string(text)
    assert eval(literal) == text
    assert not unprintable(literal)


# End to end

NETWORK = "inputs = 2\n[[layers]]\nunits = 1\n"


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A network's file whose name is an attack; a system that cannot have it skips the test."""
    path = tmp_path / f"{HOSTILE.replace('/', '')}.toml"
    try:
        path.write_text(NETWORK)
    except (OSError, UnicodeError) as error:
        pytest.skip(f"no file can have this name here: {error}")
    return path


def assert_harmless(text: str) -> None:
    assert not unprintable(text, keep="\n")
    assert not any(line.startswith("all agree") for line in text.split("\n"))


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "-b", "numpy", "--dtype", "float32"],
        ["check", "-b", "numpy", "--dtype", "float32", "--details"],
        ["check", "-b", "numpy", "--dtype", "float32", "--format", "json"],
        ["trace", "-b", "numpy"],
        ["trace", "-b", "numpy", "--format", "json"],
        ["reduce", "-b", "numpy"],
    ],
    ids=" ".join,
)
def test_hostile_file_name_is_shown_harmless(
    hostile: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    command, *options = arguments
    assert run([command, str(hostile), *options]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "\\x1b" in out or "\\u001b" in out
    assert_harmless(out)


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["check", "{}"], "is no TOML file"),
        (["check", "{}", "--loss", "\x1b[2J"], "\\x1b"),
        (["trace", "2-1", "--params", "{}"], "safetensors"),
        (["trace", "2-1", "--batch", "{}"], "safetensors"),
        (["check", "2-1", "--mnist", "{}"], "is no folder"),
        (["check", "\x1b[2J\nall agree"], "unknown network"),
        (["check", "2-1", "--format", "\x1b[2J"], "unknown format"),
        (["check", "2-1", "--seed", "\x1b[2J"], "--seed"),
        (["check", "2-1", "--\x1b[2J"], "no such option"),
        (["\x1b[2J\u202e"], "no such command"),
    ],
    ids=["toml", "loss", "params", "batch", "mnist", "network", "choice", "number", "option", "command"],
)
def test_refusals_are_harmless(
    hostile: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], shown: str
) -> None:
    hostile.write_text("\x1b[2J = \n")
    assert run([argument.replace("{}", str(hostile)) for argument in arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert shown in err
    assert_harmless(err)


def broken(params: object, x: object, y: object) -> None:
    raise RuntimeError(HOSTILE)


def test_messages_and_names_of_candidates_are_harmless() -> None:
    from crossgrad.text import closing_line, details_text, report_text

    report = crossgrad.check("2-1", candidates={HOSTILE: broken}, backends=["numpy"], dtypes=["float32"])
    assert report.verdict == "failed"
    for text in (report_text(report), details_text(report), closing_line(report)):
        assert_harmless(text)
    with pytest.raises(crossgrad.GradientsDisagree) as caught:
        report.raise_if_disagree()
    assert_harmless(str(caught.value))
    assert "[bold]:warning:[/]" in report_text(report)


@pytest.mark.parametrize("backend", ["numpy", HOSTILE], ids=["stand-alone", "by-crossgrad"])
def test_scripts_run_nothing_of_a_name(backend: str) -> None:
    """`planted` is called if a name gets out of its comment or string."""
    attack = f'{HOSTILE}\nplanted()\r"); planted() #\x0c\nplanted()'
    engine = EngineId(backend, "manual" if backend == "numpy" else attack, "cpu")
    text = script(make_case("2-1"), engine, origin=f"Reduced from {attack}.")
    assert not unprintable(text, keep="\n")
    called = [name for name in compile_names(text) if name == "planted"]
    assert called == []


def compile_names(text: str) -> tuple[str, ...]:
    return compile(text, "script", "exec").co_names


def test_a_traceback_is_harmless(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("crossgrad.traces.trace_engines", lambda *_, **__: broken(0, 0, 0))
    assert run(["trace", "2-1"]) == 3
    message = capsys.readouterr().err
    assert "Traceback" in message
    assert not unprintable(message, keep="\n")


def test_error_lines_after_the_first_are_indented(capsys: pytest.CaptureFixture[str]) -> None:
    output.error("a:\n  b: wrong\nerror: forged")
    assert capsys.readouterr().err == "error: a:\n  b: wrong\n  error: forged\n"


def test_progress_shows_names_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    from crossgrad.cli.progress import progress_bar

    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "stderr", stream)
    with progress_bar() as progress:
        assert progress is not None
        progress("a[/]\x07b\x1b]0;x", 1, 2)
    assert "\x07" not in stream.getvalue()
    assert "\x1b]" not in stream.getvalue()
    assert r"a[/]\x07b" in stream.getvalue()
