"""Which engines there are, without importing any of them.

Importing torch takes more than a second, importing jax nearly one. Therefore
the table below holds names only, and `load` imports an engine when it is asked
for. Other packages add engines through the entry-point group
``crossgrad.backends``: the name is the engine's, the object a `Backend` class.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from ..networks.errors import unknown

if TYPE_CHECKING:
    from .base import Backend

ENTRY_POINT_GROUP = "crossgrad.backends"


@dataclass(frozen=True)
class Listing:
    """Where an engine is found, and what it needs to be there."""

    name: str
    module: str
    attribute: str
    requires: str
    """The package whose presence decides whether the engine can be loaded."""

    install: str
    """The command that brings it."""

    distribution: str
    """The distribution whose version is the engine's."""

    oracle: bool = False
    """Whether it is there to judge the others: it runs only when it is asked for by name."""

    @property
    def built_in(self) -> bool:
        """Whether it is crossgrad's own, and no other package's."""
        return self.module.startswith(f"{__package__}.")

    @property
    def installed(self) -> bool:
        """Whether the package it needs is there; nothing is imported to find out."""
        return bool(self.requires) and find_spec(self.requires) is not None


def _builtin(name: str, attribute: str, install: str) -> Listing:
    return Listing(name, f"{__package__}.{name}", attribute, name, install, name)


_BUILTIN = {
    listing.name: listing
    for listing in [
        _builtin("numpy", "NumpyBackend", "pip install crossgrad"),
        _builtin("torch", "TorchBackend", 'pip install "crossgrad[torch]"'),
        _builtin("jax", "JaxBackend", 'pip install "crossgrad[jax]"'),
        Listing(
            name="arb",
            module=f"{__package__}.arb",
            attribute="ArbBackend",
            requires="flint",
            install='pip install "crossgrad[oracle]"',
            distribution="python-flint",
            oracle=True,
        ),
    ]
}


def listings() -> Mapping[str, Listing]:
    """Every engine by name: the built-in ones, then those that other packages add."""
    return _BUILTIN | {listing.name: listing for listing in _added() if listing.name not in _BUILTIN}


def hidden() -> list[Listing]:
    """Engines of other packages that one of the same name keeps from being run."""
    known = listings()
    return [listing for listing in _added() if known[listing.name] != listing]


def _added() -> list[Listing]:
    return [_from_entry_point(point) for point in entry_points(group=ENTRY_POINT_GROUP)]


def find_listing(name: str) -> Listing:
    """Return the listing of an engine; raise `InvalidInput` with the nearest names if there is none."""
    known = _BUILTIN if name in _BUILTIN else listings()
    if name not in known:
        raise unknown("backend", name, known)
    return known[name]


def load(name: str) -> "Backend":
    """Import an engine.

    Raises
    ------
    InvalidInput
        If no engine has this name.
    BackendUnavailable
        If its package is not installed, fails to import, or breaks the contract.
    """
    return _load(find_listing(name))


@cache
def _load(listing: Listing) -> "Backend":
    from .base import Backend, BackendUnavailable

    if not listing.installed:
        raise BackendUnavailable(f"{listing.name} is not installed: {listing.install}")
    try:
        backend: Any = attrgetter(listing.attribute)(import_module(listing.module))()
    except (Exception, SystemExit) as error:
        raise BackendUnavailable(
            f"{listing.name} is installed but fails to import: {type(error).__name__}: {error}"
        ) from error
    place = f"{listing.module}:{listing.attribute}"
    if not isinstance(backend, Backend):
        raise BackendUnavailable(f"{place} is not a crossgrad Backend class")
    own = getattr(backend, "name", None)
    if own != listing.name:
        raise BackendUnavailable(f"{place} calls itself {own!r}, but its entry point is {listing.name!r}")
    variants = getattr(backend, "variants", ())
    if not isinstance(variants, (tuple, list)) or not variants:
        raise BackendUnavailable(f"{place} has variants {variants!r}: expected a tuple of at least one name")
    return backend


def _from_entry_point(point: EntryPoint) -> Listing:
    # EntryPoint's own parsing raises on a malformed value; that must cost one row, not every command.
    module, _, attribute = (part.strip() for part in point.value.partition("[")[0].partition(":"))
    distribution = point.dist.name if point.dist is not None else module
    return Listing(
        name=point.name,
        module=module,
        attribute=attribute,
        requires=module.partition(".")[0],
        install=f"pip install {distribution}",
        distribution=distribution,
    )
