"""Faults in which an earlier step's gradient is still there."""

from collections.abc import Callable
from dataclasses import replace

from ..diagnosis.record import STALE_GRADIENT
from ..networks.batches import Batch
from ..networks.cases import Case
from ..networks.dtypes import Array
from .hooked import run_hooked
from .hooks import HOOKS, Hooks, Layer, bias_gradient, weight_gradient
from .mutant import Mutant, Where, any_layer, by_case
from .where import first

BACKWARD = "backward"

Mix = Callable[[str, Layer, Array], Array]


def mix_with_earlier(case: Case, now: float, before: float) -> Mix:
    """``now * gradient + before * earlier gradient`` of a kind, ``dW`` or ``db``, in a layer.

    The earlier step was one of the same network on other samples: x with its
    sign turned, which is exact in any dtype.
    """
    earlier = run_hooked(replace(case, batch=Batch(-case.batch.x, case.batch.y))).quantities

    def mixed(kind: str, at: Layer, gradient: Array) -> Array:
        leftover: Array = before * earlier[f"{kind}.{at.number}"].astype(gradient.dtype)
        return leftover + now * gradient if now else leftover

    return mixed


def _stale_in(case: Case, now: float, before: float, where: Where) -> Hooks:
    mixed = mix_with_earlier(case, now, before)

    def stale(kind: str, at: Layer, gradient: Array) -> Array:
        return mixed(kind, at, at.round(gradient)) if where(case, at.number) else gradient

    return replace(
        HOOKS,
        weight_gradient=lambda at, seen, dz: stale("dW", at, weight_gradient(at, seen, dz)),
        bias_gradient=lambda at, seen, dz: stale("db", at, bias_gradient(at, seen, dz)),
    )


def _stale(name: str, description: str, now: float, before: float, where: Where = any_layer) -> Mutant:
    return by_case(
        name, BACKWARD, description, STALE_GRADIENT, lambda case: _stale_in(case, now, before, where)
    )


STALE_MUTANTS: tuple[Mutant, ...] = (
    _stale("gradient-accumulated", "the gradient of an earlier step was not set to zero", 1, 1),
    _stale("gradient-accumulated-in-first-layer", "the same in the first layer only", 1, 1, first),
    _stale("gradient-of-earlier-step", "the gradient is still the earlier step's", 0, 1),
    _stale("gradient-with-momentum", "nine tenths of the earlier step's gradient are added", 1, 0.9),
)
