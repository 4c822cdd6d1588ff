"""Whether a function's gradient is not its loss's slope because it stops gradients, as it may on purpose."""

from dataclasses import replace

from ..networks.errors import InvalidInput
from .arbiter import between, follows
from .arguments import Arguments
from .measuring import Measured
from .points import Point
from .runs import FunctionFailed


def stops_gradients(one: Measured, arguments: Arguments) -> bool:
    """Whether the gradient follows the loss as soon as nothing stops it: detach, no_grad, stop_gradient.

    In the direction in which that changes it. Nothing is known of a function that gives its gradient itself.
    """
    runner = one.runner.unstopped()
    if runner is None or not one.is_followed:
        return False
    try:
        found = runner.run(Point(arguments.in_float64, wide=True))
    except (FunctionFailed, InvalidInput):
        return False
    flowing = replace(one, runner=runner, got=found, reference=None)
    return bool(follows(flowing, between(one, flowing), arguments))
