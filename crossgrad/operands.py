"""TF32's operands: what rounding them does to a step, in each of the ways that hardware has.

The floor takes the roundings of a product's operands for independent. Those of a weight are not: it is
rounded once, and where activations have one sign, all samples are off to the same side by it. Hardware
that cuts bits off instead of rounding errs to one side throughout. Neither can be told from outside, but
both can be run: the step in float64, with operands as the tensor cores see them.
"""

from collections.abc import Iterator

import numpy as np

from .arithmetic import Uncertain
from .networks.cases import Case
from .networks.dtypes import Array
from .plain import Way, step

LOST = 13
"""Bits of a float32's 23 that TF32 has not."""


def cut(values: Array) -> Array:
    """As hardware that reads the bits which TF32 has, and no others."""
    return _seen(values, 0)


def nearest(values: Array) -> Array:
    """Rounded to nearest, ties away from zero, as the instruction ``cvt.rna.tf32.f32`` does."""
    return _seen(values, 1 << (LOST - 1))


WAYS: tuple[Way, ...] = (nearest, cut)


def _seen(values: Array, added: int) -> Array:
    single = np.asarray(values, np.float32)
    bits = (single.view(np.int32) + np.int32(added)) & np.int32(-1 << LOST)
    return np.where(np.isfinite(single), bits.view(np.float32), single).astype(np.float64)


def off_by(case: Case, exact: dict[str, Uncertain]) -> Iterator[tuple[str, Array]]:
    """How far each quantity of a TF32 case is off in the way that does most; 0 where that is no number."""
    most = {name: np.zeros(np.shape(tensor.value)) for name, tensor in exact.items()}
    for way in WAYS:
        for name, value in step(case, way):
            if name not in exact:
                continue
            off = np.abs(value - exact[name].value)
            most[name] = np.fmax(most[name], np.where(np.isfinite(off), off, 0))
    yield from most.items()
