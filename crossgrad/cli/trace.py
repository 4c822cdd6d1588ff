"""``crossgrad trace``: one forward and backward pass, a column an engine, a row a quantity."""

import os
from typing import Annotated

import typer

from . import exits, options
from .output import deliver, require_output


def trace(
    network: Annotated[
        str, typer.Argument(metavar="NETWORK", help="Catalogue name, widths such as 2-3-1, or a .toml file.")
    ],
    backend: options.Backends = None,
    device: options.Devices = None,
    dtype: Annotated[str, typer.Option("--dtype", metavar="NAME", help="Number format.")] = "float64",
    loss: options.Loss = None,
    batch_size: options.BatchSize = None,
    learning_rate: options.LearningRate = None,
    seed: options.Seed = 0,
    mnist: options.Mnist = None,
    params: options.Params = None,
    batch: options.Batch = None,
    candidate: options.Candidates = None,
    candidate_backend: options.CandidateBackend = None,
    no_isolate: options.NoIsolate = False,
    timeout: options.Timeout = None,
    memory_limit: options.MemoryLimit = None,
    allow_large: options.AllowLarge = False,
    form: options.FormatOption = options.Format.text,
    output: options.Output = None,
) -> None:
    """Print the forward and backward pass of every engine side by side."""
    from ..traces import trace_engines
    from .inputs import batch_from, candidates_from, files_read, limits_where, parameters_from

    require_output(output, files_read([network], candidate or (), params, batch), form)
    isolate = not no_isolate and os.name == "posix"
    traces = trace_engines(
        network,
        params=parameters_from(params, [network], allow_large),
        batch=batch_from(batch),
        candidates=candidates_from(candidate, candidate_backend),
        loss=loss,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
        backends=backend,
        devices=device,
        dtype=dtype,
        mnist=mnist,
        allow_large=allow_large,
        isolate=isolate,
        limits=limits_where(isolate, timeout, memory_limit),
    )
    text = traces.to_json() + "\n" if form is options.Format.json else traces.to_text()
    code = deliver(text, output)
    raise typer.Exit(code or (exits.OK if traces.ok else exits.ENGINE_FAILED))
