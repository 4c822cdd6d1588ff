"""A report as JUnit's XML, which Jenkins, GitLab and GitHub's actions read: a suite a case, a test an engine.

The form has no standard. Elements and attributes are those of Jenkins' xUnit
schema (junit-10.xsd), which the others take too. The text is ASCII, with
character references: it is the same document in any encoding.
"""

from xml.etree.ElementTree import Element, SubElement, indent, tostring

from ..compare import Comparison
from ..escape import terminal
from ..findings import describe, describe_blame
from ..report import CaseReport, Report
from ..run import BROKEN, MISSING, OK, UNSUPPORTED, Run
from ..verdict import WRONG
from .complaints import soft_lines

OUTCOMES = {"failures": "failure", "errors": "error", "skipped": "skipped"}
"""By attribute of a suite: the element in a test that it counts."""


def report_junit(report: Report) -> str:
    """The whole report."""
    root = Element("testsuites", {"name": "crossgrad"})
    for case in report.cases:
        root.append(_suite(case))
    _count(root, report.seconds["total"])
    indent(root)
    document: bytes = tostring(root, encoding="us-ascii", xml_declaration=True)
    return document.decode("ascii") + "\n"


def _suite(case: CaseReport) -> Element:
    suite = Element("testsuite", {"name": _text(case.title)})
    properties = SubElement(suite, "properties")
    for name in ("network", "loss", "batch_size", "learning_rate", "seed", "dtype", "oracle"):
        SubElement(properties, "property", {"name": name, "value": _text(str(getattr(case, name)))})
    for run in case.runs:
        _test_of_run(suite, case, run)
    told = {f"{run.engine}: {run.message}" for run in case.runs if run.status in BROKEN}
    if untold := [problem for problem in case.problems if problem not in told]:
        test = _test(suite, case, "what was asked for", 0.0)
        _outcome(test, "error", "failed", untold)
    _count(suite, sum(sum(run.seconds.values()) for run in case.runs))
    return suite


def _test_of_run(suite: Element, case: CaseReport, run: Run) -> None:
    test = _test(suite, case, str(run.engine), sum(run.seconds.values()))
    compared = case.comparisons_of(run.engine)
    wrong = [c for c in compared if c.verdict in WRONG]
    if run.status in BROKEN:
        _outcome(test, "error", run.status, [run.message or run.status])
    elif run.status in (MISSING, UNSUPPORTED):
        _outcome(test, "skipped", run.status, [run.message or run.status])
    elif wrong:
        _outcome(test, "failure", wrong[0].verdict, _reasons(case, run, wrong))
    elif run.status != OK or not compared:
        _outcome(test, "skipped", run.status, ["not compared"])
    elif soft := soft_lines(case, run.engine):
        SubElement(test, "system-out").text = _text("\n".join(soft))
    if run.stderr:
        SubElement(test, "system-err").text = _text(run.stderr)


def _reasons(case: CaseReport, run: Run, wrong: list[Comparison]) -> list[str]:
    """Who is wrong, where and why; what else it may be; and each quantity with its worst element."""
    lines = []
    for blame in case.blames:
        if blame.engine == run.engine:
            lines.append(describe_blame(blame))
            lines += [f"or: {d.text} (confidence {d.confidence:.2f})" for d in blame.diagnoses[1:]]
    return lines + [f"{c.quantity}: {describe(c)}" for c in wrong]


def _test(suite: Element, case: CaseReport, name: str, seconds: float) -> Element:
    place = {"classname": _text(f"crossgrad.{case.title}"), "name": _text(name)}
    return SubElement(suite, "testcase", place | {"time": f"{seconds:.6f}"})


def _outcome(test: Element, element: str, kind: str, lines: list[str]) -> None:
    found = SubElement(test, element, {"type": kind, "message": _text(lines[0], keep="")})
    found.text = _text("\n".join(lines))


def _count(suite: Element, seconds: float) -> None:
    suite.set("tests", str(len(list(suite.iter("testcase")))))
    for attribute, element in OUTCOMES.items():
        suite.set(attribute, str(len(list(suite.iter(element)))))
    suite.set("time", f"{seconds:.6f}")


def _text(text: str, keep: str = "\n") -> str:
    """Text without the characters that XML 1.0 (section 2.2) cannot hold: none of them is printable."""
    return terminal(text, keep=keep)
