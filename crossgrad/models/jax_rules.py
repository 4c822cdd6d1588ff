"""Which activation of `networks.rules` an operation of a jaxpr is.

The engine's table (``backends/jax/activations.py``) says which function of JAX
each activation is; an operation is that activation if its program and the
program of its derivative are the same. A name alone would not do: a function
called relu may have any derivative.
"""

import re
from collections.abc import Callable
from typing import Any

import jax

from ..backends.jax.activations import ACTIVATIONS


def rule_of_equation(jaxpr: Any, equation: Any) -> str | None:
    """The activation that an operation of `jaxpr` on one value is, if it is one."""
    aval = equation.invars[0].aval
    if len(equation.outvars) != 1 or equation.outvars[0].aval.shape != aval.shape:
        return None
    alone = jaxpr.replace(
        constvars=[],
        invars=list(equation.invars),
        eqns=[equation],
        outvars=list(equation.outvars),
        debug_info=jaxpr.debug_info.with_unknown_names(),
    )
    try:
        found = _program(lambda x: next(iter(jax.core.eval_jaxpr(alone, (), x))), aval)
    except Exception:  # no derivative in forward mode, or a user's rule for it, which may raise anything
        return None
    return next((name for name, rule in ACTIVATIONS.items() if _program(rule, aval) == found), None)


def _program(function: Callable[[Any], Any], aval: Any) -> str:
    """A function and its derivative as JAX writes them down, without the names of what is called."""
    x = jax.ShapeDtypeStruct(aval.shape, aval.dtype)  # type: ignore[no-untyped-call]
    text = str(jax.make_jaxpr(lambda x, t: jax.jvp(function, (x,), (t,)))(x, x))
    return re.sub(r"\bname=\w+", "", text)
