"""Bad input on the command line: named, with the way out, exit code 2, no traceback."""

import contextlib
import io
import json
import os
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import crossgrad
from crossgrad import checking
from crossgrad.cli.app import run
from crossgrad.networks import memory
from crossgrad.networks.catalogue import Entry, find_entry

from .conftest import load_or_skip, table

QUICK = ["-b", "numpy", "--dtype", "float32"]


@pytest.fixture
def refusal(capsys: pytest.CaptureFixture[str]) -> Any:
    """Run a command that must be refused, and return what it says on stderr."""

    def refused(*arguments: str) -> str:
        assert run(arguments) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert "Traceback" not in err
        return err

    return refused


@table(
    {
        "engine": ("-b torhc", "unknown backend 'torhc'", "did you mean torch?", "numpy, torch, jax"),
        "engine-empty": ("-b :manual", "unknown backend ''", "numpy, torch, jax"),
        "memory-none": ("--memory-limit 0", "--memory-limit 0.0: expected GiB from 0.0625 to 1,073,741,824"),
        "memory-little": (
            "--memory-limit 0.0624",
            "--memory-limit 0.0624: expected GiB from 0.0625",
        ),
        "memory-nan": ("--memory-limit nan", "--memory-limit nan: expected GiB from"),
        "engine-none": ("--backend=", "--backend '' has an empty name in it: expected names"),
        "engine-comma": ("-b numpy,,torch", "--backend 'numpy,,torch' has an empty name in it"),
        "dtype-comma": ("--dtype float32,", "--dtype 'float32,' has an empty name in it"),
        "engine-file": (
            "-b here/mine.py",
            "a function of yours is no engine: crossgrad check --candidate here/mine.py",
        ),
        "variant": ("-b numpy:manul", "unknown variant of numpy 'manul'", "did you mean manual?"),
        "device": ("-d gpu", "unknown device 'gpu'", "expected cpu, cuda or cuda:N"),
        "device-index": ("-d cuda:x", "unknown device 'cuda:x'", "expected cpu, cuda or cuda:N"),
        "dtype": ("--dtype flaot32", "unknown dtype 'flaot32'", "did you mean float32", "bfloat16"),
        "loss": ("--loss sme", "unknown loss 'sme'", "did you mean mse", "half-mse"),
        "loss-empty": ("--loss=", "unknown loss ''", "mse, mse-sum, half-mse"),
        "batch-zero": ("--batch-size 0", "the batch size is 0", "at least 1"),
        "batch-negative": ("--batch-size -2", "the batch size is -2", "at least 1"),
        "batch-no-number": ("--batch-size many", "--batch-size 'many': expected a valid integer"),
        "twice": ("--loss mse --loss half-mse", "--loss is given 2 times: this command takes one"),
        "format": ("--format markdwn", "unknown format 'markdwn': did you mean markdown? known are text, "),
        "details": ("--details --format json", "--details goes with --format text"),
        "batch-endless": (f"--batch-size 1{400 * '0'}", "the batch size is 1000", "1,000,000,000,000"),
        "seed-negative": ("--seed -1", "seed is -1", "at least 0"),
        "rate-nan": ("--learning-rate nan", "learning rate nan", "a finite number"),
        "rate-infinite": ("--learning-rate=-inf", "learning rate -inf", "a finite number"),
        "rate-overflows": ("--learning-rate 1e39", "learning rate 1e+39", "in float32 at most 3.40282e+38"),
        "option": ("--bakend numpy", "--bakend", "--backend"),
        "params-missing": ("--params no.safetensors", "cannot read no.safetensors", "No such file"),
        "batch-missing": ("--batch no.safetensors", "cannot read no.safetensors", "No such file"),
        "mnist-missing": ("--mnist no-folder", "no-folder is no folder", "original MNIST files"),
    }
)
def test_option_is_refused(refusal: Any, given: str, said: tuple[str, ...]) -> None:
    message = refusal("check", "2-3", *QUICK, *given.split())
    for fragment in said:
        assert fragment in message


def test_known_values_are_not_read_out_of_what_was_given(refusal: Any) -> None:
    assert "known are text, json" in refusal("check", "2-3", "--format", "a' is not one of 'b'")


def test_unknown_variant_of_torch_is_refused(refusal: Any) -> None:
    load_or_skip("torch")
    message = refusal("check", "2-3", "-b", "torch:egaer")
    assert "unknown variant of torch 'egaer': did you mean eager?" in message


@pytest.mark.parametrize(
    ("option", "named"),
    [("--learning-rate=0", "--learning-rate"), ("--batch-size=0", "--batch-size"), ("--seed=0", "--seed")],
    ids=["rate", "batch", "seed"],
)
def test_a_case_id_says_all_even_of_zeros(refusal: Any, option: str, named: str) -> None:
    assert f"leave out {named}" in refusal(
        "check", "--case", "3-2_b1_float32_mse_w1_s0", "-b", "numpy", option
    )


@table(
    {
        "zero-inputs": ("0-3", "the width '0'", "784-100-10"),
        "zero-layer": ("3-0", "the width '0'", "784-100-10"),
        "negative-inputs": ("-2-3", "the width '-2'", "784-100-10"),
        "negative-layer": ("3--1-2", "the width '-1'", "784-100-10"),
        "word": ("2-x", "the width 'x'", "784-100-10"),
        "fraction": ("2-3.5", "the width '3.5'", "784-100-10"),
        "exponent": ("1e3-2", "the width '1e3'", "784-100-10"),
        "superscript": ("2-3²", "the width '3²'", "784-100-10"),
        "open-end": ("2-", "the width ''", "784-100-10"),
        "one-only": ("5", "network '5' has one width", "784-100-10"),
        "endless": (f"2-1{5000 * '0'}", "from 1 to 1,000,000,000,000", "784-100-10"),
        "misspelt": ("artcle", "unknown network 'artcle'", "did you mean article?", "mnist-shape", ".toml"),
        "a-candidate": ("mine.py", "a function of yours is no network: crossgrad check --candidate mine.py"),
        "nothing-like-it": ("zzz", "unknown network 'zzz': known are article", "784-100-10", ".toml"),
        "empty": ("", "unknown network ''", "784-100-10"),
        "file": ("no/such.toml", "cannot read no/such.toml: No such file"),
    }
)
@pytest.mark.parametrize("command", ["check", "trace"])
def test_network_is_refused(refusal: Any, command: str, given: str, said: tuple[str, ...]) -> None:
    message = refusal(command, "-b", "numpy", "--", given)
    for fragment in said:
        assert fragment in message


def test_article_has_one_sample(refusal: Any) -> None:
    message = refusal("check", "article", *QUICK, "--batch-size", "4")
    assert "batch size 4" in message
    assert "leave the batch size out" in message


@pytest.mark.parametrize("networks", [["2-3", "4-5"], ["2-3"] * 3], ids=len)
def test_parameter_file_goes_with_one_network(refusal: Any, networks: list[str]) -> None:
    message = refusal("check", *networks, *QUICK, "--params", "p.safetensors")
    assert f"--params p.safetensors goes with one network, but {len(networks)}" in message


def test_bad_input_is_found_before_anything_runs(refusal: Any) -> None:
    """The second network is refused, and no report on the first is begun."""
    assert "the width '0'" in refusal("check", "article", "3-0", *QUICK)


@pytest.mark.parametrize("name", [300 * "n", "\udcff", f"{__file__}/x"], ids=["long", "bytes", "in-a-file"])
@pytest.mark.parametrize(
    "command",
    [
        "check {}.toml",
        "check 2-3 --params {}",
        "check 2-3 --batch {}",
        "check 2-3 --mnist {}",
        "check 2-3 --candidate mine={}.py:f",
        "check 2-3 -b numpy --dtype float32 -o {}",
        "sweep {}.toml",
        "sweep --resume {}",
        "sweep --cases 1 -b numpy -o {}/x",
        "show {}",
        "show {} --format csv",
        "runs {}",
        "merge {} {} -o new",
    ],
)
def test_a_path_that_cannot_be_is_refused(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    command: str,
    name: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    allowed = name == "\udcff" and "-o {}" in command  # it can be, on most systems
    assert run([word.replace("{}", name) for word in command.split()]) in ((0, 2) if allowed else (2,))
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["check", "2-3", "-o", ""], "--output"),
        (["check", "2-3", "--mnist="], "--mnist"),
        (["trace", "2-3", "--params", ""], "--params"),
        (["sweep", ""], "SWEEP.toml"),
        (["show", ""], "RUN"),
        (["merge", "here", "", "-o", "there"], "RUN..."),
        (["bench", "2-3", "--plot", ""], "--plot"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else value,
)
def test_an_empty_path_is_refused(refusal: Any, arguments: list[str], named: str) -> None:
    assert refusal(*arguments) == f"error: {named} '': the path is empty\n"


@pytest.mark.parametrize("form", ["text", "json", "csv"])
@pytest.mark.parametrize("place", ["run/records.jsonl", "link", "run/../run/run.json"])
def test_a_run_is_not_written_over_itself(refusal: Any, tmp_path: Path, form: str, place: str) -> None:
    run_folder = tmp_path / "run"
    run_folder.mkdir()
    (run_folder / "records.jsonl").write_text("precious")
    (tmp_path / "link").symlink_to(run_folder / "records.jsonl")
    message = refusal("show", str(run_folder), "--format", form, "-o", str(tmp_path / place))
    assert "is the run's own file: name another one" in message
    assert (run_folder / "records.jsonl").read_text() == "precious"


# Memory


@pytest.mark.parametrize(
    "arguments",
    [
        "99999999999-99999999999",
        "784-999999999999",
        "2-3 --batch-size 999999999999",
        "-".join(["9999999"] * 9),
    ],
    ids=["wide", "one-layer", "batch", "deep"],
)
def test_what_cannot_fit_is_refused_before_it_is_made(
    refusal: Any, monkeypatch: pytest.MonkeyPatch, arguments: str
) -> None:
    monkeypatch.setattr(checking, "build_case", lambda *_, **__: pytest.fail("the case was made"))
    message = refusal("check", *QUICK, *arguments.split())
    assert "GiB are available: use a narrower network or a smaller batch" in message


def test_memory_is_refused_from_the_first_byte_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    network = crossgrad.Network.from_widths("300-200")
    monkeypatch.setattr(memory, "ALWAYS_THERE", 0)
    needed = memory.estimated_bytes(network, 32, "float32", traces=3)
    monkeypatch.setattr(memory, "available_bytes", lambda: needed)
    memory.require_memory(network, 32, "float32", traces=3)
    monkeypatch.setattr(memory, "available_bytes", lambda: needed - 1)
    with pytest.raises(crossgrad.InvalidInput, match="60,200 parameters at batch 32 in float32 needs about"):
        memory.require_memory(network, 32, "float32", traces=3)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("shape", [("200-200-200", 8), ("20-30-20", 4000)], ids=["parameters", "batch"])
def test_memory_estimate_covers_what_a_check_takes(shape: tuple[str, int], dtype: str) -> None:
    widths, batch_size = shape
    options = {"backends": ["numpy"], "dtypes": [dtype]}
    crossgrad.check("2-3", **options)  # what is loaded once is not this case's
    tracemalloc.start()
    try:
        crossgrad.check(widths, batch_size=batch_size, **options)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    estimate = memory.estimated_bytes(crossgrad.Network.from_widths(widths), batch_size, dtype, traces=1)
    assert peak <= estimate <= 3 * peak


# An output that cannot be written


@pytest.mark.parametrize(
    ("place", "reason"), [("none/report", "is no folder"), ("", "it is a folder")], ids=["missing", "folder"]
)
@pytest.mark.parametrize("command", ["check", "trace", "bench", "selftest", "reduce"])
def test_what_could_not_be_written_is_not_run(
    command: str, place: str, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [command, *(["2-3"] if command != "selftest" else []), "-b", "numpy"]
    assert run([*arguments, "-o", str(tmp_path / place)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert f"cannot write {tmp_path / place}: " in err
    assert reason in err


@pytest.mark.parametrize(
    ("arguments", "read"),
    [
        ("check 3-2 --candidate mine.py", "mine.py"),
        ("check 3-2 -b numpy --candidate other=mine.py:gradients", "link.py"),
        ("check net.toml --format json", "net.toml"),
        ("check net.toml --params p.safetensors", "p.safetensors"),
        ("check 3-2 --batch p.safetensors", "p.safetensors"),
        ("trace net.toml", "net.toml"),
        ("trace 3-2 --candidate mine.py", "mine.py"),
        ("trace 3-2 --params p.safetensors", "p.safetensors"),
        ("reduce 64-100-10 --candidate mine.py", "mine.py"),
        ("reduce net.toml -b numpy", "../here/net.toml"),
    ],
)
def test_what_is_read_is_not_written_over(
    refusal: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: str, read: str
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    for name in ("mine.py", "net.toml", "p.safetensors"):
        Path(name).write_text(name)
    Path("link.py").symlink_to("mine.py")
    assert f"{read} is what is read: name another one" in refusal(*arguments.split(), "-o", read)
    assert Path(read).read_text() == Path(read).resolve().name


@pytest.fixture
def full() -> str:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    return "/dev/full"


def test_report_is_not_lost(full: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", "2-3", *QUICK, "-o", full]) == 2
    out, err = capsys.readouterr()
    assert "numpy:manual" in out
    assert out.count("all agree") == 1
    assert "cannot write /dev/full: No space left on device; the result is above instead" in err


def test_json_report_is_not_lost(full: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", "2-3", *QUICK, "--format", "json", "-o", full]) == 2
    document, _ = json.JSONDecoder().raw_decode(capsys.readouterr().out)
    assert document["verdict"] == "agree"
    assert document["cases"][0]["comparisons"]


def test_trace_is_not_lost(full: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["trace", "article", "-b", "numpy", "-o", full]) == 2
    out, err = capsys.readouterr()
    assert "0.85057122653053" in out
    assert f"cannot write {full}" in err


def test_report_on_a_file_with_an_undecodable_name_is_written(tmp_path: Path) -> None:
    network = tmp_path / os.fsdecode(b"\xff.toml")
    try:
        network.write_text("inputs = 2\n[[layers]]\nunits = 3\n")
    except (OSError, UnicodeError):
        pytest.skip("this file system takes no such name")
    output = tmp_path / "report.txt"
    assert run(["check", str(network), *QUICK, "-o", str(output)]) == 0
    assert "\\udcff" in output.read_text(encoding="utf-8")


# Anything at all


@given(st.text() | st.from_regex(r"[-0-9 ]{1,12}", fullmatch=True) | st.text().map("{}.toml".format))
def test_any_text_is_a_network_or_refused(text: str) -> None:
    with contextlib.suppress(crossgrad.InvalidInput):
        assert isinstance(find_entry(text), Entry)


@settings(max_examples=50)
@given(st.text())
def test_any_text_on_the_command_line_ends_with_an_exit_code(text: str) -> None:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(["check", *QUICK, "--", text])
    assert (code, bool(out.getvalue()), bool(err.getvalue())) in [(0, True, False), (2, False, True)]


CONTAINERS = {
    "room": ("1000", "700", "anon 400\ninactive_file 200\nactive_file 100\n", 600),
    "none-left": ("500", "700", "anon 700\n", 0),
    "no-limit": ("max", "700", "anon 700\n", None),
}
"""Bytes as control groups tell them: the limit, what is taken, of what; and what there is left."""


@pytest.mark.parametrize(("limit", "current", "stat", "left"), CONTAINERS.values(), ids=CONTAINERS)
def test_a_container_has_what_others_in_it_left(
    limit: str, current: str, stat: str, left: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, content in {"max": limit, "current": current, "stat": stat}.items():
        (tmp_path / f"memory.{name}").write_text(content)
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    assert memory._cgroup_available() == left
