"""``crossgrad selftest``: planted faults must be found and correct runs pass, on this machine."""

import json
from typing import Annotated

import typer

from . import exits, options
from .output import deliver
from .progress import progress_bar


def selftest(
    cases: Annotated[int, typer.Option("--cases", metavar="N", help="Random networks a dtype.", min=1)] = 5,
    seed: Annotated[int, typer.Option("--seed", metavar="S", help="Of the first network.", min=0)] = 0,
    dtype: Annotated[
        list[str] | None,
        typer.Option(
            "--dtype", metavar="NAME", help="Repeatable. Default: float64 float32 bfloat16 float16."
        ),
    ] = None,
    backend: options.Backends = None,
    large: Annotated[
        bool, typer.Option("--large", help="Networks up to width 1024 and depth 12, batches up to 512.")
    ] = False,
    form: options.FormatOption = options.Format.text,
    output: options.Output = None,
) -> None:
    """Plant faults in the backprop of random networks and see that each is found, placed and named."""
    from ..engines import select_engines
    from ..selftest import DTYPES, summary
    from ..selftest import selftest as run_selftest
    from ..text import selftest_text

    selection = select_engines(backend or ["numpy"], ["cpu"])
    with progress_bar() as progress:
        trials, correct = run_selftest(
            cases, seed, dtype or DTYPES, selection.engines, small=not large, progress=progress
        )
    figures = summary(trials, correct) | {"cases": cases, "seed": seed, "large": large}
    if form is options.Format.json:
        code = deliver(json.dumps(figures, indent=1) + "\n", output)
    else:
        code = deliver(selftest_text(trials, figures), output)
    failed = bool(figures["missed"] or figures["false_alarms"])
    raise typer.Exit(code or (exits.DISAGREE if failed else exits.OK))
