"""What a figure of results shows: which rows make a line, and what stands on the horizontal axis."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..networks.errors import InvalidInput, shortened
from .results import Results, Row

MOST_CURVES = 60
LEAST_SECONDS, MOST_SECONDS, MOST_SHARE = 1e-12, 1e12, 1e6
"""No figure has use for what is beyond: only a file that was tampered with does."""


@dataclass(frozen=True)
class Curve:
    """A line in the order of x, with what its points may be as well.

    Attributes
    ----------
    series
        What has one colour: an engine on a device, and what else tells lines apart.
    """

    series: str
    dtype: str
    name: str
    x: tuple[int, ...]
    y: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class Curves:
    """Both panels: seconds, with the limit's, and percent of the limit."""

    x_title: str
    xs: tuple[int, ...]
    times: tuple[Curve, ...]
    shares: tuple[Curve, ...]
    limits: tuple[Curve, ...]


Point = tuple[int, float, float, float]
"""x, y, low, high."""

Height = Callable[[Row], tuple[float, float, float]]
"""y, low and high of a row."""


def curves_of(results: Results) -> Curves:
    """The steps of `results` as lines.

    Raises
    ------
    InvalidInput
        If no step was timed, a network is not given by its widths, or there are too many lines.
    """
    rows = [row for row in results.rows if row.phase == "step" and LEAST_SECONDS < row.median < MOST_SECONDS]
    if not rows:
        raise InvalidInput("nothing to draw: no step was timed")
    sizes = _Sizes(rows)
    shared = [row for row in rows if row.limit_share is not None]
    times = _curves(rows, sizes, _time)
    if len(times) > MOST_CURVES:
        raise InvalidInput(f"cannot draw {len(times):,} lines, at most {MOST_CURVES}: measure fewer engines")
    return Curves(
        x_title=sizes.title,
        xs=tuple(sorted({sizes.x(row) for row in rows})),
        times=times,
        shares=_curves(shared, sizes, _share),
        limits=_limits(shared, sizes),
    )


class _Sizes:
    """The horizontal axis: widths, or batch sizes where the width is the same everywhere."""

    def __init__(self, rows: Sequence[Row]) -> None:
        widths = {row.network: _widths(row.network) for row in rows}
        hidden = all(len(found) > 2 for found in widths.values())
        self._widest = {name: max(found[1:-1] if hidden else found[1:]) for name, found in widths.items()}
        batches = {(row.network, row.batch_size) for row in rows}
        self._by_batch = len(set(self._widest.values())) == 1 and len({size for _, size in batches}) > 1
        self._several_batches = len({size for _, size in batches}) > 1
        self._several_dtypes = len({row.dtype for row in rows}) > 1
        self._lines = {name: name for name in widths} if self._by_batch else self._lines_of(widths)
        self._several_lines = len(set(self._lines.values())) > 1
        width = "widest hidden layer (units)" if hidden else "widest layer (units)"
        self.title = "batch size (samples)" if self._by_batch else width

    def _lines_of(self, widths: Mapping[str, list[int]]) -> dict[str, str]:
        """For each network the line that it is on: that of its like, which differ in their width alone."""
        alike: dict[str, list[str]] = {}
        for name, found in widths.items():
            activations = "".join(dict.fromkeys(re.findall(r"\([^()]*\)", name)))
            alike.setdefault(_like(found) + activations, []).append(name)
        return {
            name: like if 1 < len(names) == len({self._widest[one] for one in names}) else name
            for like, names in alike.items()
            for name in names
        }

    def x(self, row: Row) -> int:
        return row.batch_size if self._by_batch else self._widest[row.network]

    def also(self, row: Row) -> str:
        """What tells rows of one engine apart beside x and dtype."""
        line = f" {shortened(self._lines[row.network])}" if self._several_lines else ""
        return line + f" batch {row.batch_size}" * (self._several_batches and not self._by_batch)

    def dtype(self, row: Row) -> str:
        return f" {row.dtype}" if self._several_dtypes else ""


def _like(widths: list[int]) -> str:
    """What networks of a scaling curve share: depth, and the ends or that all layers are as wide."""
    layers = len(widths) - 1
    if len(set(widths)) == 1:
        return f"{layers} equal layers"
    return f"{widths[0]}-...-{widths[-1]} of {layers} layers" if layers > 1 else f"{widths[0]}-..."


def _widths(network: str) -> list[int]:
    """``784-100(relu)-10`` has 784, 100, 10; as many digits as `Network.from_widths` takes."""
    bare = re.sub(r"\([^()]*\)", "", network)
    if not re.fullmatch(r"[1-9][0-9]{0,12}(-[1-9][0-9]{0,12})+", bare):
        raise InvalidInput(
            f"cannot draw network {shortened(repr(network))}: expected widths, as in 784-100-10"
        )
    return [int(width) for width in bare.split("-")]


def _time(row: Row) -> tuple[float, float, float]:
    low, high = _interval(row)
    return row.median, low, high


def _share(row: Row) -> tuple[float, float, float]:
    """In percent; the shorter the time, the larger the share."""
    share = 100 * min(row.limit_share or 0.0, MOST_SHARE)
    low, high = _interval(row)
    return share, share * (row.median / high), min(share * (row.median / low), 100 * MOST_SHARE)


def _interval(row: Row) -> tuple[float, float]:
    """Above zero and around the median, whatever a file says; the median itself where there is none."""
    low = row.low or row.median
    return max(min(low, row.median), LEAST_SECONDS), min(max(row.high or 0, row.median), MOST_SECONDS)


def _curves(rows: Iterable[Row], sizes: _Sizes, y_of: Height) -> tuple[Curve, ...]:
    points: dict[tuple[str, str, str], list[Point]] = {}
    for row in rows:
        series = str(row.engine) + sizes.also(row)
        points.setdefault((series, row.dtype, series + sizes.dtype(row)), []).append(
            (sizes.x(row), *y_of(row))
        )
    return tuple(_curve(*about, found) for about, found in points.items())


def _limits(rows: Iterable[Row], sizes: _Sizes) -> tuple[Curve, ...]:
    """The limit's seconds, which rows of one network, batch size, dtype and device share."""
    points: dict[tuple[str, str, str], dict[int, Point]] = {}
    for row in rows:
        seconds = min(row.limit_share or 0.0, MOST_SHARE) * row.median
        series = f"limit of {row.device}{sizes.also(row)}"
        about = (series, row.dtype, series + sizes.dtype(row))
        points.setdefault(about, {})[sizes.x(row)] = (sizes.x(row), seconds, seconds, seconds)
    return tuple(_curve(*about, list(found.values())) for about, found in points.items())


def _curve(series: str, dtype: str, name: str, points: list[Point]) -> Curve:
    x, y, low, high = zip(*sorted(points), strict=True)
    return Curve(series, dtype, name, x, y, low, high)
