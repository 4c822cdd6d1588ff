"""What becomes of the results of ``crossgrad bench``: written, kept, shown again, compared; its exit code."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ..networks.files import takes_place_of, written_whole
from . import exits
from .output import deliver, error, note, say, write

if TYPE_CHECKING:
    from ..bench.results import Results
    from ..engines import EngineId
    from ..networks.errors import InvalidInput

    Holder = Callable[[Iterable[EngineId], Mapping[str, str]], Callable[[Results], Results]]
    """What holds results to a baseline and a rule, once it knows the engines and their defaults."""


class Form(StrEnum):
    text = "text"
    json = "json"
    csv = "csv"
    markdown = "markdown"


@dataclass(frozen=True)
class Outcome:
    """What was measured, what ended it early, and what is missing then, in words.

    Attributes
    ----------
    lacks
        Whether an engine or device that was named has no rows.
    """

    results: "Results | None"
    fault: BaseException | None = None
    missing: str | None = None
    lacks: bool = False

    @property
    def ended(self) -> str | None:
        """What is to be said of an early end; what ended it says so itself, if that is about stdout."""
        from ..networks.errors import InvalidInput

        if self.fault is None:
            return None
        if isinstance(self.fault, InvalidInput | typer.Exit):
            return self.missing
        what = "interrupted" if isinstance(self.fault, KeyboardInterrupt) else "ended by an error of its own"
        return f"{what}, {self.missing}" if self.missing else what


def finish(
    outcome: Outcome, form: Form, output: Path | None, save: str | None, plot: Path | None, quiet: bool
) -> int:
    """Write what was found wherever it is wanted, whatever ended it; return the exit code."""
    found, fault = outcome.results, outcome.fault
    if found is None:
        error("interrupted")
        return exits.INTERRUPTED
    code, anything = exits.OK, bool(found.rows or found.problems) or fault is None
    # What is kept comes before the output, or in spite of it: its reader may have gone, as a wrong `jq`.
    unsaved = _unsaved(found, save) if anything and save is not None else None
    try:
        if anything and (form is not Form.text or output is not None):
            code = deliver(_formatted(found, form), output)
    except typer.Exit:
        if unsaved is not None:
            error(str(unsaved))
        raise
    finally:
        undrawn = _undrawn(found, plot) if plot is not None else None
    _tell_outcome(found, form, output, quiet)
    if unsaved is not None:
        code = _written_instead(found, unsaved, form)
    if undrawn is not None:
        raise undrawn
    if outcome.ended is not None:
        error(outcome.ended)
    return exits.INTERRUPTED if fault is not None else code or _code_of(found)


def keep_so_far(found: "Results", form: Form, output: Path) -> None:
    """Write what there is by now where the result is wanted: a process that is killed leaves that.

    Only where a file takes the place of the last one whole, and not to a device or a pipe, which would
    have it twice. What cannot be written now is told in the end.
    """
    with suppress(OSError):
        if takes_place_of(output):
            with written_whole(output) as file:
                file.write_text(_formatted(found, form), encoding="utf-8", errors="backslashreplace")


def _unsaved(found: "Results", name: str) -> "InvalidInput | None":
    """Keep the results under a name; what came of it if that failed."""
    from ..bench.saved import save_results
    from ..networks.errors import InvalidInput

    try:
        note(f"saved: {save_results(found, name)}")
    except InvalidInput as problem:
        return problem
    return None


def _undrawn(found: "Results", plot: Path) -> "InvalidInput | None":
    """Draw the results; what came of it if that failed."""
    from ..bench.plot import plot_results
    from ..networks.errors import InvalidInput

    if not found.rows:
        note(f"note: {plot} is not drawn, as nothing was timed")
        return None
    try:
        plot_results(found, plot)
    except InvalidInput as problem:
        return problem
    return None


def _written_instead(found: "Results", problem: "InvalidInput", form: Form) -> int:
    """Write what could not be saved as JSON, unless that was done."""
    if form is Form.json:
        error(str(problem))
    else:
        write(_formatted(found, Form.json))
        error(f"{problem}; the results are above instead, as JSON")
    return exits.BAD_INPUT


def _tell_outcome(found: "Results", form: Form, output: Path | None, quiet: bool) -> None:
    """Say what has no place in what is written: who has no timing and why, the rule's outcome, warnings."""
    from ..bench.text import outcome_lines

    if form is Form.csv or (quiet and form is Form.text and output is None):
        for line in outcome_lines(found):
            note(line)
    for warning in found.notes if form is Form.csv else ():
        note(f"note: {warning}")


def _code_of(found: "Results") -> int:
    from ..bench.runner import MISMATCH

    states = {problem.status for problem in found.problems}
    if MISMATCH in states:
        return exits.DISAGREE
    if states - {"unsupported", "missing"} or not found.rows:
        return exits.ENGINE_FAILED
    return _code_of_rule(found)


def _code_of_rule(found: "Results") -> int:
    from ..bench.baseline import not_held
    from ..bench.results import subjects
    from ..bench.rules import parse_rule

    if found.baseline is None or found.baseline.rule is None:
        return exits.OK
    rule = parse_rule(found.baseline.rule)
    held = [row for row in found.baseline.rows if rule.covers(row.phase)]
    if any(row.regression for row in held):
        return exits.SLOWER
    if all(row.verdict == "unsure" for row in held):
        return exits.ENGINE_FAILED
    wanted = subjects([*found.rows, *found.problems])
    everywhere = set(wanted) <= {row.subject for row in held}
    missed = any(not_held(found, rule, subject) for subject in wanted)
    return exits.OK if everywhere and not missed else exits.ENGINE_FAILED


def show(name: str, hold: "Holder", form: Form, output: Path | None, plot: Path | None, quiet: bool) -> int:
    from ..bench.baseline import taking_part
    from ..bench.plot import plot_results
    from ..bench.saved import load_results

    saved = load_results(name)
    if not saved.rows and not saved.problems:
        note(f"note: {name} has no row: nothing was measured")
    found = hold(taking_part(saved), {})(saved)
    code = exits.OK if found is saved else _code_of(found)
    if plot is not None:
        plot_results(found, plot)
    _tell_outcome(found, form, output, quiet)
    if form is Form.text and output is None and (quiet or plot is not None):
        return code
    return deliver(_formatted(found, form), output) or code


def compare_saved(
    one: str, other: str, fail_if: str | None, form: Form, output: Path | None, quiet: bool
) -> int:
    from ..bench.compare import closing_line, compare, comparison_json, comparison_text
    from ..bench.rules import parse_rule
    from ..bench.saved import load_results
    from ..networks.errors import InvalidInput

    if form not in (Form.text, Form.json):
        raise InvalidInput(f"--format {form}: a comparison is written as text or json")
    rule = None if fail_if is None else parse_rule(fail_if)
    found = compare(load_results(one), load_results(other), rule)
    undecided = found.vanished or not found.rows or found.decides_nothing
    unheld = exits.ENGINE_FAILED if undecided else exits.OK
    code = exits.SLOWER if found.regressions else unheld
    if quiet and form is Form.text and output is None:
        say(closing_line(found) + "\n")
        return code
    text = comparison_json(found) if form is Form.json else comparison_text(found)
    return deliver(text, output) or code


def _formatted(found: "Results", form: Form) -> str:
    from ..bench.text import results_csv, results_markdown, results_text

    if form is Form.json:
        return found.to_json() + "\n"
    if form is Form.csv:
        return results_csv(found)
    return results_markdown(found) if form is Form.markdown else results_text(found)
