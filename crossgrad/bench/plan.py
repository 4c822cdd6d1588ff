"""What is to be measured, refused before anything runs if it cannot fit."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from ..networks.batches import draw_batch, draw_pixels
from ..networks.cases import Case
from ..networks.catalogue import Entry, build_case, find_entry
from ..networks.cost import require_affordable
from ..networks.dtypes import find_dtype
from ..networks.errors import InvalidInput
from ..networks.spec import Dense, Network, require_count
from .results import Subject
from .room import require_room

DEFAULT_NETWORKS = ("article", "mnist-shape", "wide")
"""The first comes with one sample, and is left out where there are to be more."""
DEFAULT_DEPTH = 3
MOST_DEPTH = 10_000


@dataclass(frozen=True)
class Item:
    """One network at one batch size in one dtype."""

    entry: Entry
    batch_size: int
    dtype: str

    @property
    def network(self) -> Network:
        return self.entry.network

    @property
    def subject(self) -> Subject:
        return Subject(network=str(self.network), batch_size=self.batch_size, dtype=self.dtype)

    def case(self) -> Case:
        """Draw its numbers."""
        return build_case(self.entry, dtype=self.dtype, batch_size=self.batch_size)


def make_plan(
    networks: Sequence[str | Path | Network] | None = None,
    *,
    widths: Sequence[int] = (),
    depth: int | None = None,
    batch_sizes: Sequence[int] = (),
    dtypes: Sequence[str] = ("float32",),
    allow_large: bool = False,
) -> tuple[Item, ...]:
    """Everything that is to be measured.

    Parameters
    ----------
    networks
        As `find_entry` takes them; by default those of `DEFAULT_NETWORKS` that have so many samples, or
        none where there are `widths`.
    widths, depth
        For each width a network of so many layers, all as wide as their input.
    batch_sizes
        For each network, in place of its own.

    Raises
    ------
    InvalidInput
        If something is unknown or out of range, would run for hours (unless `allow_large`),
        does not fit into memory with one engine, or has no data for it; or if two networks differ in
        their losses alone.
    """
    if depth is not None and not widths:
        raise InvalidInput(f"depth {depth}: it goes with widths, as in --widths 64,256 --depth {depth}")
    if networks is None:
        networks = () if widths else DEFAULT_NETWORKS[1:] if {*batch_sizes} - {1} else DEFAULT_NETWORKS
    layers = require_count("the depth", DEFAULT_DEPTH if depth is None else depth)
    if layers > MOST_DEPTH:
        raise InvalidInput(f"depth {layers:,}: expected at most {MOST_DEPTH:,} layers")
    entries = [find_entry(network) for network in networks]
    entries += [find_entry(_square(width, layers)) for width in widths]
    sizes = [require_count("the batch size", size) for size in batch_sizes]
    items: dict[tuple[str, int, str], Item] = {}
    for entry in entries:
        for size, dtype in product(sizes or [entry.batch_size], dict.fromkeys(dtypes)):
            item = Item(entry, size, find_dtype(dtype).name)
            other = items.setdefault((str(entry.network), size, item.dtype), item).entry
            if other.loss != entry.loss:
                raise InvalidInput(
                    f"{entry.network} with loss {other.loss} and with {entry.loss}: "
                    "rows of one benchmark could not be told apart, make it two"
                )
    for item in items.values():
        require_affordable(item.network, item.batch_size, allow_large=allow_large)
        require_room(item.network, item.batch_size, item.dtype)
        if item.entry.batch not in (draw_batch, draw_pixels):
            item.entry.batch(item.network, item.batch_size, 0)  # raises if its data has not so many samples
    return tuple(items.values())


def _square(width: int, layers: int) -> Network:
    """A network of so many layers, each as wide as its input."""
    return Network(require_count("a width", width), (Dense(width),) * layers)
