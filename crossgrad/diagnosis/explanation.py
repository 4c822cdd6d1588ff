"""What every fit returns: a cause in words, and the quantity that it predicts."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from ..arithmetic import Uncertain
from ..networks.dtypes import Array
from .site import Site


class Explanation(NamedTuple):
    """A possible cause of an error in one quantity.

    Parameters
    ----------
    text
        The cause in words, without the place.
    predicted
        What the quantity would be.
    value
        The fitted number, if there is one.
    certainty
        Largest confidence to put in it, below 1 where it is free to fit too much.
    detail
        Tells causes of the same name apart when quantities are compared: two factors, two samples.
    """

    cause: str
    text: str
    predicted: Uncertain
    value: float | None = None
    certainty: float = 1.0
    detail: str = ""


Finder = Callable[[Site, Array, Uncertain], Iterator[Explanation]]
"""Proposes explanations of ``got`` where ``right`` was to be made; they are measured afterwards."""
