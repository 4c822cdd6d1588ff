"""A case: everything that one training step depends on, with the bits that every engine gets."""

from dataclasses import dataclass, replace
from functools import cached_property
from math import nan
from typing import Any, Self

import numpy as np

from .batches import Batch, check_batch
from .dtypes import Array, DType, find_dtype
from .errors import InvalidInput
from .parameters import Parameters, by_name, check_parameters, from_names, raise_listed
from .rules import LOSSES, require_rule
from .spec import Network, Quantity


@dataclass(frozen=True, eq=False)
class Case:
    """One training step, fully determined.

    Parameters and batch are rounded once to the case's dtype and made
    read-only, so every engine starts from the same bits and none can change
    them for the next.

    Raises
    ------
    InvalidInput
        If a name is unknown, a shape does not fit the network, or a value is
        not finite or overflows the dtype; each field is listed.
    """

    name: str
    network: Network
    parameters: Parameters
    batch: Batch
    loss: str
    learning_rate: float
    seed: int
    dtype: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "dtype", find_dtype(self.dtype).name)
        require_rule("loss", self.loss, LOSSES)
        object.__setattr__(self, "learning_rate", _learning_rate(self.learning_rate, self.format))
        check_parameters(self.network, self.parameters)
        check_batch(self.network, self.batch)
        rounded = {name: _frozen(array, self.format) for name, array in self._inputs().items()}
        raise_listed(
            f"too large for {self.dtype}, whose largest number is {self.format.largest:.6g}",
            (
                f"{name}: overflows to infinity"
                for name, array in rounded.items()
                if not np.isfinite(array).all()
            ),
        )
        object.__setattr__(self, "parameters", from_names(rounded, len(self.parameters)))
        object.__setattr__(self, "batch", Batch(rounded["x"], rounded["y"]))

    def _inputs(self) -> dict[str, Array]:
        return {"x": self.batch.x, "y": self.batch.y, **by_name(self.parameters)}

    @property
    def format(self) -> DType:
        return find_dtype(self.dtype)

    @property
    def batch_size(self) -> int:
        return len(self.batch.x)

    @cached_property
    def quantities(self) -> tuple[Quantity, ...]:
        """Every tensor that an engine must deliver, in data-flow order."""
        return self.network.quantities(self.batch_size)

    def widened(self) -> Self:
        """The same numbers, exactly, as a float64 case: what a reference computes on."""
        return replace(self, dtype="float64")


def _learning_rate(value: Any, dtype: DType) -> float:
    largest = dtype.largest
    try:
        rate = nan if isinstance(value, str | bytes | bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        rate = nan
    if not abs(rate) <= largest:
        raise InvalidInput(
            f"learning rate {value!r}: expected a finite number, in {dtype.name} at most {largest:.6g}"
        )
    return rate


def _frozen(array: Array, dtype: DType) -> Array:
    with np.errstate(over="ignore"):
        rounded = np.array(array, dtype.storage, order="C")
    rounded.setflags(write=False)
    return rounded
