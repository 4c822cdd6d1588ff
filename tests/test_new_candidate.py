"""``crossgrad new-candidate``: what it writes passes as it stands, by the very command that it prints."""

import errno
import os
import shlex
from pathlib import Path
from unittest.mock import Mock

import pytest

from crossgrad.candidates import BACKENDS
from crossgrad.cli.app import run

from .conftest import load_or_skip


def printed_command(text: str) -> list[str]:
    """The arguments of the command in what was printed."""
    (line,) = [line for line in text.splitlines() if line.startswith("  crossgrad ")]
    return shlex.split(line)[1:]


@pytest.mark.parametrize(
    "name",
    ["mine.py", "my step.py", "a=b.py", "a=b/c.py", "c:d.py", "it's=1:2.py"],
    ids=["plain", "space", "equals", "equals-in-folder", "colon", "all"],
)
def test_the_printed_command_finds_the_file(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).parent.mkdir(exist_ok=True)
    assert run(["new-candidate", name]) == 0
    command = printed_command(capsys.readouterr().out)
    assert run([*command, "-b", "numpy", "--dtype", "float32", "--no-isolate"]) == 0
    assert f"{Path(name).stem}:candidate" in capsys.readouterr().out


def test_half_a_file_does_not_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    monkeypatch.setattr("crossgrad.starters.starter", Mock(side_effect=full))
    assert run(["new-candidate", str(tmp_path / "mine.py")]) == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_written_agrees_on_the_article(
    backend: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    valid_report,
) -> None:
    load_or_skip(backend)
    monkeypatch.chdir(tmp_path)
    assert run(["new-candidate", "mine.py", "--candidate-backend", backend]) == 0
    written = capsys.readouterr()
    assert written.err == ""
    arrays = "" if backend == "numpy" else f" --candidate-backend {backend}"
    assert f"\n  crossgrad check --candidate mine.py{arrays} article 6-5-3\n" in written.out
    command = printed_command(written.out)
    assert run([*command, "-b", "numpy"]) == 0
    assert (
        "2 engines (numpy:manual@cpu, mine:candidate@cpu), 92 comparisons: all agree"
        in capsys.readouterr().out
    )
    assert run([*command, "-b", "numpy", "--format", "json"]) == 0
    document = valid_report(capsys.readouterr().out)
    assert document["verdict"] == "agree"
    mine = [run for case in document["cases"] for run in case["runs"] if run["backend"] == "mine"]
    assert [run["status"] for run in mine] == ["ok"] * 4


@pytest.mark.parametrize("backend", BACKENDS)
def test_it_is_right_on_other_networks_too(
    backend: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Several layers, many samples, one layer without bias: what a user goes on to."""
    load_or_skip(backend)
    (tmp_path / "net.toml").write_text(
        "inputs = 5\n[[layers]]\nunits = 4\nbias = false\n[[layers]]\nunits = 3\n"
    )
    assert run(["new-candidate", str(tmp_path / "mine.py"), "--candidate-backend", backend]) == 0
    command = printed_command(capsys.readouterr().out)
    assert run([*command[:-1], str(tmp_path / "net.toml"), "7-6-5-4", "-b", "numpy"]) == 0


def test_a_file_is_never_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.py"
    file.write_text("precious")
    (tmp_path / "link.py").symlink_to(tmp_path / "nowhere.py")
    for taken in (file, tmp_path / "link.py"):
        assert run(["new-candidate", str(taken)]) == 2
        written = capsys.readouterr()
        assert written.out == ""
        assert "is there already, and is left as it is: name another file" in written.err
    assert file.read_text() == "precious"
    assert not (tmp_path / "nowhere.py").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mine"], "expected the name of a Python file, such as mine.py"),
        ([".py"], "expected the name of a Python file"),
        (["torch.py"], "an import of torch would find this file"),
        (["random.py"], "an import of random would find this file"),
        (["no-such-folder/mine.py"], "cannot write no-such-folder/mine.py: No such file or directory"),
        (["mine.py", "--candidate-backend", "keras"], "keras"),
        (["\x1b[2J.txt"], r"\x1b[2J.txt: expected"),
        ([], "FILE.py"),
    ],
    ids=[
        "no-suffix",
        "no-stem",
        "framework",
        "standard-library",
        "no-folder",
        "backend",
        "hostile",
        "nothing",
    ],
)
def test_refusals(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["new-candidate", *arguments]) == 2
    written = capsys.readouterr()
    assert message in written.err
    assert "Traceback" not in written.out + written.err
    assert list(tmp_path.iterdir()) == []
