"""``crossgrad selftest``: planted faults must be found and correct runs pass, on this machine."""

import json
from typing import Annotated, Any

import typer

from ..networks.errors import InvalidInput
from . import exits, options
from .output import deliver, require_output
from .progress import progress_bar


def selftest(
    cases: Annotated[int, typer.Option("--cases", metavar="N", help="Random networks a dtype.", min=1)] = 5,
    seed: Annotated[int, typer.Option("--seed", metavar="S", help="Of the first network.", min=0)] = 0,
    dtype: Annotated[
        list[str] | None,
        options.several(
            "--dtype",
            help="Repeatable, or with commas. Default: float64 float32 bfloat16 float16.",
        ),
    ] = None,
    backend: Annotated[
        list[str] | None,
        options.several(
            "-b",
            "--backend",
            metavar="NAME[:VARIANT]",
            help="Engine that must come out right; repeatable, or with commas. Default: numpy.",
        ),
    ] = None,
    large: Annotated[
        bool, typer.Option("--large", help="Networks up to width 1024 and depth 12, batches up to 512.")
    ] = False,
    functions: Annotated[
        bool,
        typer.Option(
            "--functions", help="Give the faults as functions of which nothing is known, beside right ones."
        ),
    ] = False,
    form: options.FormatOption = options.Format.text,
    output: options.Output = None,
) -> None:
    """Plant faults in the backprop of random networks and see that each is found, placed and named."""
    from ..environment import described, environment
    from ..selftest import DTYPES
    from ..selftest_text import selftest_text

    require_output(output, form=form)
    trials: Any
    with progress_bar() as progress:
        draw = {"cases": cases, "seed": seed, "dtypes": dtype or DTYPES, "small": not large}
        if functions:
            if backend:
                raise InvalidInput("--functions has its own functions to run: leave out --backend")
            trials, found = _of_functions(**draw, progress=progress)
        else:
            trials, found = _of_engines(backend or ["numpy"], **draw, progress=progress)
    about = environment(described("torch", "jax") if functions else {})
    figures = found | {"cases": cases, "seed": seed, "large": large, "environment": about}
    if form is options.Format.json:
        code = deliver(json.dumps(figures, indent=1) + "\n", output)
    else:
        code = deliver(selftest_text(trials, figures), output)
    failed = bool(figures["missed"] or figures["false_alarms"])
    raise typer.Exit(code or (exits.DISAGREE if failed else exits.OK))


def _of_engines(backend: list[str], **options: Any) -> tuple[Any, dict[str, Any]]:
    from ..engines import select_engines
    from ..selftest import selftest as run_selftest
    from ..selftest import summary

    trials, correct = run_selftest(engines=select_engines(backend, ["cpu"]).engines, **options)
    return trials, summary(trials, correct)


def _of_functions(**options: Any) -> tuple[Any, dict[str, Any]]:
    from ..functions.trials import summary, try_functions

    trials, correct = try_functions(jax_cases=1, **options)
    return trials, summary(trials, correct)
