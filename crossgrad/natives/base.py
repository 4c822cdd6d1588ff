"""What a framework's arrays are to a candidate: how they are handed over, and read when they come back."""

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from typing import Any

from ..backends.registry import load
from ..networks.dtypes import Array, DType

NUMPY = "numpy"


class Native(ABC):
    """The arrays of one framework, on the CPU. Importing its module imports the framework."""

    def scope(self, dtype: str) -> AbstractContextManager[Any]:
        """The settings in which arrays of this dtype are made, and the function is called."""
        return nullcontext()

    @abstractmethod
    def array(self, values: Array) -> Any:
        """A copy of `values`, bit for bit, that shares memory with nothing."""

    def parameter(self, values: Array) -> Any:
        """As `array`, of something that the loss is differentiated by."""
        return self.array(values)

    def finished(self, result: Any) -> Any:
        """Return `result` when the work that leads to it has ended."""
        return result

    @abstractmethod
    def read(self, name: str, value: Any, dtype: DType | None) -> Any:
        """What a function returned, as NumPy can read it; what is not of the framework as it is.

        Parameters
        ----------
        name
            What it is and where it was found, for messages.
        dtype
            What it must have if it is the framework's own; None for any.

        Raises
        ------
        TypeError
            If it has another dtype, or its values cannot be had.
        """


def load_native(name: str) -> Native:
    """Import a framework, ``numpy``, ``torch`` or ``jax``, and what hands its arrays over.

    Raises
    ------
    BackendUnavailable
        If it is not installed, or fails to import.
    """
    if name != NUMPY:
        load(name)  # says how to get it
    native: Native = import_module(f".{name}", __package__).NATIVE
    return native


def wrong_dtype(name: str, got: object, expected: object) -> TypeError:
    """The error for a gradient that is not of its parameter's dtype."""
    return TypeError(f"{name} has dtype {got}: expected {expected}, as its parameter")
