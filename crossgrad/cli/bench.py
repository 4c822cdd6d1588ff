"""``crossgrad bench``: how fast the engines are, beside what this machine could do at best."""

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..interrupts import deaf_in_the_end
from . import exits, options
from .bench_results import Form, Outcome, compare_saved, finish, keep_so_far, show
from .command import given
from .output import note, require_output, write
from .progress import doing

if TYPE_CHECKING:
    from ..bench.lanes import Lanes
    from ..bench.plan import Item
    from ..bench.results import Results, Settings
    from ..engines import EngineId
    from .bench_results import Holder

MOST_SECONDS = 86_400


def bench(
    ctx: typer.Context,
    networks: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NETWORK]...",
            help="Catalogue name, widths, or a .toml file. Default: article mnist-shape wide; "
            "with more samples than one, the last two.",
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
    require_output(output, [*files_read(networks or (), (), None), *map(file_of, results)], form)
    _require_apart(output, plot)
    if compare is not None:
        _require_alone(ctx, "--compare", "fail_if")
        raise typer.Exit(compare_saved(*compare, fail_if, form, output, quiet))
    hold = _holder(baseline, fail_if)
    if load is not None:
        _require_alone(ctx, "--load", "fail_if", "baseline", "plot")
        raise typer.Exit(show(load, hold, form, output, plot, quiet))
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
    keep = None if output is None else partial(keep_so_far, form=form, output=output)
    with deaf_in_the_end() as deaf:
        outcome = _measure(plan, settings, engines, hold, keep, deaf, tables, quiet)
        deaf()
        code, found = finish(outcome, form, output, save, plot, quiet), outcome.results
    if isinstance(outcome.fault, Exception):
        raise outcome.fault
    if compilation_cache is not None and found and "jax" not in {row.backend for row in found.rows}:
        note(f"note: --compilation-cache {compilation_cache}: nothing was kept there, as jax did not run")
    raise typer.Exit(code or (exits.ENGINE_FAILED if outcome.lacks else exits.OK))


def _measure(
    plan: "tuple[Item, ...]",
    settings: "Settings",
    engines: "Callable[[], Lanes]",
    hold: "Holder",
    keep: "Callable[[Results], None] | None",
    deaf: "Callable[[], None]",
    tables: bool,
    quiet: bool,
) -> Outcome:
    """Measure; as soon as a network is finished, there is a table on the screen, or its rows in the file."""
    from ..bench.session import Session
    from ..bench.text import results_text

    session = None
    try:
        with doing(quiet) as status, engines() as lanes, ExitStack() as end:
            end.callback(deaf)  # before the engines are ended, which takes a moment
            held = hold([engine.id for engine in lanes.engines if engine.asked_for], lanes.defaults)
            session = Session(plan, lanes, settings)
            with status.paused():
                for line in session.notes if tables else ():
                    note(f"note: {line}")
            for finished in session.run(status):
                if tables:
                    with status.paused():
                        write(results_text(held(finished)) + "\n")
                if keep is not None:
                    keep(held(session.results))
    except (KeyboardInterrupt, Exception) as fault:
        if session is None and isinstance(fault, Exception):
            raise
        if session is None:
            return Outcome(None, fault)
        return Outcome(held(session.results), fault, session.missing)
    return Outcome(held(session.results), lacks=session.lacks)


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


def _require_alone(ctx: typer.Context, option: str, *allowed: str) -> None:
    """Raise `InvalidInput` for what only a measurement takes, beside an option that shows saved results."""
    from ..networks.errors import InvalidInput

    showing = {option.removeprefix("--"), "form", "output", "quiet", *allowed}
    if others := [shown for name, shown in given(ctx).items() if name not in showing]:
        raise InvalidInput(f"{option} measures nothing: leave out {', '.join(others)}")


def _require_apart(output: Path | None, plot: Path | None) -> None:
    """Raise `InvalidInput` if the result would be written over its picture, or over a saved one."""
    from ..bench.saved import HOME
    from ..networks.errors import InvalidInput
    from ..networks.files import is_there

    if output is None:
        return
    if plot is not None and output.resolve() == plot.resolve():
        raise InvalidInput(f"--plot {plot}: --output is the same file, name another")
    if is_there(output) and output.resolve().parent == HOME.resolve():
        raise InvalidInput(f"-o {output}: a saved benchmark is there already, name another file")


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
    if save is not None:
        place = require_free(save)
        require_folder(place.parent, "--save")
        if output is not None and output.resolve() == place.resolve():
            raise InvalidInput(f"--save {save}: --output is the same file, {place}; one of them is enough")
    if compilation_cache is not None:
        require_folder(compilation_cache, "--compilation-cache")
