"""What `compare_gradients` is told beside functions and arguments: read, or refused with the way out."""

from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from numbers import Integral
from typing import Any

from ..networks.errors import InvalidInput, shortened
from ..networks.whole import require_whole
from ..words import listed
from .matching import AUTO, Rename, Transpose


def read_repeats(repeats: Any) -> int:
    return require_whole("repeats", repeats, 2)


def read_seed(seed: Any) -> int:
    return require_whole("seed", seed, 0)


def read_rename(rename: Any) -> Rename:
    if rename is None or rename == AUTO:
        return AUTO if rename else None
    if not isinstance(rename, Mapping) or not _are_names([*rename, *rename.values()]):
        raise InvalidInput(
            f"rename is {_quoted(rename)}: expected a mapping of names, as in "
            f"{{'dense/kernel': 'fc1.weight'}}, or {AUTO!r}"
        )
    return dict(rename)


def read_transpose(transpose: Any) -> Transpose:
    """Names, of which one may stand alone, or a mapping from names to axes."""
    found = (transpose,) if isinstance(transpose, str) else transpose
    if not isinstance(found, Collection) or not _are_names(found):
        raise InvalidInput(
            f"transpose is {_quoted(transpose)}: expected names, as in ['dense/kernel'], or a mapping from "
            "names to axes, as in {'dense/kernel': (1, 0)}"
        )
    if isinstance(found, Mapping):
        for name, axes in found.items():
            if not isinstance(axes, list | tuple) or not all(isinstance(axis, Integral) for axis in axes):
                raise InvalidInput(
                    f"transpose gives {name} the axes {_quoted(axes)}: expected their order, as in "
                    f"{{{name!r}: (1, 0)}}"
                )
        return {name: tuple(int(axis) for axis in axes) for name, axes in found.items()}
    return tuple(found)


def require_known(rename: Rename, transpose: Transpose, names: Iterable[str]) -> None:
    """Refuse names that no function has: what they should have named went unnoticed."""
    known = list(dict.fromkeys(names))
    given = {"rename": rename if isinstance(rename, Mapping) else {}, "transpose": transpose}
    for option, mine in given.items():
        if strange := [name for name in mine if name not in known]:
            raise InvalidInput(
                f"{option} names {listed([_asked(name, known) for name in strange])}: "
                f"no function has {'that' if len(strange) == 1 else 'these'}; there are {listed(known)}"
            )


def _asked(name: str, known: list[str]) -> str:
    near = get_close_matches(name, known, n=2, cutoff=0.5)
    return f"{name!r} (did you mean {' or '.join(near)}?)" if near else repr(name)


def _are_names(values: Iterable[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


def _quoted(value: Any) -> str:
    return shortened(repr(value))
