"""Equinox modules as steps: their trace for one sample, their floating-point arrays the parameters."""

from typing import Any

import equinox as eqx
import jax

from ..networks.errors import InvalidInput
from .jaxprs import traced_steps
from .model import Model, model_of, refused

READ = (eqx.nn.Linear, eqx.nn.Sequential, eqx.nn.MLP, eqx.nn.Lambda, eqx.nn.Identity)
"""Equinox's own modules that a trace can be read of; others are refused by name, before it says less."""

IN_TRAINING = (eqx.nn.Dropout, eqx.nn.BatchNorm)


def read_module(module: Any) -> Model:
    """The specification of a module; see `crossgrad.from_equinox`."""
    if not isinstance(module, eqx.Module):
        raise InvalidInput(f"the model is a {type(module).__name__}: expected an equinox.Module")
    _require_known("", module)
    arrays, rest = eqx.partition(module, eqx.is_inexact_array)
    named, tree = jax.tree_util.tree_flatten_with_path(arrays)

    def function(leaves: Any, x: Any) -> Any:
        return eqx.combine(jax.tree.unflatten(tree, leaves), rest)(x)

    names = [jax.tree_util.keystr(path).removeprefix(".") for path, _ in named]
    steps = traced_steps(type(module).__name__, function, names, [leaf for _, leaf in named], 0)
    return model_of(steps)


def _require_known(path: str, part: Any) -> None:
    kind = type(part)
    where = f"{path}: {kind.__name__}" if path else kind.__name__
    if isinstance(part, IN_TRAINING):
        raise refused(where, "computes one thing in training and another in evaluation")
    if kind.__module__.partition(".")[0] == "equinox" and kind not in READ:
        raise refused(where, "is no part of a specification")

    def is_part(node: Any) -> bool:
        return node is not part and isinstance(node, eqx.Module)

    for inner, node in jax.tree_util.tree_flatten_with_path(part, is_leaf=is_part)[0]:
        if isinstance(node, eqx.Module):
            _require_known(f"{path}{jax.tree_util.keystr(inner)}".removeprefix("."), node)
