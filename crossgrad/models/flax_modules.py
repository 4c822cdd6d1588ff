"""Flax modules (nnx) as steps: their trace, with ``nnx.Param`` as the parameters."""

from typing import Any

import jax
from flax import nnx

from ..networks.errors import InvalidInput
from .jaxprs import traced_steps
from .model import Model, model_of, refused

READ = (nnx.Linear, nnx.Sequential, nnx.List, nnx.Dict)
"""Flax's own modules that a trace can be read of; others are refused by name, before it says less."""

IN_TRAINING = (nnx.Dropout, nnx.BatchNorm)
SAMPLES = 3


def read_module(module: Any) -> Model:
    """The specification of a module; see `crossgrad.from_flax`."""
    if not isinstance(module, nnx.Module):
        raise InvalidInput(
            f"the model is a {type(module).__name__}: expected a flax.nnx.Module "
            "(of Linen, take the parameters: crossgrad.check(network, params=[(kernel.T, bias), ...]))"
        )
    for path, part in nnx.iter_modules(module):
        _require_known(".".join(map(str, path)), part)
    definition, parameters, rest = nnx.split(module, nnx.Param, ...)  # type: ignore[misc]
    named, tree = jax.tree_util.tree_flatten_with_path(parameters)

    def function(leaves: Any, x: Any) -> Any:
        return nnx.merge(definition, jax.tree.unflatten(tree, leaves), rest)(x)

    names = [".".join(str(key.key) for key in path if hasattr(key, "key")) for path, _ in named]
    steps = traced_steps(type(module).__name__, function, names, [leaf for _, leaf in named], SAMPLES)
    return model_of(steps)


def _require_known(path: str, part: nnx.Module) -> None:
    kind = type(part)
    where = f"{path}: {kind.__name__}" if path else kind.__name__
    if isinstance(part, IN_TRAINING):
        raise refused(where, "computes one thing in training and another in evaluation")
    if kind.__module__.partition(".")[0] == "flax" and kind not in READ:
        raise refused(where, "is no part of a specification")
