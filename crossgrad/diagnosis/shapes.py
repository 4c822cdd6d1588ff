"""What cannot be compared at all: gradients that are missing, or of another shape or dtype."""

from collections.abc import Mapping, Sequence

from ..networks.cases import Case
from .record import SHAPE, Diagnosis

Shape = tuple[int, ...]


def diagnose_shapes(
    case: Case, shapes: Mapping[str, Shape], misfits: Mapping[str, str], wrong: Sequence[str]
) -> Diagnosis:
    """Say in what way quantities do not fit; that is certain.

    Parameters
    ----------
    shapes
        Of all that was delivered.
    misfits
        Why each of those that cannot be measured cannot be, in words.
    wrong
        Quantities that disagree, in data-flow order; one of them is in `misfits`.
    """
    first = next(name for name in wrong if name in misfits)
    expected = {quantity.name: quantity.shape for quantity in case.quantities}
    told = _in_all(shapes, expected, len(case.parameters))
    told = told or _alone(first, shapes.get(first), expected[first]) or f"{first}: {misfits[first]}"
    return Diagnosis(SHAPE, told, first, confidence=1.0)


def _in_all(shapes: Mapping[str, Shape], expected: Mapping[str, Shape], depth: int) -> str | None:
    """One mistake in the order of what was returned, seen in every layer."""
    layers = [(f"dW.{n}", f"db.{n}") for n in range(1, depth + 1)]
    if all(shapes.get(dW) == expected.get(db) and shapes.get(db) == expected[dW] for dW, db in layers):
        return "each pair holds (db, dW): expected (dW, db)"
    given = [(shapes.get(dW), shapes.get(db)) for dW, db in layers]
    wanted = [(expected[dW], expected.get(db)) for dW, db in layers]
    if given != wanted == given[::-1]:
        return "the gradients come with the last layer first: expected the first layer's first"
    return None


def _alone(name: str, shape: Shape | None, expected: Shape) -> str | None:
    if shape is None or shape == expected:
        return None
    if len(shape) == 2 and shape == expected[::-1]:
        return f"{name} has shape {shape}, that of its transpose: expected {expected}"
    if [size for size in shape if size != 1] == [size for size in expected if size != 1]:
        return f"{name} has shape {shape}, with axes of one too many or too few: expected {expected}"
    return None
