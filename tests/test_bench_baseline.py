"""One engine of a run as the baseline: who is slower is found, and what cannot be said is not."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from crossgrad import InvalidInput
from crossgrad.bench.baseline import Baseline, choose_baseline, over_baseline, taking_part
from crossgrad.bench.results import Problem, Ratio, Results, Row, Settings, read_results
from crossgrad.bench.rules import parse_rule
from crossgrad.bench.text import results_markdown, results_text
from crossgrad.cli.app import run
from crossgrad.engines import EngineId

from .published import hold
from .test_bench import paced, paced_folder  # noqa: F401 - fixtures
from .test_bench_compare import about, results, row

EAGER, COMPILED, HERE, OLD = (
    EngineId("torch", "eager", "cpu"),
    EngineId("torch", "compile", "cpu"),
    EngineId("jax", "jit", "cpu"),
    EngineId("old/jax", "jit", "cpu"),
)
BASELINE = Baseline("numpy", "manual", None)


def beside(factor: float, rule: str | None = None, phase: str = "step") -> Ratio:
    """JAX, so many times as slow as NumPy, on quiet rounds."""
    found = held(about(1), about(factor), rule=rule, phase=phase)
    assert found.baseline is not None
    (ratio,) = found.baseline.rows
    return ratio


def held(base: Sequence[float], other: Sequence[float], rule: str | None = None, **fields: Any) -> Results:
    both = results(row(base, **fields), row(other, backend="jax", variant="jit", **fields))
    return over_baseline(both, BASELINE, None if rule is None else parse_rule(rule))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("old/jax", "old/jax:jit"),
        ("jax", "jax:jit"),
        ("torch:compile", "torch:compile"),
        ("torch:eager@cpu", "torch:eager@cpu"),
    ],
)
def test_an_engine_is_named_as_far_as_it_must_be(text: str, found: str) -> None:
    assert str(choose_baseline(text, [EAGER, COMPILED, HERE, OLD])) == found


def test_a_name_alone_means_the_default_variant() -> None:
    defaults = {"torch": "eager", "jax": "jit"}
    assert str(choose_baseline("torch", [COMPILED, EAGER], defaults)) == "torch:eager"
    assert str(choose_baseline("torch:compile", [COMPILED, EAGER], defaults)) == "torch:compile"
    assert str(choose_baseline("torch", [COMPILED, HERE], defaults)) == "torch:compile"


@pytest.mark.parametrize(
    ("text", "engines", "said"),
    [
        ("torch", [EAGER, COMPILED], "more than one of the engines that take part"),
        (
            "numpy",
            [EAGER, HERE],
            "none of the engines that take part, which are torch:eager@cpu, jax:jit@cpu",
        ),
        ("torch:func", [EAGER, HERE], "none of the engines"),
        ("torch@cuda", [EAGER, HERE], "none of the engines"),
        ("", [EAGER, HERE], "none of the engines"),
        ("jax", [HERE], "no other engine takes part"),
        ("jax", [HERE, EngineId("jax", "jit", "cuda")], "no other engine takes part"),
        ("x" * 10_000, [], "which are none"),
    ],
)
def test_what_is_no_baseline_is_refused(text: str, engines: list[EngineId], said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        choose_baseline(text, engines)
    assert said in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("factor", "verdict"),
    [(1.0, "same"), (1.015, "same"), (1.06, "slower"), (2.0, "slower"), (0.9, "faster")],
)
def test_verdicts_of_quiet_rounds(factor: float, verdict: str) -> None:
    ratio = beside(factor)
    assert (ratio.verdict, ratio.regression) == (verdict, False)
    assert ratio.ratio == pytest.approx(factor, rel=0.01)


@pytest.mark.parametrize(
    ("factor", "rule", "regression"),
    [
        (1.06, "median>5%", True),
        (1.06, "step:median>5%", True),
        (1.06, "forward:median>5%", False),
        (1.06, "median>10%", False),
        (0.9, "median>5%", False),
    ],
)
def test_a_rule_decides_what_is_a_regression(factor: float, rule: str, regression: bool) -> None:
    assert beside(factor, rule).regression == regression


def test_the_machines_moods_hit_both_and_divide_out() -> None:
    moods = [1 + n for n in range(15)]
    found = held(moods, [1.06 * mood for mood in moods], "median>5%")
    assert found.baseline is not None
    assert found.baseline.rows[0].regression


@pytest.mark.parametrize(("base", "other"), [([1.0] * 15, [2.0] * 14), ([1.0], [2.0])])
def test_missing_rounds_and_one_alone_decide_nothing(base: list[float], other: list[float]) -> None:
    found = held(base, other, "median>5%")
    assert found.baseline is not None
    (ratio,) = found.baseline.rows
    assert (ratio.ratio, ratio.verdict, ratio.regression) == (None, "unsure", False)
    text = results_text(found)
    assert "rounds are missing" in text
    assert "no regression is certain, and none is excluded for jax:jit@cpu step" in text


@pytest.mark.parametrize(
    ("seconds", "asked", "rounds", "unsure"),
    [
        (0.010, {}, 15, True),
        (0.010, {"rounds": 7}, 7, True),
        (0.010, {"rounds": 600}, 600, False),
        (0.020, {}, 15, False),
        (0.010, {"processes": 1}, 15, False),
        (0.010, {}, 60, False),
    ],
    ids=["short", "few-rounds", "long-beside-many-rounds", "long", "as-asked-for", "five-processes"],
)
def test_short_calls_in_one_process_decide_nothing_unless_that_was_asked_for(
    seconds: float, asked: dict[str, int], rounds: int, unsure: bool
) -> None:
    """What stays with a process shows beside others only."""
    processes = 5 if rounds == 60 else 1
    base = [seconds * (1 + 0.001 * (number % 5)) for number in range(rounds)]
    both = results(
        row(base, processes=processes),
        row([2 * each for each in base], processes=processes, backend="jax", variant="jit"),
        settings=Settings(min_time=1, **asked),
    )
    found = over_baseline(both, BASELINE, parse_rule("median>5%"))
    assert found.baseline is not None
    (ratio,) = found.baseline.rows
    assert (ratio.one_process, ratio.regression) == (unsure, not unsure)
    assert ratio.verdict == ("unsure" if unsure else "slower")
    text = results_text(found)
    assert ("unsure over numpy:manual, as short calls had one process" in text) == unsure
    assert ("none is excluded for jax:jit@cpu step" in text) == unsure


def test_times_beyond_all_bounds_are_still_json() -> None:
    found = held([1e-300] * 15, [1e300] * 15)
    assert read_results(found.to_json(), "here") == found


def test_ratios_of_a_file_may_lack_anything() -> None:
    found = held(about(1), about(2), "median>5%")
    assert found.baseline is not None
    (ratio,) = found.baseline.rows
    odd = [{"low": None}, {"ratio": None}, {"phase": "import"}, {"network": "9-9"}]
    rows = tuple(ratio.model_copy(update=update) for update in odd)
    given = found.model_copy(update={"baseline": found.baseline.model_copy(update={"rows": rows})})
    for show in (results_text, results_markdown):
        assert "rounds are missing" in show(given)


def test_each_device_has_a_baseline_of_its_own() -> None:
    rows = [
        row(about(seconds), backend=backend, device=device)
        for device, factor in (("cpu", 1.0), ("cuda", 0.1))
        for backend, seconds in (("numpy", factor), ("jax", 2 * factor))
    ]
    found = over_baseline(results(*rows), BASELINE)
    assert found.baseline is not None
    assert [ratio.ratio for ratio in found.baseline.rows] == [pytest.approx(2)] * 2
    on_cpu = over_baseline(results(*rows), Baseline("numpy", "manual", "cpu"))
    assert on_cpu.baseline is not None
    ratios = {f"{ratio.backend}@{ratio.device}": ratio.ratio for ratio in on_cpu.baseline.rows}
    assert ratios == pytest.approx({"jax@cpu": 2, "numpy@cuda": 0.1, "jax@cuda": 0.2}, rel=0.01)


def test_what_happens_once_has_no_ratio() -> None:
    found = held([1.0], [3.0], "median>5%", phase="compile")
    assert found.baseline is not None
    assert not found.baseline.rows
    assert "nothing that it could be held to" in results_text(found)


@pytest.mark.parametrize("form", [results_text, results_markdown])
def test_tables_show_every_phase_and_the_rules_outcome(form: Any) -> None:
    for factor, said in ((2.0, "REGRESSION: jax:jit@cpu step"), (1.0, "no regression")):
        shown = form(held(about(1), about(factor), "step:median>5%")).replace("\\", "")
        assert "over numpy:manual" in shown
        assert ("2.00 (" if factor == 2 else "1.000 (") in shown
        assert said in shown
        assert "transfer" not in shown


def test_what_a_wide_rule_allows_is_not_called_the_same() -> None:
    shown = results_text(held(about(1), about(4.0), "step:median>500%"))
    assert "within 500%" in shown
    assert "same" not in shown


def test_rows_without_a_limit_say_so() -> None:
    shown = results_text(held(about(1), about(1), "median>5%"))
    assert "no limit: none of these engines has bare matrix products in float32 that were timed" in shown


def test_a_network_without_the_baseline_is_said() -> None:
    gone = {"network": "3-2", "batch_size": 1, "dtype": "float32", "status": "crashed", "message": "gone"}
    problem = Problem(backend="numpy", variant="manual", device="cpu", **gone)
    found = results(row(backend="jax", variant="jit", network="3-2", batch_size=1), problems=(problem,))
    assert taking_part(found) == [HERE, EngineId("numpy", "manual", "cpu")]
    shown = results_text(over_baseline(found, BASELINE, parse_rule("median>5%")))
    assert "rule median>5% over numpy:manual: nothing that it could be held to" in shown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["3-2", "-b", "numpy", "--baseline", "numpy"], "no other engine takes part"),
        (["3-2", "-b", "numpy", "-b", "jax", "--baseline", "torch"], "none of the engines that take part"),
        (["3-2", "--fail-if", "step:median>5%"], "slower than what? Add --baseline ENGINE"),
        (["3-2", "--baseline", "jax", "--fail-if", "mean>5%"], "expected as in median>5%"),
        (["--compare", "a", "b", "--baseline", "numpy"], "leave out --baseline"),
    ],
)
def test_bad_input_is_refused_before_anything_is_measured(
    capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert run(["bench", *arguments]) == 2
    message = capsys.readouterr().err
    assert said in message
    assert "Traceback" not in message


@pytest.mark.usefixtures("paced")
def test_the_command_line_as_a_gate(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    engines = ["-b", "paced:slower-0", "-b", "paced:slower-400", "--save", "kept"]
    # Three rounds of 7 ms, on a busy machine, leave it unsure.
    enough = ["--min-time", "0.2", "--rounds", "15", "--processes", "1", "--threads", "1"]
    gate = ["--baseline", "paced:slower-0", "--fail-if", "step:median>50%"]
    assert run(["bench", "3-2", *engines, *enough, *gate]) == 4
    assert "rule step:median>50% over paced:slower-0: REGRESSION: paced:slower-400@cpu step" in (
        capsys.readouterr().out
    )
    other_way = ["--baseline", "paced:slower-400", "--fail-if", "step:median>50%"]
    assert run(["bench", "--load", "kept", *other_way, "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    hold(document, "bench")
    assert document["baseline"]["engine"] == "paced:slower-400"
    verdicts = {ratio["phase"]: ratio["verdict"] for ratio in document["baseline"]["rows"]}
    assert verdicts["step"] == "faster"
    assert run(["bench", "--load", "kept", *gate, "--format", "csv"]) == 4
    lines = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    told = {(line["variant"], line["phase"]): line["over_verdict"] for line in lines}
    assert told["slower-400", "step"] == "slower"
    assert told["slower-0", "step"] == ""
    assert run(["bench", "--load", "kept", "--format", "csv"]) == 0


def test_a_rule_that_nothing_can_be_held_to_is_no_success(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    lone = results(
        Row(**row().model_dump()),
        problems=(
            Problem(
                network="784-100-10", batch_size=32, dtype="float32", status="missing", message="none",
                backend="jax", variant="jit", device="cpu",
            ),
        ),
    )  # fmt: skip
    Path("lone.json").write_text(lone.to_json())
    assert run(["bench", "--load", "lone.json", "--baseline", "jax", "--fail-if", "median>5%"]) == 3
    assert "nothing that it could be held to" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("other", "code", "said"),
    [
        ({}, 0, "no regression"),
        ({"phase": "forward"}, 3, "not held to torch:eager@cpu, without such timings: no regression"),
        ({"dtype": "float64"}, 3, "nothing that it could be held to"),
    ],
    ids=["held", "another-phase", "another-network"],
)
def test_a_rule_is_held_to_every_engine(
    other: dict[str, str], code: int, said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """One that lacks the phase, beside one that has it, is no success."""
    jax = row(about(1), backend="jax", variant="jit")
    torch = row(about(1), backend="torch", variant="eager", **other)
    (tmp_path / "run.json").write_text(results(row(about(1)), jax, torch).to_json())
    gate = ["--baseline", "numpy", "--fail-if", "step:median>5%"]
    assert run(["bench", "--load", str(tmp_path / "run.json"), *gate]) == code
    assert said in " ".join(capsys.readouterr().out.split())
