"""Nested containers of arrays: their leaves by path, and the same container around other leaves.

Dicts, lists, tuples, named tuples and dataclasses are known here; what else JAX
knows as a tree (a registered class, a module of equinox, a state of flax) is
taken apart by JAX, if it has been imported, as it then must have been.
"""

import dataclasses
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..networks.errors import InvalidInput

SEPARATOR = "/"

LEAVES = (np.ndarray, np.generic, int, float, complex, str, bytes)
"""Of no container's type, in no framework."""

Rebuild = Callable[[Iterator[Any]], Any]


@dataclass(frozen=True)
class Tree:
    """A container taken apart.

    Parameters
    ----------
    leaves
        By path, as ``dense/kernel`` or ``layers/0/W``; an array that stands alone has the path "".
    rebuild
        Makes the same container of other leaves, given in the same order.
    """

    leaves: Mapping[str, Any]
    rebuild: Rebuild

    def with_leaves(self, leaves: Mapping[str, Any]) -> Any:
        return self.rebuild(iter([leaves[path] for path in self.leaves]))


def take_apart(value: Any) -> Tree:
    """The leaves of nested containers; None is an empty container.

    Raises
    ------
    InvalidInput
        If two leaves have the same path, or a container holds itself.
    """
    leaves: dict[str, Any] = {}
    try:
        rebuild = _walk(value, "", leaves)
    except RecursionError:
        raise InvalidInput("the arguments are nested too deeply: does a container hold itself?") from None
    return Tree(leaves, rebuild)


def join(path: str, key: object) -> str:
    return f"{path}{SEPARATOR}{key}" if path else str(key)


def _walk(value: Any, path: str, leaves: dict[str, Any]) -> Rebuild:
    if isinstance(value, LEAVES):
        return _leaf(value, path, leaves)
    if type(value) is list or type(value) is tuple:  # asked first, as most containers are
        return _container(range(len(value)), value, path, leaves, type(value))
    if value is None:
        return lambda given: None
    if isinstance(value, Mapping):
        return _container(value.keys(), value.values(), path, leaves, _mapping(value))
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return _container(value._fields, value, path, leaves, lambda parts: type(value)(*parts))
    if isinstance(value, list | tuple):
        return _container(range(len(value)), value, path, leaves, type(value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type) and not _known_to_jax(value):
        names = [field.name for field in dataclasses.fields(value) if field.init]
        parts = [getattr(value, name) for name in names]
        return _container(
            names,
            parts,
            path,
            leaves,
            lambda parts: dataclasses.replace(value, **dict(zip(names, parts, strict=True))),
        )
    if _known_to_jax(value):
        return _jax_tree(value, path, leaves)
    return _leaf(value, path, leaves)


def _leaf(value: Any, path: str, leaves: dict[str, Any]) -> Rebuild:
    if path in leaves:
        raise InvalidInput(f"two leaves have the path {path!r}: a key holds {SEPARATOR!r}; rename it")
    leaves[path] = value
    return next


def _container(
    keys: Any, values: Any, path: str, leaves: dict[str, Any], build: Callable[[list[Any]], Any]
) -> Rebuild:
    rebuilds = [_walk(value, join(path, key), leaves) for key, value in zip(keys, values, strict=True)]
    return lambda given: build([rebuild(given) for rebuild in rebuilds])


def _mapping(value: Mapping[Any, Any]) -> Callable[[list[Any]], Any]:
    keys = list(value)
    # An ordered dict and a state dict are dicts; another mapping may not be made of pairs.
    kind = type(value) if type(value) is not dict and isinstance(value, dict) else dict

    def build(parts: Sequence[Any]) -> Any:
        pairs = dict(zip(keys, parts, strict=True))
        try:
            return kind(pairs)
        except TypeError:
            return pairs

    return build


def _known_to_jax(value: Any) -> bool:
    jax = sys.modules.get("jax")
    return jax is not None and not jax.tree_util.all_leaves([value])


def _jax_tree(value: Any, path: str, leaves: dict[str, Any]) -> Rebuild:
    import jax

    found, treedef = jax.tree_util.tree_flatten_with_path(value)
    for keys, leaf in found:
        whole = path
        for key in keys:
            whole = join(whole, jax.tree_util.keystr((key,), simple=True))
        if whole in leaves:
            raise InvalidInput(f"two leaves have the path {whole!r}: rename one")
        leaves[whole] = leaf
    return lambda given: jax.tree_util.tree_unflatten(treedef, [next(given) for _ in found])
