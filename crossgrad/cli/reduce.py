"""``crossgrad reduce``: the smallest case on which an engine is wrong, and a script that shows it."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..escape import terminal
from ..networks.errors import InvalidInput
from ..words import counted, element
from . import exits, options
from .command import given
from .output import deliver, error, require_output, say
from .progress import progress_bar

if TYPE_CHECKING:
    from ..checking import Progress
    from ..compare import Comparison
    from ..engines import EngineId
    from ..networks.cases import Case
    from ..reduction import Reduced, Subject
    from ..workers.limits import Limits


def reduce(
    ctx: typer.Context,
    network: Annotated[
        str | None,
        typer.Argument(metavar="NETWORK", help="Catalogue name, widths such as 784-100-10, or a .toml file."),
    ] = None,
    backend: Annotated[
        str | None,
        typer.Option("-b", "--backend", metavar="NAME[:VARIANT]", help="The engine that is wrong."),
    ] = None,
    candidate: Annotated[
        str | None,
        typer.Option(
            "--candidate", metavar="FILE.py", help="Or the function that is wrong: [NAME=]FILE.py[:FUNCTION]."
        ),
    ] = None,
    candidate_backend: options.CandidateBackend = None,
    case_id: Annotated[
        str | None,
        typer.Option("--case", metavar="ID", help="A sweep's case by its id, instead of NETWORK."),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            "-d", "--device", metavar="NAME", help="cpu, cuda or cuda:N. Default: the first that is wrong."
        ),
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option(
            "--dtype", metavar="NAME", help="float16, bfloat16, tf32, float32 or float64. Default: float32."
        ),
    ] = None,
    loss: options.Loss = None,
    batch_size: options.BatchSize = None,
    learning_rate: options.LearningRate = None,
    seed: options.Seed = 0,
    oracle: Annotated[
        str,
        typer.Option("--oracle", metavar="NAME", help="Who judges: auto, arb (certified), wide or float64."),
    ] = "auto",
    mnist: options.Mnist = None,
    params: options.Params = None,
    batch: options.Batch = None,
    allow_large: options.AllowLarge = False,
    no_isolate: options.NoIsolate = False,
    timeout: options.Timeout = None,
    memory_limit: options.MemoryLimit = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="SCRIPT.py", help="Write the script to this file."),
    ] = None,
) -> None:
    """Shrink a case on which an engine or your function is wrong, and write a script that shows it."""
    from ..checking import plan_case
    from ..oracle import require_oracle
    from .inputs import batch_from, cases_from, files_read, limits_where, parameters_from

    require_output(
        output,
        files_read([] if network is None else [network], [candidate] if candidate else [], params, batch),
    )
    if oracle == "none":
        raise InvalidInput("--oracle none: a reduction needs a judge: auto, arb, wide or float64")
    if case_id is not None:
        (case,) = cases_from([case_id], 1, allow_large, given(ctx))
    elif network is not None:
        case = plan_case(
            network,
            dtype or "float32",
            mnist,
            allow_large=allow_large,
            params=parameters_from(params, [network], allow_large),
            batch=batch_from(batch),
            loss=loss,
            batch_size=batch_size,
            learning_rate=learning_rate,
            seed=seed,
        )
    else:
        raise InvalidInput("nothing to reduce: name a NETWORK, or a sweep's case by --case ID")
    require_oracle(oracle, case.dtype)
    isolate = not no_isolate and os.name == "posix"
    limits = limits_where(isolate, timeout, memory_limit)
    with _subjects(backend, device, candidate, candidate_backend, limits, isolate) as subjects:
        raise typer.Exit(_reduce_first(case, subjects, oracle, output))


def _reduce_first(case: "Case", subjects: "Sequence[Subject]", oracle: str, output: Path | None) -> int:
    """Reduce the case of the first that is wrong; return the exit code."""
    from ..reduction import judged, wrong_among
    from ..run import BROKEN, OK

    broken, agreeing = False, list[str]()
    for subject in subjects:
        run, comparisons = judged(case, subject, oracle)
        if wrong_among(comparisons):
            return _reduce(case, subject, comparisons, oracle, output) or exits.DISAGREE
        if run.status == OK:
            agreeing.append(str(subject.id) if len(subjects) > 1 else subject.id.label)
        else:
            broken |= run.status in BROKEN
            error(f"{subject.id}: {run.status}: {run.message}")
    if agreeing:
        verb = "agrees" if len(agreeing) == 1 else "agree"
        where = terminal(f"{case.name} {case.dtype}")
        say(f"nothing to reduce: {' and '.join(agreeing)} {verb} on {where}\n")
    return exits.OK if agreeing and not broken else exits.ENGINE_FAILED


@contextmanager
def _subjects(
    backend: str | None,
    device: str | None,
    candidate: str | None,
    candidate_backend: str | None,
    limits: "Limits | None",
    isolate: bool,
) -> "Iterator[Sequence[Subject]]":
    """The one engine on every device that was asked for, or the one function; in a process if `isolate`."""
    from ..execution import candidate_process, open_executor, require_free
    from ..reduction import Subject
    from .inputs import candidates_from

    files = candidates_from(None if candidate is None else [candidate], candidate_backend)
    if (backend is None) == (not files):
        raise InvalidInput("who is wrong? Name one engine by -b NAME, or one function by --candidate FILE.py")
    if backend is not None:
        places = None if device is None else [device]
        with open_executor([backend], places, {}, isolate, limits) as executor:
            engines = [engine.id for engine in executor.selection.engines]
            yield [Subject(engine, partial(executor.run_on, engine)) for engine in engines]
        return
    if device is not None:
        raise InvalidInput(f"-d {device}: a candidate runs on the CPU, leave it out")
    require_free(files, ["numpy"])
    (file,) = files.values()
    with candidate_process(file, limits, isolate) as run:
        yield [Subject.candidate(file, run)]


def _reduce(
    case: "Case", subject: "Subject", original: "Sequence[Comparison]", oracle: str, output: Path | None
) -> int:
    """Reduce, say to what, and deliver the script; return what `deliver` says."""
    from ..reduction import BUDGET, judged, reduce_case, same_fault, wrong_among
    from ..scripts import script

    with progress_bar() as progress:
        still_wrong = _announced(same_fault(subject, oracle, original), progress, BUDGET)
        found = reduce_case(case, still_wrong, budget=BUDGET)
    left = wrong_among(judged(found.case, subject, oracle)[1])
    names = [c.quantity for c in left]
    origin = f"Reduced from {case.name}: network {case.network}, batch {case.batch_size}, seed {case.seed}."
    text = script(found.case, subject.id, wrong=names, origin=origin, oracle=oracle, candidate=subject.file)
    summary = _summary(case, subject.id, found, left)
    # Before a script on stdout the summary is its first comment: the whole can be run as it is.
    say("".join(f"# {line}".rstrip() + "\n" if output is None else f"{line}\n" for line in summary))
    return deliver(text, output)


def _announced(
    still_wrong: "Callable[[Case], bool]", progress: "Progress | None", budget: int
) -> "Callable[[Case], bool]":
    tried = 0

    def announced(case: "Case") -> bool:
        nonlocal tried
        if progress is not None:
            progress(f"{case.network}, batch {case.batch_size}", tried, budget)
        tried += 1
        return still_wrong(case)

    return announced


def _summary(case: "Case", engine: "EngineId", found: "Reduced", wrong: "Sequence[Comparison]") -> list[str]:
    steps = [f"    {step}" for step in found.steps] or ["    nothing smaller is wrong in this way"]
    lines = [
        f"{engine} is wrong on {case.name} {case.dtype}",
        f"original: {_size(case)}",
        f"reduced:  {_size(found.case)} ({counted(found.tried, 'smaller case')} tried)",
        *steps,
        "still wrong:",
        *(f"    {_difference(comparison)}" for comparison in wrong),
        "",
    ]
    return [terminal(line) for line in lines]


def _size(case: "Case") -> str:
    count = case.network.parameter_count
    return f"{case.network}, batch {case.batch_size}, {counted(count, 'parameter')}"


def _difference(comparison: "Comparison") -> str:
    judgement = comparison.judgement
    if judgement.index is None:
        return f"{comparison.quantity}: {judgement.reason}"
    place = f"{comparison.quantity}{element(judgement.index)}"
    return f"{place}: got {judgement.got!r}, expected {judgement.expected!r}"
