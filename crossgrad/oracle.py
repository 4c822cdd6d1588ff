"""Who is right: the true values of a case's quantities, and the noise that a dtype may add to them.

``arb``      certified: ball arithmetic encloses every value (backends/arb)
``wide``     80-bit arithmetic and error-free matrix products, an estimate (backends/wide)
``float64``  the hand-derived pass that the rounding floor runs anyway, for narrower dtypes
``none``     no judge: engines are compared with each other
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec

import numpy as np

from .backends.registry import load
from .floor import Floor, Steps, rounding_floor
from .networks.cases import Case
from .networks.dtypes import DTYPES, Array
from .networks.errors import InvalidInput, unknown
from .verdict import Expectation, over_floor

ORACLES = ("auto", "arb", "wide", "float64", "none")

WORTH_WAITING = {"float64": 2.0}
"""Seconds that `auto` gives the certified oracle by dtype, where there is a cheaper judge."""

BARELY_NOTICED = 0.01
"""The same for narrower dtypes, for which float64 is judge enough."""


@dataclass(frozen=True)
class Oracle:
    """The judge of a case: its name and what it expects of each quantity."""

    name: str
    expectations: Mapping[str, Expectation]


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
    name = _choose(case) if wanted == "auto" else wanted
    if name == "arb":
        return Oracle(name, _certified(case, floor))
    if name == "wide":
        return Oracle(name, _wide(case, floor))
    expectations = {n: Expectation(value, floor.sigma[n]) for n, value in floor.value.items()}
    return Oracle(name, expectations)


def require_oracle(wanted: str, dtype: str) -> None:
    """Raise `InvalidInput` unless the oracle `wanted` is here and can judge `dtype`."""
    if wanted not in ORACLES:
        raise unknown("oracle", wanted, ORACLES)
    if wanted == "arb" and find_spec("flint") is None:
        raise InvalidInput('the oracle arb needs python-flint: pip install "crossgrad[oracle]"')
    if wanted == "wide" and not _long_double_is_wider():
        raise InvalidInput("the oracle wide needs an 80-bit long double, which this machine has not: use arb")
    if wanted == "float64" and dtype == "float64":
        raise InvalidInput("the oracle float64 cannot judge float64: use auto, arb, wide or none")


def _long_double_is_wider() -> bool:
    return bool(np.finfo(np.longdouble).nmant > 60)


def with_overflow(oracle: Oracle, case: Case) -> Oracle:
    """The oracle, with what the dtype itself makes of the case: where its NaN and infinities are.

    The sum of squares that the loss divides may overflow where the loss does not.
    """
    program = load("numpy").prepare(case, "manual", "cpu")
    stored = program.trace(program.put(case.parameters, case.batch)).quantities
    steps = Steps(case)
    sums = {name: 2 * oracle.expectations[name].value / steps.slope.flat[0] for name in ("loss", "loss_new")}
    return Oracle(
        oracle.name,
        {
            name: replace(
                expected,
                stored=np.asarray(stored[name], np.float64),
                may_overflow=bool(name in sums and sums[name] > case.format.largest),
            )
            for name, expected in oracle.expectations.items()
        },
    )


class WiderFloors:
    """The case's floors in wider dtypes, each estimated when it is first asked for."""

    def __init__(self, case: Case) -> None:
        wider = [d for d in DTYPES.values() if d.precision > case.format.precision and d.name != "tf32"]
        self._names = [dtype.name for dtype in sorted(wider, key=lambda d: d.precision)]
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


def _choose(case: Case) -> str:
    budget = WORTH_WAITING.get(case.dtype, BARELY_NOTICED)
    if find_spec("flint") is not None:
        from .backends.arb.cost import predicted_seconds

        if predicted_seconds(case.network, case.batch_size) <= budget:
            return "arb"
    if case.dtype != "float64":
        return "float64"
    return "wide" if _long_double_is_wider() else "none"


def _certified(case: Case, floor: Floor) -> dict[str, Expectation]:
    from .backends.arb.certificate import certify

    return {
        name: Expectation(found.mid, _joined(floor.sigma[name], found.radius), found.mid_low)
        for name, found in certify(case).quantities.items()
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
