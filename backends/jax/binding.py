"""How an operation of a JAX program is run anew."""

from collections.abc import Mapping, Sequence
from typing import Any


def bound(equation: Any) -> tuple[Sequence[Any], Mapping[str, Any]]:
    """What to bind an operation with beside its inputs: functions and options."""
    found = equation.primitive.get_bind_params(equation.params)
    return found if isinstance(found, tuple) else ((), found)  # JAX changed this in 0.10
