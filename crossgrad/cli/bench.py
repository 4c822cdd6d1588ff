"""``crossgrad bench``: how fast the engines are, beside what this machine could do at best."""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import exits, options
from .command import given
from .output import deliver, error, note, require_output, say, write
from .progress import doing

if TYPE_CHECKING:
    from ..bench.lanes import Lanes
    from ..bench.plan import Item
    from ..bench.results import Results, Settings
    from ..engines import EngineId

    Holder = Callable[[Iterable[EngineId], Mapping[str, str]], Callable[[Results], Results]]


MOST_SECONDS = 86_400


class Form(StrEnum):
    text = "text"
    json = "json"
    csv = "csv"
    markdown = "markdown"


def bench(
    ctx: typer.Context,
    networks: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NETWORK]...",
            help="Catalogue name, widths, or a .toml file. Default: article mnist-shape wide.",
            show_default=False,
        ),
    ] = None,
    backend: options.Backends = None,
    device: options.Devices = None,
    python: options.Pythons = None,
    dtype: Annotated[
        list[str] | None, options.several("--dtype", help="Repeatable, or with commas. Default: float32.")
    ] = None,
    batch_size: options.BatchSize = None,
    widths: Annotated[
        str | None,
        typer.Option("--widths", metavar="W,W,...", help="Networks whose layers are all so wide."),
    ] = None,
    depth: Annotated[
        int | None, typer.Option("--depth", metavar="L", help="Layers of those networks. Default: 3.")
    ] = None,
    batches: Annotated[
        str | None, typer.Option("--batches", metavar="B,B,...", help="Each network at each of these.")
    ] = None,
    min_time: Annotated[
        float, typer.Option("--min-time", metavar="SECONDS", help="Of each phase of each engine, about.")
    ] = 1.0,
    rounds: Annotated[
        int | None,
        typer.Option(
            "--rounds",
            metavar="N",
            min=3,
            max=10_000,
            help="In which engines take turns, rounded up to as many in each process. "
            "Default: 60, or 15 if calls are long.",
        ),
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(
            "--processes",
            metavar="N",
            min=1,
            max=100,
            help="Of each engine, one after the other. "
            "Default: 5, fewer if --rounds is below 15, or 1 if calls are long.",
        ),
    ] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", metavar="N", min=1, help="Cores of each engine. Default: all.")
    ] = None,
    save: Annotated[
        str | None, typer.Option("--save", metavar="NAME", help="Keep the results under this name.")
    ] = None,
    load: Annotated[
        str | None,
        typer.Option("--load", metavar="NAME", help="Show or draw saved results, and measure nothing."),
    ] = None,
    compare: Annotated[
        tuple[str, str] | None,
        typer.Option("--compare", metavar="A B", help="Is B slower than A? Saved results, by name or file."),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            "--baseline",
            metavar="ENGINE",
            help="Hold the others against this one, round by round, as in torch, or old/jax.",
        ),
    ] = None,
    fail_if: Annotated[
        str | None,
        typer.Option(
            "--fail-if",
            metavar="RULE",
            help='With --baseline or --compare: exit code 4 if one is slower, as in "step:median>5%".',
        ),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE", help="Draw to this .svg, .png or .html file.")
    ] = None,
    compilation_cache: Annotated[
        Path | None,
        typer.Option("--compilation-cache", metavar="DIR", help="Where JAX keeps what it compiled."),
    ] = None,
    timeout: options.Timeout = None,
    memory_limit: options.MemoryLimit = None,
    allow_large: options.AllowLarge = False,
    form: Annotated[Form, typer.Option("--format", help="How to write the results.")] = Form.text,
    output: options.Output = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No tables on the screen.")] = False,
) -> None:
    """Time the engines' forward and backward core, checked first, against this machine's limit."""
    from ..bench.lanes import Lanes
    from ..bench.plan import make_plan
    from ..bench.results import Settings
    from ..bench.runner import require_rounds_within
    from ..bench.saved import file_of
    from ..environment import usable_cores
    from ..networks.errors import InvalidInput
    from ..pythons import parse_pythons
    from .inputs import files_read, limits_from, numbers_from

    results = [name for name in (load, *(compare or ())) if name is not None]
    require_output(output, [*files_read(networks or (), (), None), *map(file_of, results)])
    if compare is not None:
        _require_alone(ctx, "--compare", "fail_if")
        raise typer.Exit(_compare(*compare, fail_if, form, output, quiet))
    hold = _holder(baseline, fail_if)
    if load is not None:
        _require_alone(ctx, "--load", "fail_if", "baseline", "plot")
        raise typer.Exit(_load(load, hold, form, output, plot, quiet))
    if batches is not None and batch_size is not None:
        raise InvalidInput(f"--batch-size {batch_size} and --batches {batches}: give one of them")
    plan = make_plan(
        networks,
        widths=numbers_from("--widths", widths),
        depth=depth,
        batch_sizes=numbers_from("--batches", batches) or ([batch_size] if batch_size is not None else []),
        dtypes=dtype or ["float32"],
        allow_large=allow_large,
    )
    cores = usable_cores()
    if threads is not None and cores is not None and threads > cores:
        raise InvalidInput(f"--threads {threads}: expected at most {cores}, the cores that there are")
    if not 0 < min_time <= MOST_SECONDS:
        raise InvalidInput(f"--min-time {min_time:g}: expected seconds above 0, at most {MOST_SECONDS:,}")
    settings = Settings(min_time=min_time, rounds=rounds, processes=processes, threads=threads)
    limits = limits_from(timeout, memory_limit)
    require_rounds_within(limits.running, settings)
    _require_writable(output, save, plot, compilation_cache)
    if compilation_cache is not None:
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(compilation_cache)
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    engines = partial(Lanes, backend, device, limits, threads, parse_pythons(python or ()))
    tables = form is Form.text and not quiet and output is None
    outcome = _measure(plan, settings, engines, hold, tables)
    code, found = _finish(outcome, form, output, save, plot, quiet), outcome.results
    if isinstance(outcome.fault, Exception):
        raise outcome.fault
    if compilation_cache is not None and found and "jax" not in {row.backend for row in found.rows}:
        note(f"--compilation-cache {compilation_cache}: nothing was kept there, as jax did not run")
    raise typer.Exit(code or (exits.ENGINE_FAILED if outcome.lacks else exits.OK))


@dataclass(frozen=True)
class _Outcome:
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
        """What is to be said of an early end; none if what ended it is about stdout, and says so itself."""
        from ..networks.errors import InvalidInput

        if self.fault is None or isinstance(self.fault, InvalidInput | typer.Exit):
            return None
        what = "interrupted" if isinstance(self.fault, KeyboardInterrupt) else "ended by an error of its own"
        return f"{what}, {self.missing}" if self.missing else what


def _measure(
    plan: "tuple[Item, ...]",
    settings: "Settings",
    engines: "Callable[[], Lanes]",
    hold: "Holder",
    tables: bool,
) -> _Outcome:
    """Measure, with a table on the screen as soon as it is finished."""
    from ..bench.session import Session
    from ..bench.text import results_text

    session = None
    try:
        with doing() as status, engines() as lanes:
            held = hold([engine.id for engine in lanes.engines if engine.asked_for], lanes.defaults)
            session = Session(plan, lanes, settings)
            for line in session.notes if tables else ():
                note(f"note: {line}")
            for finished in session.run(status):
                if tables:
                    write(results_text(held(finished)) + "\n")
    except (KeyboardInterrupt, Exception) as fault:
        if session is None and isinstance(fault, Exception):
            raise
        if session is None:
            return _Outcome(None, fault)
        return _Outcome(held(session.results), fault, session.missing)
    return _Outcome(held(session.results), lacks=session.lacks)


def _holder(baseline: str | None, fail_if: str | None) -> "Holder":
    """What holds results to the baseline and the rule that were given, once it knows the engines."""
    from ..bench.baseline import choose_baseline, over_baseline
    from ..bench.rules import parse_rule
    from ..networks.errors import InvalidInput

    if fail_if is not None and baseline is None:
        raise InvalidInput(f"--fail-if {fail_if}: slower than what? Add --baseline ENGINE, or --compare A B")
    rule = None if fail_if is None else parse_rule(fail_if)

    def hold(engines: "Iterable[EngineId]", defaults: Mapping[str, str]) -> "Callable[[Results], Results]":
        if baseline is None:
            return lambda results: results
        return partial(over_baseline, baseline=choose_baseline(baseline, engines, defaults), rule=rule)

    return hold


def _finish(
    outcome: _Outcome, form: Form, output: Path | None, save: str | None, plot: Path | None, quiet: bool
) -> int:
    """Write what was found wherever it is wanted, whatever ended it; return the exit code."""
    from ..bench.plot import plot_results

    found, fault = outcome.results, outcome.fault
    if found is None:
        error("interrupted")
        return exits.INTERRUPTED
    code, anything = exits.OK, bool(found.rows or found.problems) or fault is None
    if anything and (form is not Form.text or output is not None):
        code = deliver(_formatted(found, form), output)
    _tell_outcome(found, form, output, quiet)
    if anything and save is not None:
        code = _save(found, save, form) or code
    if plot is not None and found.rows:
        plot_results(found, plot)
    elif plot is not None:
        note(f"{plot} is not drawn, as nothing was timed")
    if outcome.ended is not None:
        error(outcome.ended)
    return exits.INTERRUPTED if fault is not None else code or _code_of(found)


def _save(found: "Results", name: str, form: Form) -> int:
    """Keep the results under a name; if that fails, write them as JSON, unless that was done."""
    from ..bench.saved import save_results
    from ..networks.errors import InvalidInput

    try:
        note(f"saved: {save_results(found, name)}")
    except InvalidInput as problem:
        if form is Form.json:
            raise
        write(_formatted(found, Form.json))
        error(f"{problem}; the results are above instead, as JSON")
        return exits.BAD_INPUT
    return exits.OK


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
    wanted = subjects([*found.rows, *found.problems])
    everywhere = set(wanted) <= {row.subject for row in held}
    missed = any(not_held(found, rule, subject) for subject in wanted)
    return exits.OK if everywhere and not missed else exits.ENGINE_FAILED


def _load(name: str, hold: "Holder", form: Form, output: Path | None, plot: Path | None, quiet: bool) -> int:
    from ..bench.baseline import taking_part
    from ..bench.plot import plot_results
    from ..bench.saved import load_results

    saved = load_results(name)
    found = hold(taking_part(saved), {})(saved)
    code = exits.OK if found is saved else _code_of(found)
    if plot is not None:
        plot_results(found, plot)
    _tell_outcome(found, form, output, quiet)
    if form is Form.text and output is None and (quiet or plot is not None):
        return code
    return deliver(_formatted(found, form), output) or code


def _compare(one: str, other: str, fail_if: str | None, form: Form, output: Path | None, quiet: bool) -> int:
    from ..bench.compare import closing_line, compare, comparison_json, comparison_text
    from ..bench.rules import parse_rule
    from ..bench.saved import load_results
    from ..networks.errors import InvalidInput

    if form not in (Form.text, Form.json):
        raise InvalidInput(f"--format {form}: a comparison is written as text or json")
    rule = None if fail_if is None else parse_rule(fail_if)
    found = compare(load_results(one), load_results(other), rule)
    unheld = exits.ENGINE_FAILED if found.vanished or not found.rows else exits.OK
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


def _require_alone(ctx: typer.Context, option: str, *allowed: str) -> None:
    """Raise `InvalidInput` for what only a measurement takes, beside an option that shows saved results."""
    from ..networks.errors import InvalidInput

    showing = {option.removeprefix("--"), "form", "output", "quiet", *allowed}
    if others := [shown for name, shown in given(ctx).items() if name not in showing]:
        raise InvalidInput(f"{option} measures nothing: leave out {', '.join(others)}")


def _require_writable(
    output: Path | None, save: str | None, plot: Path | None, compilation_cache: Path | None
) -> None:
    """Find out what cannot be written before an hour of measuring, not after."""
    from ..bench.plot import require_drawable
    from ..bench.saved import require_free
    from ..networks.errors import InvalidInput
    from ..networks.files import require_folder

    if plot is not None:
        require_drawable(plot)
        if output is not None and output.resolve() == plot.resolve():
            raise InvalidInput(f"--plot {plot}: --output is the same file, name another")
    if save is not None:
        place = require_free(save)
        require_folder(place.parent, "--save")
        if output is not None and output.resolve() == place.resolve():
            raise InvalidInput(f"--save {save}: --output is the same file, {place}; one of them is enough")
    if compilation_cache is not None:
        require_folder(compilation_cache, "--compilation-cache")
