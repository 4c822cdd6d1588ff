"""Random cases: the networks, data and scales on which crossgrad's own error rates are measured.

Every case is a function of its seed, its dtype and `small`. Counts and scales
are drawn log-uniformly, so that a width of 1 to 2 is as frequent as one of 512
to 1024. Coincidences that hide faults, and that independent draws would hardly
ever give, are drawn on purpose: square layers, a batch as large as a layer.

A case has no scale for its loss. Its stand-in is the targets' distance: with
``y = a + distance * noise`` around the network's own output a, the loss grows
with the square of the distance, so a loss scaled by 1e-6 to 1e6 is a distance
of 1e-3 to 1e3. Saturation comes with large weights and inputs; one case in
sixteen has inputs around the smallest normal number of its dtype.
"""

from dataclasses import dataclass, replace
from math import exp, log, sqrt

import numpy as np

from ..mathematics import LOSSES as FORMULAS
from ..networks.batches import Batch
from ..networks.cases import Case
from ..networks.catalogue import build_case, find_entry
from ..networks.dtypes import DType, find_dtype
from ..networks.parameters import DenseParameters, draw_parameters
from ..networks.rules import LOSSES
from ..networks.spec import Dense, Network
from .hooked import outputs

WEIGHT_SCALE = (0.1, 12.0)
"""Multiplies weights drawn from N(0, 1/I)."""

INPUT_SCALE = (0.01, 100.0)
"""Multiplies inputs drawn from N(0, 1)."""

LOSS_SCALE = (1e-6, 1e6)
LEARNING_RATE = (1e-3, 1.0)

DENORMAL_SHARE = 1 / 16
SQUARE_SHARE = 1 / 4
"""Of the layers: as many units as the layer below."""

BATCH_AS_WIDE_SHARE = 1 / 8
"""Of the cases: as many samples as some layer has units."""

BIASLESS_SHARE = 1 / 20
"""Of the layers."""


@dataclass(frozen=True)
class Limits:
    """How large a case may be.

    Parameters
    ----------
    depth, width, batch
        Largest number of layers, units of a layer, and samples.
    parameters, products, activations
        Largest number of parameters, of parameters times samples, and of
        elements of all z: a float64 step stays under 50 ms on two cores.
    """

    depth: int
    width: int
    batch: int
    parameters: float = 2e6
    products: float = 2e8
    activations: float = 5e5


FULL = Limits(depth=12, width=1024, batch=512)
SMALL = Limits(depth=6, width=64, batch=64)


def random_case(seed: int, dtype: str, *, small: bool = False) -> Case:
    """Draw the case of this seed.

    The draws are the same in every dtype but for what float16's range or the
    place of the smallest normal number demands.

    Parameters
    ----------
    small
        At most 6 layers, 64 units and 64 samples, for fast runs.
    """
    rng = np.random.default_rng([seed, 2])
    network, batch_size = _shapes(rng, SMALL if small else FULL)
    loss = str(rng.choice(list(LOSSES)))
    weight_scale = _log_uniform(rng, WEIGHT_SCALE)
    parameters = [DenseParameters(weight_scale * W, b) for W, b in draw_parameters(network, seed)]
    input_scale, denormal = _input_scale(rng, find_dtype(dtype))
    x = input_scale * rng.standard_normal((batch_size, network.inputs))
    distance = min(
        sqrt(_log_uniform(rng, LOSS_SCALE)),
        _largest_distance(find_dtype(dtype), loss, (batch_size, network.widths[-1])),
    )
    noise = rng.standard_normal((batch_size, network.widths[-1]))
    draft = build_case(
        find_entry(network),
        dtype=dtype,
        loss=loss,
        learning_rate=_log_uniform(rng, LEARNING_RATE),
        seed=seed,
        params=parameters,
        batch=(x, noise),
    )
    name = f"random-{seed}" + "-small" * small + "-denormal" * denormal
    return replace(draft, name=name, batch=Batch(draft.batch.x, outputs(draft.widened()) + distance * noise))


def _log_uniform(rng: np.random.Generator, bounds: tuple[float, float]) -> float:
    low, high = bounds
    return exp(rng.uniform(log(low), log(high)))


def _log_uniform_count(rng: np.random.Generator, largest: int) -> int:
    """From 1 to `largest`, each binade as often as any other."""
    return min(int(_log_uniform(rng, (1, largest + 1))), largest)


def _shapes(rng: np.random.Generator, limits: Limits) -> tuple[Network, int]:
    """Draw until the case is small enough, which most are."""
    while True:
        network = _network(rng, limits)
        batch_size = _log_uniform_count(rng, limits.batch)
        if rng.random() < BATCH_AS_WIDE_SHARE:
            batch_size = min(int(rng.choice(network.widths[1:])), limits.batch)
        if (
            network.parameter_count <= limits.parameters
            and network.parameter_count * batch_size <= limits.products
            and sum(network.widths) * batch_size <= limits.activations
        ):
            return network, batch_size


def _network(rng: np.random.Generator, limits: Limits) -> Network:
    widths = [_log_uniform_count(rng, limits.width)]
    for _ in range(int(rng.integers(1, limits.depth + 1))):
        width = _log_uniform_count(rng, limits.width)
        widths.append(widths[-1] if rng.random() < SQUARE_SHARE else width)
    return Network(
        widths[0], tuple(Dense(units, bias=bool(rng.random() >= BIASLESS_SHARE)) for units in widths[1:])
    )


def _input_scale(rng: np.random.Generator, dtype: DType) -> tuple[float, bool]:
    """The scale of x, and whether x is to be around the smallest normal number."""
    usual, bits_up = _log_uniform(rng, INPUT_SCALE), rng.uniform(-dtype.precision / 2, 2)
    if rng.random() >= DENORMAL_SHARE:
        return usual, False
    return 2.0 ** (dtype.min_exponent + bits_up), True


def _largest_distance(dtype: DType, loss: str, shape: tuple[int, int]) -> float:
    """The distance at which the loss is a sixteenth of the dtype's range; noise is of order one."""
    samples, units = shape
    terms = samples * units / FORMULAS[loss].count(samples, units)
    return sqrt(2.0 ** (dtype.max_exponent - 4) / terms)
