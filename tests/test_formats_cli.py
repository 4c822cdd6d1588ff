"""``crossgrad check --format junit|github|markdown`` from the command line, and the step's summary."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from markdown_it import MarkdownIt

from crossgrad.cli.app import run
from crossgrad.cli.step_summary import LIMIT

from .test_escape import unprintable

QUICK = ["check", "3-2", "-b", "numpy", "--dtype", "float32", "--no-isolate"]


@pytest.mark.parametrize("form", ["junit", "github", "markdown"])
@pytest.mark.parametrize(
    ("more", "code"),
    [([], 0), (["--candidate", "WRONG"], 1), (["--candidate", "BROKEN"], 3)],
    ids=["agree", "disagree", "failed"],
)
def test_exit_codes_are_those_of_the_verdict(
    form: str, more: list[str], code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "wrong.py").write_text("def gradients(params, x, y):\n    return 0.0, params\n")
    (tmp_path / "broken.py").write_text("def gradients(params, x, y):\n    raise ValueError('no')\n")
    arguments = [str(tmp_path / f"{word.lower()}.py") if word.isupper() else word for word in more]
    assert run([*QUICK, *arguments, "--format", form]) == code
    written = capsys.readouterr()
    assert written.err == ""
    if form == "junit":
        assert ElementTree.fromstring(written.out).tag == "testsuites"
    elif form == "github":
        assert all(line.startswith("::") for line in written.out.splitlines())
        assert ("::error" in written.out) == (code != 0)
    else:
        assert written.out.startswith("## crossgrad: ")


@pytest.mark.parametrize("form", ["junit", "markdown"])
def test_a_file_gets_the_report_and_stdout_the_closing_line(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "report"
    assert run([*QUICK, "--format", form, "-o", str(file)]) == 0
    assert "numpy" in file.read_text()
    (line,) = capsys.readouterr().out.splitlines()
    assert "all agree" in line


def test_commands_in_a_file_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*QUICK, "--format", "github", "-o", str(tmp_path / "x")]) == 2
    assert "reads commands from stdout only; leave -o out" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_an_unwritable_file_is_said_once_and_the_report_is_on_stdout(
    capsys: pytest.CaptureFixture[str],
) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    assert run([*QUICK, "--format", "junit", "-o", "/dev/full"]) == 2
    written = capsys.readouterr()
    assert ElementTree.fromstring(written.out).tag == "testsuites"
    assert "the result is above instead" in written.err


@pytest.fixture
def summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(file))
    return file


def test_the_summary_is_appended(summary: Path, capsys: pytest.CaptureFixture[str]) -> None:
    summary.write_text("# before, without an end of line")
    assert run([*QUICK, "--format", "github"]) == 0
    assert run([*QUICK, "--format", "github"]) == 0
    text = summary.read_text()
    assert text.startswith("# before, without an end of line\n## crossgrad: agree\n")
    assert text.count("\n## crossgrad: agree\n") == 2
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("form", ["text", "json", "junit", "markdown"])
def test_other_forms_leave_the_summary_alone(form: str, summary: Path) -> None:
    assert run([*QUICK, "--format", form]) == 0
    assert not summary.exists()


@pytest.mark.parametrize(
    ("room", "said"),
    [(10_000, "all agree"), (400, "The summary ends here"), (50, ""), (0, ""), (-10, "")],
    ids=["whole", "cut", "no-room", "full", "too-long-already"],
)
def test_the_summary_stays_under_a_mebibyte(
    room: int, said: str, summary: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = b"x" * (LIMIT - room)
    summary.write_bytes(before)
    assert run([*QUICK, "--format", "github"]) == 0
    after = summary.read_bytes()
    assert after.startswith(before)
    assert len(after) < 2**20 or room < 0
    assert said in after[len(before) :].decode()
    assert (after == before) == (said == "")
    assert ("is full, GitHub shows 1 MiB of it" in capsys.readouterr().err) == (said == "")


@pytest.mark.parametrize("place", ["a directory", "no directory", "/dev/full"])
def test_a_summary_that_cannot_be_written_is_a_note(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = {
        "a directory": tmp_path,
        "no directory": tmp_path / "no" / "summary",
        "/dev/full": Path("/dev/full"),
    }
    if place == "/dev/full" and not paths[place].exists():
        pytest.skip("there is no /dev/full here")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(paths[place]))
    assert run([*QUICK, "--format", "github"]) == 0
    written = capsys.readouterr()
    assert written.err.startswith("the step's summary is not written: ")
    assert "::notice title=crossgrad::1 case" in written.out


def test_names_are_harmless_from_end_to_end(summary: Path, tmp_path: Path, capfd: Any) -> None:
    """A network's file and a candidate, both with names that would be commands, markup and lines."""
    folder = tmp_path / "##[add-path]%0A"
    folder.mkdir()
    network = folder / "|<b>\n::error::forged.toml"
    network.write_text("inputs = 2\n[[layers]]\nunits = 1\n")
    candidate = folder / "mine.py"
    candidate.write_text(
        "def gradients(params, x, y):\n    raise ValueError('a\\x1b]0;b\\x07 ::error::c|d')\n"
    )
    arguments = ["check", str(network), "-b", "numpy", "--dtype", "float32", "--candidate", str(candidate)]
    assert run([*arguments, "--format", "github"]) == 3
    out = capfd.readouterr().out
    assert all(re.match(r"::(error|warning|notice) title=[^:,]*::", line) for line in out.splitlines())
    assert not unprintable(out, keep="\n")
    assert "::error::forged" not in {line.strip() for line in out.splitlines()}
    html = MarkdownIt("commonmark").enable("table").render(summary.read_text())
    assert "<b>" not in html
    assert html.count("<tr>") == 3


def test_text_stays_the_default_in_github_actions() -> None:
    environment = os.environ | {"GITHUB_ACTIONS": "true"}
    command = [sys.executable, "-m", "crossgrad", *QUICK]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0
    assert "::" not in done.stdout
    assert "all agree" in done.stdout
