"""Would it end soon? Said from the shapes alone, before anything is read, drawn or compiled.

The limits are set by the time that one case may take, some minutes on two
cores. Judging costs far more than an engine's step: measured, a float64 case
of 1.3e10 floating-point operations takes 50 s, mostly the oracle's, and JAX
compiles 0.1 s a layer.
"""

from dataclasses import dataclass

from .errors import InvalidInput, shortened
from .spec import Network, require_count

MOST_LAYERS = 512
LARGEST_WIDTH = 2**16
MOST_PARAMETERS = 10**8
MOST_FLOPS = 10**11

WAY_OUT = "give --allow-large (allow_large=True from Python) if you mean it"


@dataclass(frozen=True)
class _Cost:
    what: str
    value: int
    limit: int


def step_flops(network: Network, batch_size: int) -> int:
    """Floating-point operations of a training step, about.

    Each weight meets each sample in three products, forward, for dW and for
    da, each a multiplication and an addition.
    """
    return 6 * batch_size * network.parameter_count


def require_affordable(network: Network, batch_size: int, *, allow_large: bool = False) -> None:
    """Refuse a case that would run for hours, unless it is meant.

    Raises
    ------
    InvalidInput
        If a limit is passed: with the value, the limit and the way out.
    """
    batch_size = require_count("the batch size", batch_size)
    if allow_large:
        return
    for cost in (
        _Cost("layers", len(network.layers), MOST_LAYERS),
        _Cost("units in its widest layer", max(network.widths), LARGEST_WIDTH),
        _Cost("parameters", network.parameter_count, MOST_PARAMETERS),
        _Cost(f"FLOPs a step at batch {batch_size:,}", step_flops(network, batch_size), MOST_FLOPS),
    ):
        if cost.value > cost.limit:
            raise InvalidInput(
                f"network {shortened(network)} has {cost.value:,} {cost.what}, "
                f"at most {cost.limit:,} are taken: {WAY_OUT}"
            )
