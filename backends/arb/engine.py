"""The oracle as an engine like the others, so that ``crossgrad check -b arb`` holds them against it.

Its numbers are the certified ones rounded to the case's dtype. They lie within
0.501 ulp of the truth, which is more than any arithmetic in that dtype can promise.
"""

from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import flint
import numpy as np

from ...networks.batches import Batch
from ...networks.cases import Case
from ...networks.dtypes import Array, find_dtype
from ...networks.parameters import Parameters
from ..base import Backend, Program, Trace, require_dtype, require_rules
from .activations import ACTIVATIONS
from .certificate import Certified, certify_problem, exactly
from .losses import LOSSES
from .step import Problem

DTYPES = ("float16", "bfloat16", "float32", "float64")


class ArbBackend(Backend):
    """Ball arithmetic on the CPU, by python-flint."""

    name = "arb"
    variants = ("ball",)

    def devices(self) -> tuple[str, ...]:
        return ("cpu",)

    def prepare(self, case: Case, variant: str, device: str) -> Program:
        self.require_device(device)
        require_dtype(self.name, case.dtype, DTYPES)
        require_rules(self.name, case.network, case.loss, ACTIVATIONS, LOSSES)
        return ArbProgram(case)

    def environment(self) -> dict[str, Any]:
        return {"python-flint": version("python-flint"), "flint": flint.__FLINT_VERSION__}


@dataclass(frozen=True)
class ArbProgram(Program):
    """The certificate of a case's network and loss, for any numbers put into it."""

    case: Case

    def put(self, parameters: Parameters, batch: Batch) -> Problem:
        case = self.case
        return Problem(case.network, case.loss, case.learning_rate, case.format, *exactly(parameters, batch))

    def step(self, values: Problem) -> Certified:
        """Certify the whole case, the update too: one precision serves all quantities."""
        return certify_problem(values)

    def gradients(self, result: Certified) -> dict[str, Array]:
        quantities = self._rounded(result)
        return {
            name: array
            for name, array in quantities.items()
            if name.partition(".")[0] in ("loss", "dW", "db")
        }

    def trace(self, values: Problem) -> Trace:
        return Trace(self._rounded(self.step(values)))

    def _rounded(self, certified: Certified) -> dict[str, Array]:
        storage = find_dtype(self.case.dtype).storage
        with np.errstate(over="ignore"):
            return {name: found.mid.astype(storage) for name, found in certified.quantities.items()}
