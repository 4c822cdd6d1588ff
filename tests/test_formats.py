"""Reports as JUnit's XML, Markdown and workflow commands: well-formed and harmless whatever the names are."""

import re
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

import crossgrad
from crossgrad import escape
from crossgrad.compare import Blame, Comparison
from crossgrad.diagnosis import Diagnosis
from crossgrad.engines import EngineId
from crossgrad.formats.complaints import complaints
from crossgrad.formats.github import report_commands
from crossgrad.formats.junit import report_junit
from crossgrad.formats.markdown import report_markdown, report_markdown_within
from crossgrad.report import CaseReport, Report
from crossgrad.run import STATUSES, Run
from crossgrad.verdict import SEVERITY, WRONG, Judgement

from .test_escape import HOSTILE, unprintable

ATTACKS = [
    HOSTILE,
    "a\n::error::forged",
    "##[add-path]/tmp",
    "x]]></failure><failure/>",
    "a|b\n|---|---|\n# heading",
    "100%0A::error::",
    "title,file=a.py:3::",
    "\ufffe\uffff\x00",
    "<script>",
]
NAMES = st.sampled_from(ATTACKS) | st.text(max_size=12)


def case_of(name: str, runs: list[Run], comparisons: list[Comparison], **more: Any) -> CaseReport:
    fields = {"network": "2-1", "loss": "mse", "batch_size": 1, "learning_rate": 0.1, "seed": 0}
    fields |= {"dtype": "float32", "oracle": "arb", "blames": (), "problems": ()}
    return CaseReport(name=name, runs=tuple(runs), comparisons=tuple(comparisons), **(fields | more))


def report_of(*cases: CaseReport, notes: tuple[str, ...] = ()) -> Report:
    return Report(cases, {}, {"total": 1.5}, notes)


@st.composite
def reports(draw: st.DrawFn) -> Report:
    """Any report that a check could give, with names and messages from anywhere."""
    cases = []
    for _ in range(draw(st.integers(0, 3))):
        runs, comparisons, blames = [], [], []
        for number in range(draw(st.integers(0, 3))):
            engine = EngineId(f"{number}{draw(NAMES)}", draw(NAMES), draw(NAMES))
            status = draw(st.sampled_from(STATUSES))
            message = None if status == "ok" else draw(NAMES)
            stderr = draw(st.none() | NAMES)
            runs.append(Run(engine, status, {"step": 0.25}, message=message, stderr=stderr))
            for quantity in draw(st.lists(st.sampled_from(["loss", "dW.1", "db.1"]), unique=True)):
                verdict, reason = draw(st.sampled_from(SEVERITY)), draw(st.none() | NAMES)
                judgement = Judgement(
                    verdict, reason, 1.0, 2.0, 3.0, 4.0, 5.0, (0, 1), float("nan"), 1.0, 1.0
                )
                comparisons.append(Comparison(quantity, engine, draw(NAMES), judgement))
            if draw(st.booleans()):
                blames.append(Blame(engine, "dW.1", (Diagnosis("sign", draw(NAMES), "dW.1", None, 0.5),)))
        more = {"blames": tuple(blames), "problems": tuple(draw(st.lists(NAMES, max_size=2)))}
        cases.append(case_of(draw(NAMES), runs, comparisons, **more))
    return report_of(*cases, notes=tuple(draw(st.lists(NAMES, max_size=1))))


ANY = settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])


# Well-formed and harmless under any name


@ANY
@given(reports())
def test_junit_is_xml_that_counts_what_it_holds(report: Report) -> None:
    text = report_junit(report)
    assert text.isascii()
    root = ElementTree.fromstring(text)
    assert (root.tag, len(root)) == ("testsuites", len(report.cases))
    for suite in (root, *root):
        assert int(suite.attrib["tests"]) == len(list(suite.iter("testcase")))
        for attribute, element in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert int(suite.attrib[attribute]) == len(list(suite.iter(element)))
    for suite, case in zip(root, report.cases, strict=True):
        names = [test.attrib["name"] for test in suite.iter("testcase")]
        assert len(names) in (len(case.runs), len(case.runs) + 1)
        for test in suite.iter("testcase"):
            assert len([e for e in test if e.tag in ("failure", "error", "skipped")]) <= 1
            float(test.attrib["time"])
    for element in root.iter():
        assert not unprintable((element.text or "") + "".join(element.attrib.values()), keep="\n")


@ANY
@given(reports())
def test_workflow_commands_are_one_a_line_and_nothing_else(report: Report) -> None:
    lines = report_commands(report).removesuffix("\n").split("\n")
    for line in lines:
        assert re.fullmatch(r"::(error|warning|notice) title=[^:,\r\n]*::[^\r\n]*", line), line
        assert not unprintable(line)
        assert not re.search(r"%(?!25|0A|3A|2C)", line)
    assert lines[-1].startswith("::notice title=crossgrad::")
    wrong = {
        (n, c.engine) for n, case in enumerate(report.cases) for c in case.comparisons if c.verdict in WRONG
    }
    errors = [line for line in lines if line.startswith("::error")]
    assert len(errors) == len(wrong) + len({problem for case in report.cases for problem in case.problems})


def test_a_wrong_engine_comes_before_all_that_could_not_run() -> None:
    """GitHub shows ten errors: an engine that crashed in every case is one of them."""
    engine = EngineId("subtle", "plain", "cpu")
    judgement = Judgement("disagree", None, 1.0, 2.0, 3.0, 4.0, 5.0, (0, 1), 1.0, 1.0, 1.0)
    disagreeing = [Comparison("dW.1", engine, "arb", judgement)]
    cases = [case_of(f"{n}-1", [], disagreeing[: n // 12], problems=("crasher: gone",)) for n in range(1, 13)]
    errors = [line for line in report_commands(report_of(*cases)).splitlines() if line.startswith("::error")]
    assert "subtle%3Aplain@cpu" in errors[0]
    assert [line.partition("title=")[2] for line in errors[1:]] == [
        "1-1 float32 (and in 11 more)::crasher: gone"
    ]


def test_workflow_escapes() -> None:
    """As the runner reads them: ``%25`` is the last that it undoes, so it must be the first that is done."""
    assert escape.workflow_data("50 %0A\nx: y, z\r\x1b") == r"50 %250A%0Ax: y, z\r\x1b"
    assert escape.workflow_property("a:b,c%2C\n") == "a%3Ab%2Cc%252C%0A"


@ANY
@given(reports())
def test_markdown_has_a_table_a_case_and_no_markup_of_others(report: Report) -> None:
    text = report_markdown(report)
    assert not unprintable(text, keep="\n")
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    blocks = [token.tag for token in tokens if token.type.endswith("_open")]
    assert blocks.count("table") == blocks.count("h3") == len(report.cases)
    assert blocks.count("h2") == 1
    assert blocks.count("tr") == sum(1 + len(case.runs) for case in report.cases)
    assert blocks.count("td") == 9 * sum(len(case.runs) for case in report.cases)
    inline = {child.type for token in tokens for child in token.children or ()}
    assert inline <= {"text", "text_special", "strong_open", "strong_close"}
    assert not any("html" in token.type or token.type in ("fence", "code_block") for token in tokens)


@ANY
@given(reports(), st.integers(-10, 4000))
@example(report_of(), 0)
def test_markdown_fits(report: Report, size: int) -> None:
    text = report_markdown_within(report, size)
    assert len(text.encode()) <= max(0, size)
    whole = report_markdown(report)
    assert text in ("", whole) or re.search(r"The summary ends here, .* [0-9] of [0-9] cases are above", text)
    assert (text == whole) == (len(whole.encode()) <= size)


def test_the_worst_cases_are_kept() -> None:
    engine = EngineId("mine", "candidate", "cpu")
    fine = Comparison("loss", engine, "oracle:arb", Judgement("agree", over_floor=0.1))
    bad = replace(fine, judgement=Judgement("disagree", "far off"))
    cases = [case_of(f"fine{n}", [Run(engine, "ok", {})], [fine]) for n in range(50)]
    report = report_of(*cases, case_of("bad", [Run(engine, "ok", {})], [bad]))
    text = report_markdown_within(report, 2000)
    assert "### bad" in text
    assert re.search(r"[1-9][0-9]* of 51 cases are above, the worst first", text)


# What they say


def wrong_sign(params: Any, x: Any, y: Any) -> Any:
    ((W, b),) = params
    a = 1 / (1 + np.exp(-(x @ W.T + b)))
    dz = 2 * (a - y) * a * (1 - a) / a.size
    return np.mean((a - y) ** 2), [(-dz.T @ x, dz.sum(axis=0))]


def broken(params: Any, x: Any, y: Any) -> Any:
    raise RuntimeError("by design")


@pytest.fixture(scope="module")
def report() -> Report:
    candidates = {"mine": wrong_sign, "broken": broken}
    return crossgrad.check("3-2", backends=["numpy"], dtypes=["float64"], candidates=candidates)


def test_junit_says_who_where_and_why(report: Report) -> None:
    (suite,) = ElementTree.fromstring(report_junit(report))
    assert suite.attrib.items() >= {"tests": "3", "failures": "1", "errors": "1", "skipped": "0"}.items()
    right, mine, fails = suite.iter("testcase")
    assert (right.attrib["classname"], right.attrib["name"]) == ("crossgrad.3-2 float64", "numpy:manual@cpu")
    assert len(right) == 0
    failure = mine.find("failure")
    assert failure is not None
    assert failure.attrib["type"] == "disagree"
    assert "mine:candidate@cpu is wrong; the error enters at dW.1: " in failure.attrib["message"]
    assert "dW.1: mine:candidate@cpu against oracle:" in str(failure.text)
    assert "got " in str(failure.text)
    error = fails.find("error")
    assert error is not None
    line = broken.__code__.co_firstlineno + 1
    where = f"(at test_formats.py:{line} in broken)"
    assert error.attrib == {"type": "failed", "message": f"RuntimeError: by design {where}"}


def test_what_is_unsupported_is_skipped_and_what_was_asked_for_is_an_error() -> None:
    report = crossgrad.check("article", backends=["numpy"], dtypes=["tf32"])
    (suite,) = ElementTree.fromstring(report_junit(report))
    ran, asked = suite.iter("testcase")
    assert [element.tag for element in ran] == ["skipped"]
    assert asked.attrib["name"] == "what was asked for"
    assert "numpy:manual was asked for" in str(asked.findtext("error"))


def test_two_engines_that_fail_in_the_same_words_are_both_told() -> None:
    case = crossgrad.check("3-2", backends=["numpy"], dtypes=["float64"]).cases[0]
    (done,) = case.runs
    failed = replace(done, status="failed", message="it ended")
    unsupported = replace(
        done, engine=replace(done.engine, backend="torch"), status="unsupported", message="it ended"
    )
    told = replace(case, problems=(f"{done.engine}: it ended",), runs=(failed, unsupported))
    assert complaints(told) == [f"{done.engine}: it ended", f"{unsupported.engine}: it ended"]


def test_an_undecidable_engine_passes_and_says_so() -> None:
    engine = EngineId("mine", "candidate", "cpu")
    drowned = Comparison("dW.1", engine, "oracle:arb", Judgement("undecidable", decidable_in="float64"))
    fine = Comparison("loss", engine, "oracle:arb", Judgement("agree", over_floor=0.1))
    made = report_of(case_of("2-1", [Run(engine, "ok", {})], [fine, drowned]))
    (suite,) = ElementTree.fromstring(report_junit(made))
    (test,) = suite.iter("testcase")
    assert [element.tag for element in test] == ["system-out"]
    assert test.findtext("system-out") == "undecidable in float32: dW.1; decidable in float64"
    assert (
        "::warning title=2-1 float32::undecidable in float32: dW.1; decidable in float64"
        in report_commands(made)
    )


def test_workflow_commands_say_who_where_and_why(report: Report) -> None:
    errors = [line for line in report_commands(report).splitlines() if line.startswith("::error")]
    assert len(errors) == 2
    assert "broken:candidate@cpu: RuntimeError: by design" in errors[1]
    assert errors[0].startswith(
        "::error title=3-2 float64%3A mine%3Acandidate@cpu::mine:candidate@cpu is wrong"
    )
    assert "%0AdW.1: mine:candidate@cpu against oracle:" in errors[0]


def test_markdown_shows_the_verdict_and_the_complaints(report: Report) -> None:
    html = MarkdownIt("commonmark").enable("table").render(report_markdown(report))
    assert "<h2>crossgrad: disagree</h2>" in html
    assert "<td><strong>disagree</strong></td>" in html
    assert "<td>numpy:manual</td>" in html
    assert "<li>mine:candidate@cpu is wrong; the error enters at dW.1: " in html
