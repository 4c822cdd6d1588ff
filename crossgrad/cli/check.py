"""``crossgrad check``: run networks on every engine and compare every quantity."""

from typing import Annotated, Any

import typer

from . import exits, options
from .command import given
from .progress import progress_bar
from .reports import deliver_report, require_deliverable


def check(
    ctx: typer.Context,
    networks: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NETWORK]...",
            help="Catalogue name, widths such as 784-100-10, or a .toml file. "
            "Default: article digits; with --mnist, mnist-shape.",
            show_default=False,
        ),
    ] = None,
    case: options.CaseIds = None,
    backend: options.Backends = None,
    device: options.Devices = None,
    dtype: Annotated[
        list[str] | None,
        options.several(
            "--dtype",
            help="float16, bfloat16, tf32, float32 or float64; repeatable, or with commas. "
            "Default: float32 float64.",
        ),
    ] = None,
    loss: options.Loss = None,
    batch_size: options.BatchSize = None,
    learning_rate: options.LearningRate = None,
    seed: options.Seed = 0,
    oracle: options.Oracle = "auto",
    mnist: options.Mnist = None,
    params: options.Params = None,
    batch: options.Batch = None,
    allow_large: options.AllowLarge = False,
    candidate: options.Candidates = None,
    candidate_backend: options.CandidateBackend = None,
    python: options.Pythons = None,
    no_isolate: options.NoIsolate = False,
    timeout: options.Timeout = None,
    memory_limit: options.MemoryLimit = None,
    form: options.ReportFormatOption = options.ReportFormat.text,
    output: options.Output = None,
    details: Annotated[
        bool,
        typer.Option("--details", help="Show why each verdict was given: every quantity of every engine."),
    ] = False,
    quiet: Annotated[
        bool,
        typer.Option("--quiet", "-q", help="Only the closing line (and the report in the form asked for)."),
    ] = False,
) -> None:
    """Run networks on every engine and compare every quantity, forward and backward."""
    from ..checking import DEFAULT_DTYPES, check_cases, default_networks
    from ..checking import check as run_check
    from ..engines import wanted_backends
    from ..pythons import parse_pythons
    from .inputs import (
        batch_from,
        candidates_from,
        cases_from,
        files_read,
        limits_where,
        parameters_from,
    )

    require_deliverable(form, output, details, files_read(networks or (), candidate or (), params, batch))
    pythons = parse_pythons(python or ())
    engines: dict[str, Any] = {
        "backends": backend,
        "devices": device,
        "candidates": candidates_from(candidate, candidate_backend),
        "oracle": oracle,
        "isolate": not no_isolate,
        "limits": limits_where(not no_isolate, timeout, memory_limit),
        "pythons": pythons,
    }
    if case:
        traces = len(wanted_backends(backend, pythons)) + len(candidate or ())
        cases = cases_from(case, traces, allow_large, given(ctx))
        with progress_bar(quiet) as progress:
            report = check_cases(cases, progress=progress, **engines)
    else:
        chosen, notes = (networks, ()) if networks else default_networks(mnist)
        with progress_bar(quiet) as progress:
            report = run_check(
                chosen,
                params=parameters_from(params, chosen, allow_large),
                batch=batch_from(batch),
                loss=loss,
                batch_size=batch_size,
                learning_rate=learning_rate,
                seed=seed,
                dtypes=dtype or DEFAULT_DTYPES,
                mnist=mnist,
                allow_large=allow_large,
                notes=notes,
                progress=progress,
                **engines,
            )
    code = deliver_report(report, form, output, details=details, quiet=quiet)
    raise typer.Exit(code or exits.of_verdict(report.verdict))
