"""A scope in which nothing stops JAX's gradients."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock
from typing import Any
from unittest.mock import patch

import jax

UNSTOPPED: Any = jax.make_user_context(False)  # type: ignore[no-untyped-call]
"""Whether nothing stops gradients, in this thread; JAX keeps apart what it traced with and without."""

PATCHING = RLock()
"""Two threads that left in the order in which they came would leave the first one's patch behind."""


@contextmanager
def unstopped() -> Iterator[None]:
    """jax.lax.stop_gradient does nothing, in this thread alone; JAX's own functions find it elsewhere.

    What jax.jit has traced before is traced anew, and what it traces now is not taken for it afterwards.
    """
    with PATCHING:
        stop = jax.lax.stop_gradient

        def unless_unstopped(tree: Any) -> Any:
            return tree if UNSTOPPED.value else stop(tree)

        with patch.object(jax.lax, "stop_gradient", unless_unstopped), UNSTOPPED(True):
            yield
