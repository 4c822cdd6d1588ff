"""What an engine is: the contract, and the laws that tests/test_laws.py checks for each.

A `Backend` is a framework. It makes a `Program` of a case, on a device and in
a variant; the program is what runs. There is no shared vocabulary of tensor
operations on purpose: each engine says the network in its framework's own
words, because agreement proves something only while engines share no formula.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

from ..networks.batches import Batch
from ..networks.cases import Case
from ..networks.dtypes import Array
from ..networks.errors import InvalidInput
from ..networks.parameters import Parameters
from ..networks.spec import Network


class BackendUnavailable(RuntimeError):
    """The engine or the device is not on this machine; the message says how to get it."""


class Unsupported(RuntimeError):
    """The engine is here but cannot do what was asked; the message names what."""


@dataclass(frozen=True)
class Trace:
    """Every quantity of one step by name, as NumPy arrays in the case's dtype."""

    quantities: Mapping[str, Array]

    def __post_init__(self) -> None:
        object.__setattr__(self, "quantities", MappingProxyType(dict(self.quantities)))


class Program(ABC):
    """One case's network and loss, compiled for one device, ready to be run many times."""

    @abstractmethod
    def put(self, parameters: Parameters, batch: Batch) -> Any:
        """Copy values to the device; afterwards no step needs the host."""

    @abstractmethod
    def step(self, values: Any) -> Any:
        """The timed core: the loss and every gradient, as native values, without synchronisation.

        `values` is what `put` returned, and stays as it is.
        """

    @abstractmethod
    def gradients(self, result: Any) -> dict[str, Array]:
        """What `step` returned, as NumPy arrays ``loss``, ``dW.n``, ``db.n``."""

    @abstractmethod
    def trace(self, values: Any) -> Trace:
        """Every quantity of the case.

        The intermediates are those of the engine's own differentiation, not of
        a second hand-made formula; the gradients equal `step`'s.
        """

    def synchronize(self) -> None:  # noqa: B027 - nothing to wait for on a synchronous engine
        """Return when all work that was started has ended; called before every clock read."""


class Backend(ABC):
    """A framework that differentiates. Importing its module imports the framework."""

    name: ClassVar[str]
    variants: ClassVar[tuple[str, ...]]
    """Ways to run it; the first is the default."""

    @abstractmethod
    def devices(self) -> tuple[str, ...]:
        """Names of the devices that it sees: ``cpu``, ``cuda`` (the first), ``cuda:1`` ..."""

    @abstractmethod
    def prepare(self, case: Case, variant: str, device: str) -> Program:
        """Compile the case's network and loss.

        The program depends on the network, the loss, the learning rate, the
        dtype and the batch size alone: it is kept, and run on the numbers of
        other cases that share these. Numbers come through `put`.

        Raises
        ------
        Unsupported
            If this engine lacks the dtype, a rule, or cannot do this case in this variant.
        BackendUnavailable
            If the device, or a tool that the variant needs, is not on this machine.
        """

    def forget(self) -> None:  # noqa: B027 - most frameworks keep nothing of a program that is gone
        """Let go of what was kept for programs that are no longer in use; called between cases."""

    def limit_device_memory(self, size: int) -> None:  # noqa: B027 - for those that run on a device
        """Take at most so many bytes of each CUDA device from now on; called before any other method."""

    def environment(self) -> dict[str, Any]:
        """Versions and settings that can change results, for the report."""
        return {}

    def require_device(self, device: str) -> None:
        """Raise unless this engine can run on `device` here."""
        seen = self.devices()
        if device in seen:
            return
        if device != "cpu" and not any(name.startswith("cuda") for name in seen):
            raise BackendUnavailable(
                f"{self.name} sees no CUDA device here (crossgrad doctor says why); "
                f"it runs on {', '.join(seen)}"
            )
        raise BackendUnavailable(f"{self.name} sees no device {device!r}; it runs on {', '.join(seen)}")


def require_rules(
    backend: str, network: Network, loss: str, activations: Iterable[str], losses: Iterable[str]
) -> None:
    """Raise `Unsupported` naming every activation or loss of the case that the engine lacks."""
    missing = sorted({layer.activation for layer in network.layers} - set(activations))
    missing += sorted({loss} - set(losses))
    if missing:
        raise Unsupported(f"{backend} has no rule for {', '.join(missing)}")


def require_dtype(backend: str, dtype: str, supported: Iterable[str]) -> None:
    """Raise `Unsupported` if `dtype` is not in `supported`."""
    names = list(supported)
    if dtype not in names:
        raise Unsupported(f"{backend} does not compute in {dtype}, only in {', '.join(names)}")


def numbered(kind: str, values: Iterable[Array | None]) -> dict[str, Array]:
    """Name the tensors of layers 1, 2 ...: ``{"dW.1": ..., "dW.2": ...}``; None is left out."""
    return {f"{kind}.{n}": value for n, value in enumerate(values, start=1) if value is not None}


def device_name(text: str) -> str:
    """Normalise a device's name: ``cuda:0`` is ``cuda``.

    Raises
    ------
    InvalidInput
        If it is not of the form cpu, cuda or cuda:N.
    """
    kind, colon, index = text.partition(":")
    if text == "cpu" or (kind == "cuda" and (index.isascii() and index.isdecimal() if colon else True)):
        return kind if not colon or int(index) == 0 else f"cuda:{int(index)}"
    raise InvalidInput(f"unknown device {text!r}: expected cpu, cuda or cuda:1")


def cuda_names(count: int) -> tuple[str, ...]:
    """Names of `count` CUDA devices: ``cuda``, ``cuda:1`` ..."""
    return tuple("cuda" if n == 0 else f"cuda:{n}" for n in range(count))
