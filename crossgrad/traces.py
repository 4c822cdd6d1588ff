"""One case on several engines, every quantity shown: like the article's two listings, for any network."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .candidates import Candidate, CandidateFile, candidates_on
from .checking import plan_case
from .escape import terminal
from .execution import open_executor
from .networks.cases import Case
from .networks.dtypes import Array
from .networks.spec import Network
from .report import plain_number
from .run import OK, Run
from .tables import render_table
from .text import case_title
from .workers.limits import Limits

SCHEMA = "crossgrad.trace/1"
SHOWN_WHOLE = 4
"""Tensors of at most this many elements are printed whole; larger ones are summarised."""

SHOWN_FIRST = 2


@dataclass(frozen=True)
class Traces:
    """The runs of several engines on one case, with every quantity kept."""

    case: Case
    runs: tuple[Run, ...]

    @property
    def ok(self) -> bool:
        """Whether every engine that was to run did and delivered every quantity, and at least one did."""
        complete = {quantity.name for quantity in self.case.quantities}
        return bool(self.runs) and all(
            run.status == OK
            and run.trace is not None
            and (run.partial or complete <= run.trace.quantities.keys())
            for run in self.runs
        )

    def to_text(self) -> str:
        """A table with a row a quantity and a column an engine, and why engines are missing."""
        case = self.case
        finished = [run for run in self.runs if run.trace is not None]
        rows = [
            [
                quantity.name,
                "x".join(map(str, quantity.shape)) or "scalar",
                *(_shown(run, quantity.name) for run in finished),
            ]
            for quantity in case.quantities
        ]
        table = render_table(
            case_title(case), ["quantity", "shape", *(str(run.engine) for run in finished)], rows
        )
        missing = [f"{run.engine}: {run.status}: {run.message}" for run in self.runs if run.status != OK]
        return table + "".join(f"{terminal(line)}\n" for line in missing)

    def to_json(self) -> str:
        """Every element of every quantity, in full precision, in data-flow order."""
        case = self.case
        engines = [
            {
                "backend": run.engine.backend,
                "variant": run.engine.variant,
                "device": run.engine.device,
                "status": run.status,
                "message": run.message,
                "quantities": {
                    quantity.name: {
                        "shape": list(run.trace.quantities[quantity.name].shape),
                        "values": _plain(run.trace.quantities[quantity.name]),
                    }
                    for quantity in case.quantities
                    if run.trace is not None and quantity.name in run.trace.quantities
                },
            }
            for run in self.runs
        ]
        document = {
            "schema": SCHEMA,
            "name": case.name,
            "network": str(case.network),
            "loss": case.loss,
            "batch_size": case.batch_size,
            "learning_rate": case.learning_rate,
            "seed": case.seed,
            "dtype": case.dtype,
            "engines": engines,
        }
        return json.dumps(document, indent=1, allow_nan=False)


def trace_engines(
    network: str | Path | Network,
    *,
    backends: Sequence[str] | None = None,
    devices: Sequence[str] | None = None,
    candidates: Mapping[str, Candidate | CandidateFile] | None = None,
    dtype: str = "float64",
    mnist: Path | None = None,
    allow_large: bool = False,
    isolate: bool = False,
    limits: Limits | None = None,
    **options: Any,
) -> Traces:
    """Run one case on every engine asked for and keep every quantity.

    Parameters are those of `crossgrad.check`, with one network and one dtype.
    """
    case = plan_case(network, dtype, mnist, allow_large=allow_large, **options)
    with open_executor(backends, devices, candidates_on(None, candidates), isolate, limits) as executor:
        return Traces(case, executor.start(case)(lambda engine: None))


def _shown(run: Run, quantity: str) -> str:
    """Every element in as many digits as its dtype needs; of a large tensor the norm and first elements."""
    array = None if run.trace is None else run.trace.quantities.get(quantity)
    if array is None:
        return "–" if run.partial else "not delivered"
    if array.size <= SHOWN_WHOLE:
        return "\n".join(str(value) for value in array.ravel())
    wide = array.astype(np.float64).ravel()
    first = " ".join(f"{value:.4g}" for value in wide[:SHOWN_FIRST])
    return f"norm {np.linalg.norm(wide):.8g}\n{first} ..."


def _plain(array: Array) -> Any:
    flat = [plain_number(float(value)) for value in array.ravel()]
    return np.array(flat, object).reshape(array.shape).tolist()
