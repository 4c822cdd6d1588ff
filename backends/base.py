"""What an engine is: the contract, and the laws that tests/test_laws.py checks for each.

A `Backend` is a framework. It makes a `Program` of a case, on a device and in
a variant; the program is what runs. There is no shared vocabulary of tensor
operations on purpose: each engine says the network in its framework's own
words, because agreement proves something only while engines share no formula.
"""

import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
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


class Timed:
    """Work on a device that can be waited for, and timed."""

    def synchronize(self) -> None:
        """Return when all work that was started has ended; called before every clock read."""

    def seconds(self, call: Callable[[], object], calls: int) -> float:
        """What `calls` calls take, one after the other, from an idle device to the end of their work."""
        self.synchronize()
        start = time.perf_counter()
        for _ in range(calls):
            call()
        self.synchronize()
        return time.perf_counter() - start

    def device_peak(self, call: Callable[[], object]) -> int | None:
        """Most bytes of the device's memory that a call holds at a time, beyond what was held before it.

        None where the device is the host, or does not say.
        """
        return None


class Program(Timed, ABC):
    """One case's network and loss, compiled for one device, ready to be run many times.

    `forward` and `update` exist to be timed beside `step`; an engine may leave them out.

    Attributes
    ----------
    preparation
        Seconds that parts of `prepare` took, by name, where the framework has such parts:
        ``trace`` (Python to the compiler's input), ``compile``.
    """

    preparation: Mapping[str, float] = MappingProxyType({})

    @abstractmethod
    def put(self, parameters: Parameters, batch: Batch) -> Any:
        """Copy values to the device; once synchronized they are there, and no step needs the host."""

    @abstractmethod
    def step(self, values: Any) -> Any:
        """The timed core: the loss and every gradient, as native values, without synchronisation.

        `values` is what `put` returned, and stays as it is: a step with the same values finds
        the same, which is checked. The result holds until the program's next step: an engine may
        keep its outputs, and write them anew.
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

    def forward(self, values: Any) -> Any:
        """The loss alone, without what a differentiation would keep, as a native value."""
        raise Unsupported("this engine has no forward pass of its own")

    def loss(self, result: Any) -> Array:
        """What `forward` returned, as a NumPy scalar in the case's dtype."""
        raise Unsupported("this engine has no forward pass of its own")

    def update(self, values: Any, result: Any) -> Any:
        """The parameters after a step of gradient descent, ``p - lr * dp``, as native values.

        `result` is what `step` returned; it and `values` stay as they are, so that an update
        can be repeated. The parameters hold until the program's next update.
        """
        raise Unsupported("this engine has no update of its own")

    def updated(self, parameters: Any) -> dict[str, Array]:
        """What `update` returned, as NumPy arrays ``W_new.n``, ``b_new.n``."""
        raise Unsupported("this engine has no update of its own")


class Products(Timed, ABC):
    """The matrix products of a case and nothing else: the floor under any dense network's step.

    They are the framework's fastest, on prepared operands of the case's shapes
    and dtype, into prepared outputs where the framework can do that.
    """

    @abstractmethod
    def forward(self) -> Any:
        """``z.n = a.(n-1) @ W.n.T`` for each layer."""

    @abstractmethod
    def step(self) -> Any:
        """`forward`, and ``dW.n = dz.n.T @ a.(n-1)``, ``da.(n-1) = dz.n @ W.n`` but for da.0."""

    @abstractmethod
    def copy(self) -> Any:
        """Copy ``copied_bytes`` from one place to another: each is read once and written once."""

    @property
    @abstractmethod
    def copied_bytes(self) -> int:
        """As `bytes_to_copy` has it."""


SMALLEST_COPY, LARGEST_COPY = 4 * 2**10, 256 * 2**20


def bytes_to_copy(touched: int, on_cpu: bool) -> int:
    """As many as the operands and outputs of a step take, so that they fit into the same caches.

    On CUDA always `LARGEST_COPY`: a smaller copy would measure the launch, not the memory.
    """
    return min(max(touched, SMALLEST_COPY), LARGEST_COPY) if on_cpu else LARGEST_COPY


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

    def products(self, case: Case, device: str) -> Products:
        """The case's matrix products alone, on a device.

        Raises
        ------
        Unsupported, BackendUnavailable
            As `prepare`.
        """
        raise Unsupported(f"{self.name} offers no matrix products of its own")

    def forget(self) -> None:  # noqa: B027 - most frameworks keep nothing of a program that is gone
        """Let go of what was kept for programs that are no longer in use; called between cases."""

    def settle(self, case: Case) -> None:  # noqa: B027 - for those that have something to set
        """Set what belongs to the process for a case that it holds alone from now on; before `prepare`."""

    def give_back(self) -> None:  # noqa: B027 - for those that keep some
        """Let the system have what this engine's process has freed, and keeps."""

    def limit_device_memory(self, size: int) -> None:  # noqa: B027 - for those that run on a device
        """Take at most so many bytes of each CUDA device from now on; called before any other method."""

    def environment(self) -> dict[str, Any]:
        """Versions and settings that can change results, for the report."""
        return {}

    def why_no_cuda(self) -> str | None:
        """Why there is no CUDA device, in the framework's own words, if it has any."""
        return None

    def require_device(self, device: str) -> None:
        """Raise unless this engine can run on `device` here."""
        seen = self.devices()
        if device in seen:
            return
        if device != "cpu" and not any(name.startswith("cuda") for name in seen):
            why = self.why_no_cuda() or "crossgrad doctor looks for one"
            raise BackendUnavailable(
                f"{self.name} sees no CUDA device here ({why}); it runs on {', '.join(seen)}"
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
    if not isinstance(text, str):
        raise InvalidInput(f"device is {text!r}: expected cpu, cuda or cuda:N")
    kind, colon, index = text.partition(":")
    if text == "cpu" or (kind == "cuda" and (index.isascii() and index.isdecimal() if colon else True)):
        return kind if not colon or int(index) == 0 else f"cuda:{int(index)}"
    raise InvalidInput(f"unknown device {text!r}: expected cpu, cuda or cuda:N")


def devices_of(backend: Backend) -> tuple[str, ...]:
    """What `Backend.devices` says; raise `TypeError` if that is no tuple of names."""
    found: Any = backend.devices()
    if not isinstance(found, (tuple, list)) or not all(isinstance(name, str) for name in found):
        raise TypeError(f"devices() returned {found!r}: expected a tuple of names such as ('cpu',)")
    return tuple(found)


def cuda_names(count: int) -> tuple[str, ...]:
    """Names of `count` CUDA devices: ``cuda``, ``cuda:1`` ..."""
    return tuple("cuda" if n == 0 else f"cuda:{n}" for n in range(count))


def settings_in_variables(*names: str) -> dict[str, dict[str, str]]:
    """The environment variables of these names that are set, for `Backend.environment`; else nothing."""
    found = {name: os.environ[name] for name in names if name in os.environ}
    return {"variables": found} if found else {}
