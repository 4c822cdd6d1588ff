"""Who is right: the true values of a case's quantities, and the noise that a dtype may add to them.

``arb``      certified: ball arithmetic encloses every value (backends/arb)
``wide``     pairs of doubles and error-free matrix products, an estimate (backends/wide)
``float64``  the hand-derived pass that the rounding floor runs anyway, for narrower dtypes
``none``     no judge: engines are compared with each other
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from importlib.util import find_spec

import numpy as np

from .backends.base import BackendUnavailable, Unsupported
from .backends.registry import load
from .coherent import excess, needed_bytes
from .floor import Floor, rounding_floor
from .networks.cases import Case
from .networks.dtypes import DTYPES, Array
from .networks.errors import InvalidInput, unknown
from .networks.memory import available_bytes
from .nonfinite import outcomes
from .verdict import Expectation, over_floor

ORACLES = ("auto", "arb", "wide", "float64", "none")

WORTH_WAITING = {"float64": 2.0}
"""Seconds that `auto` gives the certified oracle by dtype, where there is a cheaper judge."""

BARELY_NOTICED = 0.01
"""The same for narrower dtypes, for which float64 is judge enough."""

PATIENCE = 5.0
"""How many times its budget further passes of the certified oracle may be foreseen to take in all."""


@dataclass(frozen=True)
class Oracle:
    """The judge of a case: its name and what it expects of each quantity."""

    name: str
    case: Case
    floor: Floor
    expectations: Mapping[str, Expectation]

    @cached_property
    def reconsidered(self) -> "Oracle":
        """The same, with more noise where errors that are followed together add up to more.

        Where memory does not suffice for that, it is the same.
        """
        available = available_bytes()
        if available is not None and needed_bytes(self.case.network, self.case.batch_size) > available:
            return self
        times = excess(self.case, self.floor)
        return replace(
            self,
            expectations={
                name: replace(e, sigma=np.asarray(e.sigma) * times[name])
                for name, e in self.expectations.items()
            },
        )


def consult(case: Case, wanted: str = "auto") -> Oracle:
    """Find the true values of a case.

    Parameters
    ----------
    wanted
        One of `ORACLES`. ``auto`` predicts what certainty costs: ``arb`` where
        it is cheap, else ``float64`` for narrower dtypes and ``wide`` for
        float64; ``none`` where a float64 case has neither.

    Raises
    ------
    InvalidInput
        As `require_oracle`.
    """
    require_oracle(wanted, case.dtype)
    floor = rounding_floor(case)
    if wanted != "auto":
        try:
            return Oracle(wanted, case, floor, _expectations(wanted, case, floor))
        except Unsupported as error:
            raise InvalidInput(f"{error}: use --oracle auto") from None
    for name, seconds in _preferred(case):
        try:
            return Oracle(name, case, floor, _expectations(name, case, floor, seconds))
        except (Unsupported, TimeoutError):
            continue
    return Oracle("none", case, floor, _expectations("none", case, floor))


def require_oracle(wanted: str, dtype: str) -> None:
    """Raise `InvalidInput` unless the oracle `wanted` is here and can judge `dtype`."""
    if wanted not in ORACLES:
        raise unknown("oracle", wanted, ORACLES)
    if wanted == "arb" and find_spec("flint") is None:
        raise InvalidInput('the oracle arb needs python-flint: pip install "crossgrad[oracle]"')
    if wanted == "arb" and (problem := _problem_of_arb()):
        raise InvalidInput(f"the oracle {problem}; python-flint may have to be installed anew")
    if wanted == "float64" and dtype == "float64":
        raise InvalidInput("the oracle float64 cannot judge float64: use auto, arb, wide or none")


def with_outcomes(oracle: Oracle, case: Case) -> Oracle:
    """The oracle, with where the dtype may make NaN and infinities of the case."""
    found = outcomes(case, oracle.expectations)
    expected = {name: replace(e, outcomes=found[name]) for name, e in oracle.expectations.items()}
    return replace(oracle, expectations=expected)


class WiderFloors:
    """The case's floors in wider dtypes, each estimated when it is first asked for."""

    def __init__(self, case: Case) -> None:
        own = case.format
        wider = [d for d in DTYPES.values() if d.precision > own.precision and d.largest >= own.largest]
        self._names = [d.name for d in sorted(wider, key=lambda d: d.precision) if d.name != "tf32"]
        self._case = case
        self._floors: dict[str, Floor] = {}

    def narrowest_deciding(self, quantity: str) -> str | None:
        """The narrowest wider dtype whose rounding noise leaves something of a quantity, if one does."""
        for name in self._names:
            if name not in self._floors:
                self._floors[name] = rounding_floor(replace(self._case, dtype=name))
            floor = self._floors[name]
            if over_floor(floor.value[quantity], floor.sigma[quantity]) > 1:
                return name
        return None


def _preferred(case: Case) -> list[tuple[str, float | None]]:
    """The oracles that `auto` tries, best first, and the seconds after which it gives one up."""
    cheaper: list[tuple[str, float | None]] = [("wide" if case.dtype == "float64" else "float64", None)]
    if find_spec("flint") is None or _problem_of_arb():
        return cheaper
    from .backends.arb.cost import predicted_seconds

    budget = WORTH_WAITING.get(case.dtype, BARELY_NOTICED)
    affordable = predicted_seconds(case.network, case.batch_size) <= budget
    # The prediction is for one pass; bits lost to cancellation can take a second.
    return [("arb", PATIENCE * budget), *cheaper] if affordable else cheaper


@cache
def _problem_of_arb() -> str | None:
    """Why the certified oracle cannot be imported, although its package is here."""
    try:
        load("arb")
    except BackendUnavailable as error:
        return str(error)
    return None


def _expectations(
    name: str, case: Case, floor: Floor, seconds: float | None = None
) -> dict[str, Expectation]:
    if name == "arb":
        return _certified(case, floor, seconds)
    if name == "wide":
        return _wide(case, floor)
    return {quantity.name: Expectation(*floor.expected(quantity.name)) for quantity in case.quantities}


def _certified(case: Case, floor: Floor, seconds: float | None) -> dict[str, Expectation]:
    from .backends.arb.certificate import TooCostly, certify

    try:
        certified = certify(case, max_seconds=seconds)
    except TooCostly as error:
        raise TimeoutError(str(error)) from error
    return {
        name: Expectation(found.mid, _joined(floor.sigma[name], found.radius), found.mid_low)
        for name, found in certified.quantities.items()
    }


def _wide(case: Case, floor: Floor) -> dict[str, Expectation]:
    from .backends.wide.engine import wide_trace

    return {
        name: Expectation(found.value, _joined(floor.sigma[name], found.error), found.low)
        for name, found in wide_trace(case).items()
    }


def _joined(sigma: Array, uncertainty: Array) -> Array:
    joined: Array = np.hypot(sigma, uncertainty)
    return joined
