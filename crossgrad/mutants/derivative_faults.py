"""Faults where dz is made of da: the activation's derivative missing, wrong, or taken at the wrong point."""

from ..diagnosis.record import DERIVATIVE_AT_A, MISSING_DERIVATIVE, SIGN
from ..networks.dtypes import Array
from .hooks import Layer, Seen, derivative
from .mutant import Mutant, any_layer, everywhere, in_every_layer, in_one_layer
from .where import deeper_than, last, sigmoid

BACKWARD = "backward"


def _missing(at: Layer, seen: Seen, da: Array) -> Array:
    return da


def _at_a(at: Layer, seen: Seen, da: Array) -> Array:
    """``f'`` of a in place of z: a function of the output is given the output of the output."""
    return at.rule.backward(da, at.rule.forward(seen.a))


def _squared(at: Layer, seen: Seen, da: Array) -> Array:
    return derivative(at, seen, derivative(at, seen, da))


DERIVATIVE_MUTANTS: tuple[Mutant, ...] = (
    in_one_layer(
        "derivative-missing",
        BACKWARD,
        "dz = da in one layer",
        MISSING_DERIVATIVE,
        any_layer,
        derivative=_missing,
    ),
    everywhere(
        "derivative-missing-everywhere",
        BACKWARD,
        "dz = da in every layer",
        MISSING_DERIVATIVE,
        derivative=_missing,
    ),
    in_every_layer(
        "derivative-missing-in-last-layer",
        BACKWARD,
        "dz = da in the last layer",
        MISSING_DERIVATIVE,
        last,
        derivative=_missing,
    ),
    in_every_layer(
        "derivative-missing-in-lower-layers",
        BACKWARD,
        "dz = da below the two uppermost layers: shows from depth 3 on",
        MISSING_DERIVATIVE,
        lambda case, number: number <= len(case.parameters) - 2,
        derivative=_missing,
    ),
    in_one_layer(
        "derivative-at-a", BACKWARD, "f'(a) in place of f'(z) in one layer", DERIVATIVE_AT_A, derivative=_at_a
    ),
    everywhere(
        "derivative-at-a-everywhere",
        BACKWARD,
        "f'(a) in place of f'(z) in every layer",
        DERIVATIVE_AT_A,
        derivative=_at_a,
    ),
    in_one_layer(
        "derivative-of-z-as-if-a",
        BACKWARD,
        "z (1 - z) in place of a (1 - a)",
        None,
        sigmoid,
        derivative=lambda at, seen, da: at.rule.backward(da, seen.z),
    ),
    in_one_layer(
        "derivative-a-only",
        BACKWARD,
        "a in place of a (1 - a)",
        None,
        sigmoid,
        derivative=lambda at, seen, da: da * seen.a,
    ),
    in_one_layer(
        "derivative-one-minus-a-only",
        BACKWARD,
        "1 - a in place of a (1 - a)",
        None,
        sigmoid,
        derivative=lambda at, seen, da: da * (1 - seen.a),
    ),
    in_one_layer(
        "derivative-of-tanh",
        BACKWARD,
        "1 - a**2 in place of a (1 - a)",
        None,
        sigmoid,
        derivative=lambda at, seen, da: da * (1 - seen.a * seen.a),
    ),
    everywhere(
        "derivative-twice",
        BACKWARD,
        "f'(z) multiplied in twice in every layer",
        None,
        deeper_than(1),
        derivative=_squared,
    ),
    in_one_layer(
        "dz-negated",
        BACKWARD,
        "-dz in one layer",
        SIGN,
        derivative=lambda at, seen, da: -derivative(at, seen, da),
    ),
)
