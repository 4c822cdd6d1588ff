"""The networks that crossgrad knows by name, and what any other network gets by default."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from .article import article_batch, article_parameters
from .batches import Batch, as_batch, draw_batch, draw_pixels
from .cases import Case
from .digits import digits_batch
from .errors import InvalidInput, shortened, unknown
from .mnist import mnist_batch
from .parameters import Parameters, as_parameters, draw_parameters
from .spec import Network, require_count
from .whole import require_whole


@dataclass(frozen=True)
class Entry:
    """A network with the data, loss and learning rate that it is used with.

    `parameters` is called with the network and a seed, `batch` with the
    network, a batch size and a seed; both give float64.
    """

    name: str
    network: Network
    summary: str
    loss: str = "mse"
    batch_size: int = 32
    learning_rate: float = 0.1
    parameters: Callable[[Network, int], Parameters] = draw_parameters
    batch: Callable[[Network, int, int], Batch] = draw_batch


_ARTICLE = Entry(
    "article",
    Network.from_widths("1-1-1"),
    "the article's network: one step by hand and with PyTorch",
    batch_size=1,
    parameters=article_parameters,
    batch=article_batch,
)

CATALOGUE: dict[str, Entry] = {
    entry.name: entry
    for entry in [
        _ARTICLE,
        replace(
            _ARTICLE,
            name="primer",
            loss="half-mse",
            summary="the article's network with the textbook's half in the loss",
        ),
        Entry(
            "digits",
            Network.from_widths("64-100-10"),
            "real handwritten digits, 8x8 pixels, from scikit-learn",
            batch=digits_batch,
        ),
        Entry(
            "mnist-shape",
            Network.from_widths("784-100-10"),
            "the article's follow-up network on synthetic pixels (real ones: --mnist DIR)",
            batch=draw_pixels,
        ),
        Entry("wide", Network.from_widths("1024-1024-1024"), "two wide layers"),
        Entry("deep", Network.from_widths("-".join(["64"] * 13)), "twelve layers of 64"),
    ]
}


def find_entry(network: str | Path | Network, mnist: Path | None = None) -> Entry:
    """Find what `network` means: a name of the catalogue, widths, a TOML file, or a record.

    Parameters
    ----------
    network
        ``"digits"``, ``"784-100-10"``, a path that ends in ``.toml``, or a `Network`.
    mnist
        A folder with the original MNIST files, to be used as the network's data.

    Raises
    ------
    InvalidInput
        If it is none of these.
    """
    entry = _find(network)
    if mnist is None:
        return entry
    if not isinstance(mnist, str | Path):
        raise InvalidInput(f"mnist is {shortened(repr(mnist))}: expected the path of a folder")
    return replace(entry, name=f"{entry.name}+mnist", batch=partial(mnist_batch, Path(mnist)))


def _find(network: str | Path | Network) -> Entry:
    if isinstance(network, Network):
        return Entry(str(network), network, "a network given as a record")
    if not isinstance(network, str | Path):
        raise unknown("network", network, [*CATALOGUE, "widths such as 784-100-10", "a .toml file"])
    text = str(network).strip()
    if text in CATALOGUE:
        return CATALOGUE[text]
    if text.endswith(".toml"):
        from .network_files import load_network

        return Entry(Path(text).stem, load_network(text), f"read from {text}")
    if text.endswith(".py"):
        raise InvalidInput(
            f"unknown network {text!r}: a function of yours is no network: crossgrad check --candidate {text}"
        )
    if text[:1].isdigit() or text[:1] == "-":
        return Entry(text, Network.from_widths(text), "widths, all sigmoid")
    with suppress(OSError):  # a name too long for a file
        if Path(f"{text}.toml").is_file():
            raise InvalidInput(f"unknown network {text!r}: a file is given with its ending, {text}.toml")
    raise InvalidInput(
        f"{unknown('network', text, CATALOGUE)}; or give widths such as 784-100-10, or a .toml file"
    )


def build_case(
    entry: Entry,
    *,
    dtype: str,
    loss: str | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    seed: int = 0,
    params: Sequence[object] | None = None,
    batch: object | None = None,
) -> Case:
    """Make the case of `entry`, with what is given in place of the entry's own.

    Parameters
    ----------
    params
        A list of pairs ``(W (O, I), b (O,))``, instead of drawn ones.
    batch
        A pair ``(x (B, I), y (B, O))``, instead of drawn data; it fixes the batch size.

    Raises
    ------
    InvalidInput
        If anything given is unknown, out of range, or does not fit the network.
    """
    seed = require_whole("seed", seed, 0)
    if batch is not None:
        data = as_batch(batch)
        if batch_size is not None and (batch_size,) != data.x.shape[:1]:
            raise InvalidInput(f"batch size {batch_size}: the batch given has x of shape {data.x.shape}")
    else:
        size = entry.batch_size if batch_size is None else require_count("the batch size", batch_size)
        data = entry.batch(entry.network, size, seed)
    return Case(
        name=entry.name,
        network=entry.network,
        parameters=as_parameters(params) if params is not None else entry.parameters(entry.network, seed),
        batch=data,
        loss=entry.loss if loss is None else loss,
        learning_rate=entry.learning_rate if learning_rate is None else learning_rate,
        seed=seed,
        dtype=dtype,
    )
