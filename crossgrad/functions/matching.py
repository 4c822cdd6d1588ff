"""Which leaf of one structure is which of another: by path, by a map, or a proposal of one."""

from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches

import numpy as np

from ..networks.dtypes import Array
from ..networks.errors import InvalidInput
from ..words import listed
from .places import Place, layouts
from .proposing import propose

AUTO = "auto"
Rename = Mapping[str, str] | str | None
Transpose = Mapping[str, Sequence[int]] | Collection[str]


def match(
    who: str,
    own: Mapping[str, Array],
    others: Mapping[str, Array],
    rename: Rename,
    transpose: Transpose,
    *,
    same_values: bool,
) -> dict[str, Place]:
    """Find the place of each leaf of `own` among `others`.

    Parameters
    ----------
    who
        The function, for errors.
    rename
        Names of `own` and what they are called among `others`; ``auto`` takes the proposal.
    transpose
        Names of `own` whose axes are reversed there, or a mapping to the axes that ``np.transpose`` takes.
    same_values
        Whether the two hold the same numbers, which tells what is what.

    Raises
    ------
    InvalidInput
        If leaves are left over, with a proposal if there is one; or if shapes or values differ.
    """
    if isinstance(rename, str):
        found = propose(own, others, same_values)
    else:
        names = dict(rename or {})
        found = {
            name: Place(names.get(name, name), _axes(name, array, transpose)) for name, array in own.items()
        }
    _require_complete(who, own, others, found, same_values, _mistyped(own, others, rename, transpose))
    for name, place in found.items():
        mistyped = "" if name in transpose else _mistyped(own, others, None, transpose)
        _require_fit(who, name, own[name], place, others[place.name], same_values, mistyped)
    return found


def _axes(name: str, array: Array, transpose: Transpose) -> tuple[int, ...]:
    straight = tuple(range(array.ndim))
    if name not in transpose:
        return straight
    axes = tuple(transpose[name]) if isinstance(transpose, Mapping) else straight[::-1]
    if sorted(axes) != list(straight):
        raise InvalidInput(f"transpose gives {name} the axes {axes}: expected an order of {straight}")
    return axes


def _require_complete(
    who: str,
    own: Mapping[str, Array],
    others: Mapping[str, Array],
    found: Mapping[str, Place],
    same_values: bool,
    mistyped: str,
) -> None:
    reached = [place.name for place in found.values()]
    left = [name for name in own if name not in found or found[name].name not in others]
    missing = [name for name in others if name not in reached]
    twice = sorted({name for name in reached if reached.count(name) > 1})
    if twice:
        raise InvalidInput(f"{who}: two leaves are renamed to {', '.join(twice)}")
    if missing and not left:
        raise InvalidInput(
            f"{who} gives no gradient for {listed(missing)}: "
            "return one for each leaf, zeros where there is none"
        )
    if left:
        raise InvalidInput(
            f"{who} has {listed([_shaped(name, own[name]) for name in left])} where the others have "
            f"{listed([_shaped(name, others[name]) for name in missing]) or 'nothing'}{mistyped}"
            + _proposal(own, others, same_values)
        )


def _require_fit(
    who: str, name: str, array: Array, place: Place, theirs: Array, same_values: bool, mistyped: str
) -> None:
    turned = place.there(array)
    if turned.shape != theirs.shape:
        hint = ""
        if fitting := layouts(array.shape, theirs.shape):
            hint = f"; if its axes are in another order: transpose={{{name!r}: {fitting[0]}}}"
        elif turned.size == theirs.size and not same_values:
            hint = f"; its elements are as many: return it in the argument's shape, .reshape{theirs.shape}"
        raise InvalidInput(f"{who}: {name} has shape {turned.shape}, expected {theirs.shape}{hint}{mistyped}")
    if same_values and not np.array_equal(turned, theirs, equal_nan=True):
        raise InvalidInput(
            f"{who}: {name} does not hold the numbers of {place.name}{' transposed' * place.turned}: "
            + _way_out(name, array, theirs)
        )


def _mistyped(
    own: Mapping[str, Array], others: Mapping[str, Array], rename: Rename, transpose: Transpose
) -> str:
    """What may have been meant by names in the options that neither side has."""
    names = rename if isinstance(rename, Mapping) else {}
    meant = [("rename", name, own) for name in names] + [("rename", name, others) for name in names.values()]
    meant += [("transpose", name, own) for name in transpose]
    near = [(o, name, get_close_matches(name, known, n=1)) for o, name, known in meant if name not in known]
    return "".join(f"; {o} names {name!r}: did you mean {found[0]}?" for o, name, found in near if found)


def _way_out(name: str, array: Array, theirs: Array) -> str:
    """Another layout in which two leaves would hold the same numbers, if there is one."""
    equal = [a for a in layouts(array.shape, theirs.shape) if np.array_equal(np.transpose(array, a), theirs)]
    if not equal and np.array_equal(np.sort(array, axis=None), np.sort(theirs, axis=None)):
        return (
            "it holds them in another order, as where one of the two flattens (C, H, W) and the other "
            "(H, W, C): put that order into the function, and give both the same"
        )
    if not equal:
        return "is it another model's, or has one of the two been trained since?"
    if equal[0] == tuple(range(array.ndim)):
        return "it holds them as they are; was its transpose forgotten when it was ported?"
    return f"transpose={{{name!r}: {equal[0]}}} makes them equal; was it meant to be so?"


def _proposal(own: Mapping[str, Array], others: Mapping[str, Array], same_values: bool) -> str:
    found = propose(own, others, same_values)
    if len(found) < len(own):
        return ""
    lines = []
    for name, place in found.items():
        same = same_values and np.array_equal(place.there(own[name]), others[place.name])
        lines.append(
            f"  {_shaped(name, own[name])} looks like {_shaped(place.name, others[place.name])}"
            f"{' transposed' * place.turned}{', with the same values' * same}{place.doubt}"
        )
    rename = {name: place.name for name, place in found.items() if name != place.name}
    transpose = {name: place.axes for name, place in found.items() if place.turned}
    given = f"rename={rename}" + (f", transpose={transpose}" if transpose else "")
    return "\n" + "\n".join(lines) + f"\nif so: {given}; or rename='auto' to take such proposals"


def _shaped(name: str, array: Array) -> str:
    return f"{name} {array.shape}"
