"""Which engines a check runs: from names that a user gave to loaded backends."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .backends.base import Backend, BackendUnavailable, device_name, devices_of
from .backends.registry import find_listing, listings, load
from .networks.errors import InvalidInput, unknown
from .pythons import HERE, Pythons, require_used, split

CANDIDATE = "candidate"
"""The variant under which a user's function is in a report."""


@dataclass(frozen=True)
class EngineId:
    """What runs a case: a backend in a variant on a device. As text: ``torch:eager@cpu``.

    The backend of another Python has that one's name before its own: ``old/torch:eager@cpu``.
    """

    backend: str
    variant: str
    device: str

    @property
    def label(self) -> str:
        """Without the device."""
        return f"{self.backend}:{self.variant}"

    @property
    def is_candidate(self) -> bool:
        return self.variant == CANDIDATE

    def __str__(self) -> str:
        return f"{self.label}@{self.device}"


def candidate_id(name: str) -> EngineId:
    """What a report calls a candidate."""
    return EngineId(name, CANDIDATE, "cpu")


@dataclass(frozen=True)
class Engine:
    """An engine that was asked for: its backend if it is in this process, or the reason why it cannot run."""

    id: EngineId
    backend: Backend | None
    problem: str | None = None


@dataclass(frozen=True)
class Seen:
    """What there is of a backend: its variants and devices, or the reason why there is none."""

    variants: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    problem: str | None = None
    backend: Backend | None = None
    seconds: float | None = None
    """What its import took, where that is not the time that the caller waited."""


@dataclass(frozen=True)
class Selection:
    """The engines of a check, and which of them the user named.

    Parameters
    ----------
    named_backends, named_devices
        What was asked for by name: a case in which one of these has no run
        that succeeded is not in order.
    """

    engines: tuple[Engine, ...]
    named_backends: tuple[str, ...]
    named_devices: tuple[str, ...]
    import_seconds: dict[str, float]


def parse_backend(text: str, pythons: Pythons = HERE) -> tuple[str, str | None]:
    """Split ``[PYTHON/]NAME[:VARIANT]``; raise `InvalidInput` if no engine has the name. Imports nothing."""
    name, _, variant = text.partition(":")
    if name.endswith(".py"):
        raise InvalidInput(
            f"backend {name!r}: a function of yours is no engine: crossgrad check --candidate {name}"
        )
    find_listing(split(name, pythons)[1])
    return name, variant or None


def see_here(name: str) -> Seen:
    """Load a backend into this process."""
    try:
        backend = load(name)
    except BackendUnavailable as error:
        return Seen(problem=str(error))
    try:
        return Seen(backend.variants, devices_of(backend), backend=backend)
    except Exception as error:
        problem = f"{name} cannot say which devices it sees: {type(error).__name__}: {error}"
        return Seen(backend.variants, problem=problem)


def select_engines(
    backends: Sequence[str] | None,
    devices: Sequence[str] | None,
    see: Callable[[str], Seen] = see_here,
    pythons: Pythons = HERE,
) -> Selection:
    """Find the engines asked for: by default every installed one, on every device that it sees.

    Parameters
    ----------
    see
        Loads a backend by name, here or in a process of its own, and says what there is of it.
    pythons
        Those that names of backends may begin with.

    Raises
    ------
    InvalidInput
        If a backend, variant or device has an unknown name. Engines that are
        known but cannot be loaded are in the selection, with the problem.
    """
    wanted = wanted_backends(backends, pythons)
    places = None if devices is None else list(dict.fromkeys(device_name(text) for text in devices))
    seconds: dict[str, float] = {}
    engines: dict[EngineId, Engine] = {}
    for name, variant in wanted:
        start = time.perf_counter()
        seen = see(name)
        for engine in _engines_of(name, variant, places, seen):
            engines[engine.id] = engine
        seconds.setdefault(name, time.perf_counter() - start if seen.seconds is None else seen.seconds)
    return Selection(
        tuple(engines.values()),
        named_backends=tuple(_label(*parse_backend(text, pythons), engines) for text in backends or ()),
        named_devices=tuple(places or ()),
        import_seconds=seconds,
    )


def wanted_backends(backends: Sequence[str] | None, pythons: Pythons = HERE) -> list[tuple[str, str | None]]:
    """Name and variant of each backend asked for; by default those that are installed."""
    if backends is not None and not backends:
        raise InvalidInput("no backend given: name at least one, or leave the option out for all")
    wanted = [parse_backend(text, pythons) for text in backends or installed_backends()]
    require_used([name for name, _ in wanted], pythons)
    return wanted


def installed_backends() -> list[str]:
    """Names of the engines whose packages are installed; oracles judge and are not among them."""
    return [name for name, listing in listings().items() if listing.installed and not listing.oracle]


def _engines_of(name: str, variant: str | None, places: list[str] | None, seen: Seen) -> list[Engine]:
    if seen.variants and variant is not None and variant not in seen.variants:
        raise unknown(f"variant of {name}", variant, seen.variants)
    chosen = variant or next(iter(seen.variants), "default")
    problem = seen.problem or (None if seen.devices else f"{name} sees no device here")
    if problem is not None:
        return [Engine(EngineId(name, chosen, place), None, problem) for place in places or ["cpu"]]
    return [Engine(EngineId(name, chosen, place), seen.backend) for place in places or seen.devices]


def _label(name: str, variant: str | None, engines: dict[EngineId, Engine]) -> str:
    return next(e.label for e in engines if e.backend == name and variant in (None, e.variant))
