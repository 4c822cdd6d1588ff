"""Users' functions on the command line."""

from pathlib import Path
from typing import Any

import pytest

from crossgrad.candidates import BACKENDS

from .candidates import STEPS, TORCH_STEP
from .conftest import load_or_skip


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_command_line_says_whose_arrays(
    backend: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], valid_report: Any
) -> None:
    from crossgrad.cli.app import run

    load_or_skip(backend)
    (tmp_path / "mine.py").write_text(STEPS[backend])
    arguments = ["check", "article", "-b", "numpy", "--candidate", f"{tmp_path}/mine.py", "--format", "json"]
    assert run([*arguments, "--candidate-backend", backend]) == 0
    document = valid_report(capsys.readouterr().out)
    mine = [run for case in document["cases"] for run in case["runs"] if run["backend"] == "mine"]
    assert [run["status"] for run in mine] == ["ok", "ok"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--candidate-backend", "torch"], "--candidate-backend torch goes with --candidate FILE.py"),
        (["--candidate", f"{__file__}", "--candidate-backend", "tensorflow"], "tensorflow"),
    ],
    ids=["without-a-candidate", "unknown"],
)
def test_options_that_make_no_sense(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from crossgrad.cli.app import run

    assert run(["check", "article", *arguments]) == 2
    written = capsys.readouterr()
    assert message in written.err
    assert "Traceback" not in written.out + written.err


def test_a_sweep_keeps_whose_arrays_and_asks_for_them_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from crossgrad.cli.app import run

    load_or_skip("torch")
    (tmp_path / "mine.py").write_text(TORCH_STEP.replace("b.grad)", "-b.grad)"))
    night, file = str(tmp_path / "night"), f"{tmp_path}/mine.py"
    mine = ["--candidate", file, "--candidate-backend", "torch"]
    plan = ["--cases", "1", "--width", "2..3", "--depth", "1", "-b", "numpy"]
    assert run(["sweep", *plan, *mine, "-o", night]) == 1
    assert f"--candidate mine={file}:gradients --candidate-backend torch" in capsys.readouterr().out
    assert run(["sweep", "--resume", night, "--candidate", file, "--cases", "2"]) == 2
    assert "--candidate-backend torch: give the same again" in capsys.readouterr().err
    assert run(["sweep", "--resume", night, *mine, "--cases", "2"]) == 1


def test_memory_that_is_taken_and_given_back_between_two_looks_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from crossgrad.cli.app import run

    monkeypatch.setattr("crossgrad.workers.worker.LOOK_EVERY", 1e9)
    file = tmp_path / "mine.py"
    burst = "def burst(params, x, y):\n    np.ones(2**27)\n    return gradients(params, x, y)\n"
    file.write_text(f"{STEPS['numpy']}\n\n{burst}")
    assert run(["check", "3-2", "-b", "numpy", "--candidate", f"{file}:burst", "--memory-limit", "0.7"]) == 3
    assert "took more than 717 MiB of memory" in capsys.readouterr().out
