"""``crossgrad sweep``: thousands of cases, stored as they are finished."""

import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..words import counted
from . import exits, options
from .output import note
from .progress import sweep_progress
from .summaries import show_summary

if TYPE_CHECKING:
    from ..execution import Executor
    from ..sweep.info import RunInfo
    from ..sweep.runner import Session
    from ..sweep.store import RunWriter


def sweep(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="SWEEP.toml", help="A plan; the options of the plan come before it."),
    ] = None,
    cases: Annotated[
        int | None,
        typer.Option("--cases", metavar="N", help="How many. Default: 100.", rich_help_panel="Plan"),
    ] = None,
    depth: Annotated[
        str | None,
        typer.Option(
            "--depth", metavar="A..B", help="Layers, or one number. Default: 1..12.", rich_help_panel="Plan"
        ),
    ] = None,
    width: Annotated[
        str | None,
        typer.Option(
            "--width", metavar="A..B", help="Units of each layer. Default: 1..1024.", rich_help_panel="Plan"
        ),
    ] = None,
    batch: Annotated[
        str | None,
        typer.Option(
            "--batch",
            "--batch-size",
            metavar="A..B",
            help="Samples. Default: 1..64.",
            rich_help_panel="Plan",
        ),
    ] = None,
    dtype: Annotated[
        list[str] | None,
        options.several(
            "--dtype", help="Repeatable, or with commas. Default: float32.", rich_help_panel="Plan"
        ),
    ] = None,
    loss: Annotated[
        list[str] | None,
        options.several("--loss", help="Repeatable, or with commas. Default: mse.", rich_help_panel="Plan"),
    ] = None,
    weight_scale: Annotated[
        str | None,
        typer.Option(
            "--weight-scale",
            metavar="A..B",
            help="Multiplies the drawn weights. Default: 0.1..12.",
            rich_help_panel="Plan",
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", metavar="S", help="Of the stream. Default: 0.", rich_help_panel="Plan"),
    ] = None,
    seeds_per_shape: Annotated[
        int | None,
        typer.Option(
            "--seeds-per-shape",
            metavar="K",
            help="Cases of each shape, which JAX compiles once. Default: 1.",
            rich_help_panel="Plan",
        ),
    ] = None,
    shard: Annotated[
        str | None, typer.Option("--shard", metavar="I/N", help="Only part I of N, for crossgrad merge.")
    ] = None,
    backend: options.Backends = None,
    device: options.Devices = None,
    candidate: options.Candidates = None,
    candidate_backend: options.CandidateBackend = None,
    oracle: options.Oracle = "auto",
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="RUN", help="The run's new directory. Default: crossgrad-runs/TIME."
        ),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            "--resume", metavar="RUN", help="Run what this run lacks; with --cases, as many in all."
        ),
    ] = None,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Stop at the first failure.")] = False,
    max_failures: Annotated[
        int | None, typer.Option("--max-failures", metavar="N", min=1, help="Stop at so many failures.")
    ] = None,
    jobs: Annotated[
        int, typer.Option("--jobs", metavar="N", min=1, max=256, help="Processes of each engine.")
    ] = 1,
    no_isolate: options.NoIsolate = False,
    timeout: options.Timeout = None,
    memory_limit: options.MemoryLimit = None,
    allow_large: options.AllowLarge = False,
    form: options.FormatOption = options.Format.text,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress, and only the closing line.")
    ] = False,
) -> None:
    """Run many random cases, or a grid of them, and keep every result."""
    from ..networks.errors import InvalidInput
    from ..sweep.info import RUN_FILE
    from ..sweep.plan import Shard
    from ..sweep.plan_files import load_plan
    from ..sweep.sessions import Means, Wanted, new_run, resumed_run
    from ..sweep.store import new_path
    from .inputs import candidates_from, limits_where

    drawn = {
        "cases": cases, "depth": depth, "width": width, "batch": batch, "dtype": dtype, "loss": loss,
        "weight-scale": weight_scale, "seed": seed, "seeds-per-shape": seeds_per_shape,
    }  # fmt: skip
    given = {key: value for key, value in drawn.items() if value is not None}
    if no_isolate and jobs > 1:
        raise InvalidInput(f"--jobs {jobs} is for engines in processes of their own: leave out --no-isolate")
    limits = limits_where(not no_isolate, timeout, memory_limit)
    means = Means(candidates_from(candidate, candidate_backend), not no_isolate, limits, jobs, allow_large)
    most = 1 if fail_fast else max_failures
    if resume is None:
        wanted = Wanted(load_plan(file, given), Shard.parse(shard or "1/1"), backend, device, oracle)
        path = output or new_path()
        session = new_run(path, wanted, means)
    else:
        kept = {"SWEEP.toml": file, "--shard": shard, "-b": backend, "-d": device, "-o": output}
        refused = [name for name, value in kept.items() if value is not None]
        refused += [f"--{key}" for key in given if key != "cases"] + ["--oracle"] * (oracle != "auto")
        if refused:
            raise InvalidInput(f"--resume {resume} goes on as it began: leave out {', '.join(refused)}")
        path = resume
        session = resumed_run(path, cases, means, note)
    try:
        with session as (run, executor):
            outcome = _run(run, executor, most, quiet)
    except KeyboardInterrupt:
        begun = (path / RUN_FILE).exists()
        note(f"interrupted: what was finished is kept; {_way_on(path)}" if begun else "interrupted")
        raise typer.Exit(exits.INTERRUPTED) from None
    if outcome.stopped:
        note(f"stopped at {counted(outcome.failures, 'failure')}; {_way_on(path)}")
    raise typer.Exit(show_summary(path, form, quiet))


def _run(run: "RunWriter", executor: "Executor", max_failures: int | None, quiet: bool) -> "Session":
    from ..judging import judge_all
    from ..sweep.runner import sweep as run_sweep

    execute = partial(judge_all, executor=executor, oracle=run.info.oracle)
    if not quiet:
        note(f"{run.path}: {counted(run.info.planned - len(run.done), 'case')} to run on {_listed(run.info)}")
    with sweep_progress(quiet) as progress:
        return run_sweep(run, execute, len(run.info.engines), max_failures=max_failures, progress=progress)


def _way_on(path: Path) -> str:
    return f"go on with: crossgrad sweep --resume {shlex.quote(str(path))}"


def _listed(info: "RunInfo") -> str:
    return ", ".join(info.engines) or "no engine"
