"""Results compared: noise makes no regression, a planted slowdown is found."""

import json
import math
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossgrad import InvalidInput
from crossgrad.bench.compare import (
    Comparison,
    Rule,
    compare,
    comparison_json,
    comparison_text,
    environment_differences,
    parse_rule,
)
from crossgrad.bench.results import Problem, Results, Row, Settings, Yardstick, place_of
from crossgrad.bench.statistics import median
from crossgrad.bench.text import results_text

from .published import hold

SETTINGS = Settings(min_time=1, rounds=15)


def row(samples: Sequence[float] = (1.0,) * 15, **fields: Any) -> Row:
    about = {"network": "784-100-10", "batch_size": 32, "dtype": "float32", "backend": "numpy"}
    about |= {"variant": "manual", "device": "cpu", "phase": "step", **fields}
    about.setdefault("median", median(samples or [1.0]))
    return Row(**{"rounds": len(samples), "samples": tuple(samples), **about})


SECONDS = {"forward": 0.2, "step": 0.5, "copied": 1e-3}
"""What a yardstick takes."""


def yardstick(scale: float = 1.0, rounds: int = 15, **fields: Any) -> Yardstick:
    about = {
        "network": "784-100-10",
        "batch_size": 32,
        "dtype": "float32",
        "device": "cpu",
        "engine": "numpy",
    }
    timed = {kind: (scale * value,) * rounds for kind, value in SECONDS.items()}
    return Yardstick(**{**about, **timed, **fields})


def results(*rows: Row, yardsticks: Sequence[Yardstick] | None = None, **fields: Any) -> Results:
    """Where no yardsticks are given, a steady one at each place."""
    if yardsticks is None:
        places = dict.fromkeys(map(place_of, rows))
        keys = ("network", "batch_size", "dtype", "device")
        yardsticks = [yardstick(**dict(zip(keys, place, strict=True))) for place in places]
    about = {"began": "2026-01-01T00:00:00+00:00", "environment": {"cpu": "one"}, "settings": SETTINGS}
    return Results(**{**about, **fields}, rows=rows, yardsticks=tuple(yardsticks))


def about(scale: float, spread: float = 0.004) -> list[float]:
    """Fifteen quiet rounds."""
    return [scale * (1 + spread * ((7 * number) % 5 - 2)) for number in range(15)]


def verdict(a: Results, b: Results, rule: Rule | None = None) -> str:
    (found,) = compare(a, b, rule).rows
    return found.verdict


# Verdicts


@pytest.mark.parametrize(
    ("factor", "expected"),
    [(1.0, "same"), (1.015, "same"), (1.05, "slower"), (2.0, "slower"), (0.95, "faster"), (0.985, "same")],
)
def test_verdicts_of_quiet_rounds(factor: float, expected: str) -> None:
    assert verdict(results(row(about(1))), results(row(about(factor)))) == expected


def test_what_is_the_same_is_as_near_as_the_rule_asks() -> None:
    """8 % more, where 10 % are allowed."""
    a, b = results(row(about(1))), results(row(about(1.08)))
    assert verdict(a, b, parse_rule("median>10%")) == "same"
    assert verdict(a, b) == "slower"


def test_a_machine_that_became_slower_makes_no_regression() -> None:
    a = results(row(about(1)), yardsticks=[yardstick()])
    b = results(row(about(1.3)), yardsticks=[yardstick(1.3)])
    (found,) = compare(a, b, parse_rule("median>5%")).rows
    assert found.ratio == pytest.approx(1)
    assert found.seconds == pytest.approx(1.3)
    assert (found.verdict, found.regression) == ("unsure", False)
    assert "took 1.30 times as long in B" in comparison_text(compare(a, b))


def test_what_a_rule_allows_is_not_called_the_same() -> None:
    found = compare(results(row(about(1))), results(row(about(1.4))), parse_rule("median>50%"))
    assert found.rows[0].verdict == "same"
    assert "within 50%" in comparison_text(found)


def test_a_rule_by_which_nothing_is_decided_says_so() -> None:
    unsure = results(row(about(1))), results(row(about(1.3)), yardsticks=[yardstick(1.3)])
    rule = parse_rule("median>5%")
    assert compare(*unsure, rule).decides_nothing
    assert not compare(*unsure).decides_nothing
    both = [one.model_copy(update={"rows": (*one.rows, row(about(1), network="1-1-1"))}) for one in unsure]
    both = [
        one.model_copy(update={"yardsticks": (*one.yardsticks, yardstick(network="1-1-1"))}) for one in both
    ]
    assert not compare(both[0], both[1], rule).decides_nothing


def test_a_yardstick_that_became_faster_makes_no_regression() -> None:
    a, b = (
        results(row(about(1)), yardsticks=[yardstick()]),
        results(row(about(0.99)), yardsticks=[yardstick(0.8)]),
    )
    assert verdict(a, b) == "unsure"


def test_a_slowdown_on_a_slower_machine_is_found() -> None:
    a, b = (
        results(row(about(1)), yardsticks=[yardstick()]),
        results(row(about(1.3)), yardsticks=[yardstick(1.1)]),
    )
    assert verdict(a, b) == "slower"


def test_rounds_that_wander_widen_the_interval_and_blinking_ones_less() -> None:
    """The same rounds, in another order: what lasts longer than a round may last longer than a run."""
    low, high = [1.0] * 50, [1.2] * 50
    wandering = [sample for _ in range(2) for half in (low, high) for sample in half[:25]]
    blinking = [sample for pair in zip(low, high, strict=True) for sample in pair]
    assert sorted(wandering) == sorted(blinking)
    a = results(row(about(1)))
    widths = []
    for samples in (wandering, blinking):
        (found,) = compare(a, results(row(samples))).rows
        assert found.low is not None
        assert found.high is not None
        widths.append(math.log(found.high / found.low))
    assert widths[0] > 2 * widths[1]


@given(
    a=st.lists(st.floats(0, 1e300), min_size=1, max_size=20),
    b=st.lists(st.floats(0, 1e300), min_size=1, max_size=20),
    scale=st.floats(1e-290, 1e300),
)
def test_any_numbers_compare(a: list[float], b: list[float], scale: float) -> None:
    one, other = results(row(a), yardsticks=[yardstick()]), results(row(b), yardsticks=[yardstick(scale)])
    for found in (compare(one, other), compare(other, one)):
        (change,) = found.rows
        if change.low is not None:
            assert change.low <= change.ratio <= change.high
        assert comparison_text(found)
        assert json.loads(comparison_json(found))


@given(factor=st.floats(0.5, 2), scale=st.floats(0.5, 2))
def test_back_and_forth_are_each_others_inverse(factor: float, scale: float) -> None:
    one = results(row(about(1)), yardsticks=[yardstick()])
    other = results(row(about(factor)), yardsticks=[yardstick(scale)])
    (there,), (back,) = compare(one, other).rows, compare(other, one).rows
    assert there.ratio * back.ratio == pytest.approx(1)
    assert there.low * back.high == pytest.approx(1)
    opposite = {"faster": "slower", "slower": "faster"}
    assert opposite.get(there.verdict, there.verdict) == back.verdict


def test_what_happens_once_is_shown_and_never_counts() -> None:
    once = [row([1.0], phase="compile"), row(about(1))]
    twice = [row([9.0], phase="compile"), row(about(1))]
    found = compare(results(*once), results(*twice), parse_rule("median>5%"))
    assert [(change.phase, change.verdict, change.regression) for change in found.rows] == [
        ("compile", "once", False),
        ("step", "same", False),
    ]
    assert found.rows[0].seconds == 9
    assert "9.00" in comparison_text(found)


@pytest.mark.parametrize("samples", [(), (0.0,) * 15, (1.0,)], ids=["none", "zeros", "one"])
def test_rows_without_usable_rounds_are_unsure(samples: tuple[float, ...]) -> None:
    a = results(row(median=1.0, samples=samples, rounds=len(samples) or 15))
    assert verdict(a, results(row(about(2)))) == verdict(results(row(about(2))), a) == "unsure"


def test_one_round_is_no_phase_that_happens_once() -> None:
    """The rule covers it, and cannot tell."""
    both = results(row([1.0]), row(about(1), phase="update"))
    assert [change.phase for change in compare(both, both, parse_rule("median>5%")).undecided] == ["step"]


# Rules


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("median>5%", Rule(0.05)),
        (" step : median > 2.5 % ", Rule(0.025, "step")),
        ("update:median>0%", Rule(0.0, "update")),
    ],
)
def test_rules_are_read(text: str, rule: Rule) -> None:
    assert parse_rule(text) == rule
    assert parse_rule(str(rule)) == rule


@pytest.mark.parametrize(
    "text",
    [
        *("", "5%", "median", "median>5", "median>-5%", "median>1e3%", "median<5%", "mean>5%"),
        *("median>5%,step", "leap:median>5%", "import:median>5%", "median>99999%", "step:step:median>5%"),
        "\x1b[2J" * 99,
    ],
)
def test_other_rules_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"expected as in median>5%|expected a phase that") as refused:
        parse_rule(text)
    assert len(str(refused.value)) < 300


def test_a_rule_counts_only_its_phase_and_beyond_its_share() -> None:
    a = results(row(about(1)), row(about(1), phase="update"))
    b = results(row(about(1.1)), row(about(1.2), phase="update"))

    def regressions(text: str) -> list[str]:
        return [change.phase for change in compare(a, b, parse_rule(text)).regressions]

    assert regressions("median>5%") == ["step", "update"]
    assert regressions("step:median>5%") == ["step"]
    assert regressions("median>15%") == ["update"]
    assert regressions("median>30%") == []
    assert compare(a, b).regressions == ()


def test_a_rule_that_nothing_could_break_is_refused() -> None:
    for a, b in [
        (results(), results()),
        (results(row(about(1))), results(row(about(1), network="1-1-1"))),
        (results(row([1.0], phase="import")), results(row([1.0], phase="import"))),
    ]:
        with pytest.raises(InvalidInput, match="no row in common"):
            compare(a, b, parse_rule("median>5%"))
        assert compare(a, b).regressions == ()


def test_a_rule_is_not_kept_by_rows_that_vanish() -> None:
    """A phase that fails in B, or an engine that is not there, is no success."""
    both, steps = row(about(1)), [row(about(1), network=f"{width}-1") for width in range(1, 6)]
    once = row([1.0], phase="import")
    full, thin = results(both, once, *steps), results(both)
    found = compare(full, thin, parse_rule("step:median>5%"))
    assert found.vanished == found.only_a[1:] != ()
    assert comparison_text(found).splitlines()[-1] == (
        "1 rows of both: 1 same; rule step:median>5%: not held to "
        + ", ".join(f"numpy:manual@cpu step of {width}-1 (batch 32, float32)" for width in (1, 2, 3))
        + " and 2 more, which B lacks"
    )
    slower = compare(full, results(row(about(2))), parse_rule("median>5%"))
    assert "; REGRESSION: numpy:manual@cpu step of 784-100-10" in comparison_text(slower)
    assert compare(full, thin).vanished == ()
    assert compare(thin, full, parse_rule("median>5%")).vanished == ()


# What is not alike


def test_what_a_result_warns_of_is_told_beside_it() -> None:
    a, b = (
        results(row(about(1))).model_copy(update={"notes": (note,)}) for note in ("it was noisy", "\x1b[2J")
    )
    text = comparison_text(compare(a, b))
    assert "note of A: it was noisy\n" in text
    assert "note of B: \\x1b[2J\n" in text


def test_rows_of_one_side_are_listed() -> None:
    both, mine, yours = row(about(1)), row(about(1), backend="jax"), row(about(1), dtype="float64")
    found = compare(results(both, mine), results(both, yours))
    assert len(found.rows) == 1
    assert found.only_a == ("jax:manual@cpu step of 784-100-10 (batch 32, float32)",)
    assert found.only_b == ("numpy:manual@cpu step of 784-100-10 (batch 32, float64)",)
    text = comparison_text(found)
    assert "only in A: jax:manual@cpu" in text
    assert "only in B: numpy:manual@cpu" in text


def test_rows_of_one_side_are_a_line_an_engine_and_network() -> None:
    """And one each where the rule covers them."""
    phases = ("import", "compile", "forward", "step")
    networks = ("1-1", "2-2")
    gone = [
        row([1.0] if phase in phases[:2] else about(1), network=network, phase=phase)
        for network in networks
        for phase in phases
    ]
    both = row(about(1), backend="jax")
    found = compare(results(both, *gone), results(both), parse_rule("median>5%"))
    lines = comparison_text(found).splitlines()
    assert [line for line in lines if line.startswith("only in A: ")] == [
        f"only in A: numpy:manual@cpu import, compile, forward, step of {network} (batch 32, float32)"
        for network in networks
    ]
    assert [line for line in lines if line.startswith("the rule covers")] == [
        f"the rule covers what B lacks: numpy:manual@cpu {phase} of {network} (batch 32, float32)"
        for network in networks
        for phase in ("forward", "step")
    ]


def test_environments_are_compared_key_by_key() -> None:
    a = results(environment={"cpu": "one", "backends": {"numpy": {"version": "2.0", "blas": "x"}}})
    b = results(
        environment={"cpu": "other", "backends": {"numpy": {"version": "2.1", "blas": "x"}}, "cores": 2},
        settings=Settings(min_time=1, rounds=15, threads=1),
    )
    assert environment_differences(a, a) == []
    assert environment_differences(a, b) == [
        "cpu: 'one' in A, 'other' in B",
        "backends.numpy.version: '2.0' in A, '2.1' in B",
        "settings.threads: None in A, 1 in B",
        "cores: nothing in A, 2 in B",
    ]
    assert "not alike" in comparison_text(compare(a, b))
    lone = results(environment={"cpu": "one", "backends": {}})
    assert environment_differences(a, lone) == ["backends.numpy: there in A, nothing in B"]


def test_hostile_names_are_harmless() -> None:
    hostile = "\x1b[2J[red]\n=1+1"
    a = results(row(about(1), network=hostile, variant=hostile), environment={hostile: hostile})
    found = compare(a, results(row(about(1), network=hostile, variant=hostile)), parse_rule("median>1%"))
    assert "\x1b" not in comparison_text(found) + comparison_json(found)
    assert "[red]" in comparison_text(found)


def test_a_hostile_name_that_has_only_a_problem_is_harmless() -> None:
    problem = Problem(
        network="\x1b[2J", batch_size=1, dtype="\x00", backend="b", variant="v", device="cpu",
        status="crashed", message="\x1b[2J",
    )  # fmt: skip
    assert not {"\x1b", "\x00"} & set(results_text(results(problems=(problem,))))


def test_the_json_reads_back() -> None:
    found = compare(results(row(about(1))), results(row(about(1.1))), parse_rule("step:median>5%"))
    document = json.loads(comparison_json(found))
    hold(document, "bench-comparison")
    assert document["rows"][0]["regression"] is True
    assert Comparison.model_validate(document) == found
    assert "rule step:median>5%: REGRESSION: numpy:manual@cpu step of 784-100-10" in comparison_text(found)


def test_a_rule_that_decides_nothing_does_not_say_all_is_well() -> None:
    """Twice as long, but in rounds so wild that it may be chance."""
    wild = [(1 + number % 5) ** 2 for number in range(15)]
    rule = parse_rule("step:median>5%")
    found = compare(results(row(wild)), results(row([2 * value for value in sorted(wild)])), rule)
    assert not found.regressions
    assert [change.verdict for change in found.undecided] == ["unsure"]
    (last,) = comparison_text(found).splitlines()[-1:]
    assert "no regression is certain, and none is excluded for numpy:manual@cpu step of 784-100-10" in last
    quiet = compare(results(row(about(1))), results(row(about(1))), rule)
    assert comparison_text(quiet).rstrip().endswith(": no regression")
    assert not compare(results(row(wild)), results(row(wild))).undecided
