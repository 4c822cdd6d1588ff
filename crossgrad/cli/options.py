"""Options that several commands take, each declared once."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from ..networks.errors import InvalidInput, shortened


class Format(StrEnum):
    text = "text"
    json = "json"


class ReportFormat(StrEnum):
    text = "text"
    json = "json"
    junit = "junit"
    github = "github"
    markdown = "markdown"


class Framework(StrEnum):
    numpy = "numpy"
    torch = "torch"
    jax = "jax"


def several(*names: str, **more: Any) -> Any:
    """An option that is given again, or with commas, for each name: ``-b numpy,torch``."""
    return typer.Option(*names, callback=_separated, **{"metavar": "NAME", **more})


def _separated(param: typer.CallbackParam, values: list[str] | None) -> list[str] | None:
    if values is None:
        return None
    for value in values:
        if not all(name.strip() for name in value.split(",")):
            raise InvalidInput(
                f"{param.opts[-1]} {shortened(repr(value))} has an empty name in it: "
                "expected names, with commas between them"
            )
    return [name.strip() for value in values for name in value.split(",")]


Backends = Annotated[
    list[str] | None,
    several(
        "-b",
        "--backend",
        metavar="NAME[:VARIANT]",
        help="Engine to run; repeatable, or with commas. Default: all installed.",
    ),
]
Pythons = Annotated[
    list[str] | None,
    typer.Option(
        "--python",
        metavar="NAME=PATH",
        help="Another Python or venv, whose packages -b NAME/torch uses; repeatable.",
    ),
]
Devices = Annotated[
    list[str] | None,
    several(
        "-d",
        "--device",
        help="cpu, cuda or cuda:N; repeatable, or with commas. Default: all visible.",
    ),
]
Loss = Annotated[
    str | None,
    typer.Option("--loss", metavar="NAME", help="mse, mse-sum or half-mse. Default: the network's own."),
]
BatchSize = Annotated[
    int | None,
    typer.Option("--batch-size", metavar="B", help="Samples in the batch. Default: the network's own."),
]
LearningRate = Annotated[
    float | None,
    typer.Option("--learning-rate", metavar="LR", help="Of the SGD step. Default: the network's own."),
]
Seed = Annotated[int, typer.Option("--seed", metavar="N", help="Of the drawn parameters and data.")]
Oracle = Annotated[
    str,
    typer.Option(
        "--oracle", metavar="NAME", help="Who judges: auto, arb (certified), wide, float64 or none."
    ),
]
CaseIds = Annotated[
    list[str] | None,
    typer.Option("--case", metavar="ID", help="A sweep's case by its id, instead of NETWORK; repeatable."),
]
Mnist = Annotated[
    Path | None,
    typer.Option("--mnist", metavar="DIR", help="Use the original MNIST files in this folder as data."),
]
Params = Annotated[
    Path | None,
    typer.Option("--params", metavar="FILE", help="Take the parameters from this safetensors file."),
]
Batch = Annotated[
    Path | None,
    typer.Option("--batch", metavar="FILE", help="Take the data from this safetensors file, of x and y."),
]
AllowLarge = Annotated[
    bool, typer.Option("--allow-large", help="Take networks and batches that would run for hours too.")
]
Candidates = Annotated[
    list[str] | None,
    typer.Option(
        "--candidate",
        metavar="FILE.py",
        help="Your fn(params, x, y) -> (loss, grads), checked like an engine; repeatable. "
        "NAME=FILE.py:FUNCTION names it and the function.",
    ),
]
CandidateBackend = Annotated[
    Framework | None,
    typer.Option(
        "--candidate-backend",
        metavar="NAME",
        help="numpy, torch or jax: whose arrays every candidate takes and gives. Default: numpy.",
        show_default=False,
    ),
]
NoIsolate = Annotated[
    bool,
    typer.Option(
        "--no-isolate",
        help="Run all engines in this process, for debuggers, instead of each in its own.",
    ),
]
Timeout = Annotated[
    float | None,
    typer.Option(
        "--timeout",
        metavar="SECONDS",
        help="For each of import, compilation and run of an engine. Default: 120, 300, 300.",
    ),
]
MemoryLimit = Annotated[
    float | None,
    typer.Option(
        "--memory-limit",
        metavar="GIB",
        help="Of each engine's process, and of a CUDA device. Default: nine tenths of what is available.",
    ),
]
FormatOption = Annotated[Format, typer.Option("--format", help="How to write the result.")]
ReportFormatOption = Annotated[
    ReportFormat,
    typer.Option(
        "--format",
        help="junit: XML for Jenkins and GitLab; github: annotations, and the step's summary in Markdown.",
    ),
]


def _none_of_a_dash(file: Path | None) -> Path | None:
    """``-`` is stdout, as everywhere."""
    return None if file == Path("-") else file


Output = Annotated[
    Path | None,
    typer.Option(
        *("-o", "--output"), metavar="FILE", callback=_none_of_a_dash, help="Write the result to this file."
    ),
]
