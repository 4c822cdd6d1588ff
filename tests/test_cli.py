"""The command line from end to end, started as a user starts it."""

import io
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from crossgrad.cli.app import run

from .conftest import DEFAULTS, load_or_skip
from .published import hold
from .test_plugins import add_distribution

QUICK = ["check", "3-4-2", "-b", "numpy", "--dtype", "float32"]


def crossgrad(*arguments: str, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "crossgrad", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        **options,
    )


def test_the_main_job(valid_report) -> None:
    """Both default networks on every engine, in both dtypes, as JSON: everything is there and agrees."""
    for backend, _ in DEFAULTS:
        load_or_skip(backend)
    done = crossgrad("check", "article", "digits", "--format", "json", "-d", "cpu")
    assert (done.returncode, done.stderr) == (0, "")
    document = valid_report(done.stdout)
    assert document["verdict"] == "agree"
    assert [(c["name"], c["dtype"]) for c in document["cases"]] == [
        (name, dtype) for name in ("article", "digits") for dtype in ("float32", "float64")
    ]
    for case in document["cases"]:
        assert {(r["backend"], r["status"]) for r in case["runs"]} == {
            (name, "ok") for name in ("numpy", "torch", "jax")
        }
        for engine in ("torch", "jax"):
            against = [
                c
                for c in case["comparisons"]
                if c["backend"] == engine and c["against"].startswith("oracle:")
            ]
            assert len(against) == 18


def test_names_are_separated_by_commas_too(capsys) -> None:
    """As --widths and --batches of bench are; what is wrong among them is named alone."""
    assert run(["check", "2-1", "-b", "numpy:manual, numpy", "--dtype", "float32,float64", "-d", "cpu"]) == 0
    assert "2 cases, 1 engine (numpy:manual@cpu)" in capsys.readouterr().out
    assert run(["check", "2-1", "-b", "numpy", "--dtype", "float32,f8"]) == 2
    assert "unknown dtype 'f8'" in capsys.readouterr().err


def test_text_ends_with_one_line_that_says_everything(capsys) -> None:
    assert run(QUICK) == 0
    *table, closing = capsys.readouterr().out.rstrip().splitlines()
    assert re.fullmatch(
        r"1 case, 1 engine \(numpy:manual@cpu\), 18 comparisons: all agree \[\d+\.\d s\]", closing
    )
    assert any("numpy:manual" in line and "agree" in line for line in table)
    assert table[0].startswith("3-4-2 · mse · batch 32 · lr 0.1 · seed 0 · float32")


def test_quiet_leaves_the_closing_line(capsys) -> None:
    assert run([*QUICK, "--quiet"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_output_goes_to_the_file(tmp_path: Path, capsys, valid_report) -> None:
    file = tmp_path / "report.json"
    assert run([*QUICK, "--format", "json", "-o", str(file)]) == 0
    assert valid_report(file.read_text())["verdict"] == "agree"
    assert "all agree" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (QUICK, 0),
        (["check", "3-2", "-b", "numpy", "--oracle", "none"], 3),
        (["check", "3-2", "-b", "numpy", "--oracle", "float64"], 2),
        (["check", "3-2", "-b", "numpy", "--oracle", "delphi"], 2),
        (["check", "article", "-b", "numpy", "-d", "cuda:7"], 3),
        (["check", "article", "-b", "numpy", "--dtype", "tf32"], 3),
        (["check", "artcle"], 2),
        (["check", "--format", "xml"], 2),
        (["check", "--no-such-option"], 2),
        (["chek"], 2),
        (["--version"], 0),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else str(value),
)
def test_exit_codes(arguments: list[str], code: int, capsys) -> None:
    assert run(arguments) == code
    written = capsys.readouterr()
    assert "Traceback" not in written.out + written.err
    assert code == 0 or written.out + written.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("trace", "missing argument 'NETWORK' (crossgrad trace -h shows what it takes)"),
        ("merge part1", "missing option '-o' / '--output' (crossgrad merge -h shows what it takes)"),
        ("chekc", "no such command 'chekc': did you mean 'check'? (crossgrad -h shows what it takes)"),
        ("-x", "no such option -x (crossgrad -h shows what it takes)"),
        (
            "check --bakcend numpy",
            "no such option --bakcend: did you mean --backend, --batch? (crossgrad check -h",
        ),
        ("bench --compare before", "--compare needs A B (crossgrad bench -h shows what it takes)"),
        ("check 3-2 --format", "--format needs a value (crossgrad check -h shows what it takes)"),
        ("check --quiet=yes", "option '--quiet' does not take a value (crossgrad check -h"),
        ("trace 3-2 4-2", "unexpected argument 4-2 (crossgrad trace -h shows what it takes)"),
    ],
)
def test_words_that_are_not_understood(arguments: str, said: str, capsys) -> None:
    assert run(arguments.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error: {said}")
    assert err.count("\n") == 1


def test_an_engine_that_was_asked_for_and_is_missing(capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    from crossgrad.backends import registry

    absent = registry._builtin("jax", "JaxBackend", 'pip install "crossgrad[jax]"')
    monkeypatch.setitem(
        registry._BUILTIN, "jax", type(absent)(**{**vars(absent), "requires": "no_such_package"})
    )
    assert run(["check", "3-2", "-b", "numpy", "-b", "jax", "--dtype", "float32", "--no-isolate"]) == 3
    written = capsys.readouterr().out
    assert 'jax is not installed: pip install "crossgrad[jax]"' in written
    assert "missing" in written
    assert "numpy:manual" in written


def test_interrupt_ends_with_130(capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("crossgrad.execution.run_engine", interrupted)
    assert run([*QUICK, "--no-isolate"]) == 130
    assert capsys.readouterr().err == "error: interrupted\n"


@pytest.mark.parametrize(
    "command",
    [QUICK, ["trace", "deep", "-b", "numpy"], ["doctor"], ["--help"], ["bench", "-h"], []],
    ids=lambda c: c[0] if c else "none",
)
def test_a_reader_that_has_gone_is_no_disagreement(command: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "crossgrad", *command], stdout=write, stderr=subprocess.PIPE, check=False
        )
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("command", [QUICK, ["doctor"], ["--help"]], ids=lambda c: c[0])
def test_a_full_disk_is_no_failed_engine(command: list[str]) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "crossgrad", *command], stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert (done.returncode, done.stderr) == (
        2,
        b"error: cannot write to stdout: No space left on device\n",
    )


def test_where_nothing_can_be_said_the_exit_code_says_it() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    command = shlex.join([sys.executable, "-m", "crossgrad", "--version"])
    done = subprocess.run(["sh", "-c", f"{command} > /dev/full 2>&1"], check=False)
    assert done.returncode == 2


def test_results_go_to_a_file_where_stdout_is_closed(tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    command = shlex.join([sys.executable, "-m", "crossgrad", *QUICK, "--format", "json", "-o", str(file)])
    done = subprocess.run(["sh", "-c", f"{command} >&- 2>&-"], check=False)
    assert done.returncode == 0
    assert json.loads(file.read_text())["verdict"] == "agree"


def test_a_terminal_without_our_characters_shows_the_rest() -> None:
    done = crossgrad(*QUICK, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0
    assert "all agree" in done.stdout


def test_names_may_stand_alone_in_python() -> None:
    import crossgrad as package

    assert package.check("3-2", backends="numpy", devices="cpu", dtypes="float32").ok
    with pytest.raises(package.InvalidInput, match="network is 5"):
        package.check(5)  # type: ignore[arg-type]


def test_no_colour_and_no_bar_in_a_pipe() -> None:
    done = crossgrad(*QUICK)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudo-terminal")
@pytest.mark.parametrize("no_color", [False, True], ids=["color", "NO_COLOR"])
def test_colours_on_a_terminal_unless_refused(no_color: bool) -> None:
    ours, theirs = os.openpty()
    environment = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR")}
    environment |= {"TERM": "xterm", **({"NO_COLOR": "1"} if no_color else {})}
    command = [sys.executable, "-m", "crossgrad", *QUICK]
    with subprocess.Popen(command, stdout=theirs, stderr=subprocess.PIPE, env=environment) as process:
        os.close(theirs)
        shown = b""
        while chunk := _read(ours):
            shown += chunk
        assert process.wait() == 0
    os.close(ours)
    assert (b"\x1b[32m" in shown) != no_color
    assert b"all agree" in shown


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 4096)
    except OSError:  # how Linux says that the other end is closed
        return b""


def test_trace_shows_the_articles_numbers(capsys) -> None:
    assert run(["trace", "article", "-b", "numpy"]) == 0
    shown = capsys.readouterr().out
    for name, digits in (
        ("a.2", "0.8505712265305"),
        ("W_new.1", "1.58137816544294"),
        ("db.2", "-0.037984738"),
    ):
        assert re.search(rf"^ {re.escape(name)} .*{re.escape(digits)}", shown, re.MULTILINE)


def test_trace_json_has_full_precision(capsys) -> None:
    from .conftest import make_case, run_trace

    assert run(["trace", "3-4-2", "-b", "numpy", "--format", "json", "--seed", "5"]) == 0
    document = json.loads(capsys.readouterr().out)
    hold(document, "trace")
    (engine,) = document["engines"]
    expected = run_trace(make_case("3-4-2", "float64", seed=5), "numpy", "manual").quantities
    assert list(engine["quantities"]) == [q.name for q in make_case("3-4-2").quantities]
    for name, array in expected.items():
        assert engine["quantities"][name] == {"shape": list(array.shape), "values": array.tolist()}


@pytest.mark.parametrize("isolate", [[], ["--no-isolate"]], ids=["isolated", "here"])
def test_trace_shows_a_candidate_beside_the_engines(
    isolate: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text("def gradients(params, x, y):\n    return 3.0, [(W + 1, b + 2) for W, b in params]\n")
    arguments = ["trace", "1-1", "-b", "numpy", "--candidate", str(mine), *isolate]
    assert run([*arguments, "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    hold(document, "trace")
    _, candidate = document["engines"]
    assert (candidate["backend"], candidate["variant"]) == ("mine", "candidate")
    assert list(candidate["quantities"]) == ["loss", "dW.1", "db.1"]
    assert candidate["quantities"]["loss"]["values"] == 3
    assert run(arguments) == 0
    shown = capsys.readouterr().out
    assert re.search(r"^ z\.1 .* – *$", shown, re.MULTILINE)
    assert re.search(r"^ loss .* 3\.0 *$", shown, re.MULTILINE)


def test_trace_summarises_large_tensors(capsys) -> None:
    assert run(["trace", "wide", "-b", "numpy", "--batch-size", "2"]) == 0
    shown = capsys.readouterr().out
    assert "1024x1024" in shown
    assert len(shown) < 10_000


def test_doctor_deep_runs_the_article(capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crossgrad.engines.installed_backends", lambda: ["numpy"])
    assert run(["doctor", "--deep"]) == 0
    assert "article · 1-1-1" in capsys.readouterr().out


def test_doctor_deep_outlives_an_engine_that_crashes(
    tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    crash = f"import os\nif os.getpid() != {os.getpid()}:\n    os.abort()\n"
    monkeypatch.syspath_prepend(
        add_distribution(tmp_path / "there", "crash", {"crash": "crash:E"}, {"crash": crash})
    )
    monkeypatch.setattr("crossgrad.engines.installed_backends", lambda: ["numpy", "crash"])
    assert run(["doctor", "--deep"]) == 3
    shown = capsys.readouterr().out
    assert "crash:default@cpu: signal 6 (SIGABRT) in load" in shown
    assert re.search("numpy:manual .* agree", shown)


@pytest.mark.parametrize(("encoding", "rule"), [("ascii", "-"), ("latin-1", "-"), ("utf-8", "─")])
def test_rules_are_drawn_in_what_the_terminal_has(
    encoding: str, rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="backslashreplace")
    monkeypatch.setattr("sys.stdout", shown)
    assert run(QUICK) == 0
    shown.seek(0)
    text = shown.read()
    assert 20 * rule in text
    assert "\\u2500" not in text


@pytest.mark.parametrize("command", ["check", "bench", "sweep"])
def test_the_short_option_for_help(command: str, capsys) -> None:
    assert run([command, "-h"]) == 0
    assert "Usage: crossgrad" in capsys.readouterr().out


@pytest.mark.parametrize("here", [False, True], ids=["command", "python"])
def test_digits_are_left_out_where_their_data_are_missing(
    here: bool, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    import crossgrad as package
    from crossgrad import checking

    monkeypatch.setattr(checking, "find_spec", lambda name: None)
    if here:
        found = str(package.check(backends=["numpy"], dtypes=["float32"], notes="mine"))
        assert found.startswith("note: mine\n")
    else:
        assert run(["check", "-b", "numpy", "--dtype", "float32"]) == 0
        found = capsys.readouterr().out
    assert found.count("digits left out: its data come with") == 1
    assert "1 case, 1 engine" in found


def test_params_file_is_used(tmp_path: Path, capsys) -> None:
    import crossgrad as package

    from .conftest import make_case

    case = make_case("3-4-2", "float64", seed=9)
    package.save_parameters(tmp_path / "p.safetensors", case.parameters)
    arguments = ["trace", "3-4-2", "-b", "numpy", "--format", "json"]
    assert run([*arguments, "--params", str(tmp_path / "p.safetensors")]) == 0
    given = json.loads(capsys.readouterr().out)["engines"][0]["quantities"]["W_new.1"]
    assert run(arguments) == 0
    drawn = json.loads(capsys.readouterr().out)["engines"][0]["quantities"]["W_new.1"]
    assert given != drawn
    assert abs(given["values"][0][0] - case.parameters[0].W[0, 0]) < 0.1
