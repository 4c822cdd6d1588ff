"""Results as a figure: the step's time, and its share of the machine's limit, over the network's size.

Matplotlib is imported where it is needed, and its global state (pyplot,
rcParams) is left as it is found: a caller's own figures are not touched.
What is drawn is decided in `curves`, without it.
"""

import io
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import escape
from ..networks.errors import InvalidInput, shortened
from ..networks.files import reason_of, require_writable, written_whole
from .curves import Curve, Curves, curves_of
from .results import Results
from .statistics import coverage

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES = (".svg", ".png", ".html")
WIDTH, HEIGHT, LEGEND_LINE = 8.5, 3.9, 0.19
"""Inches: of the figure, without its legend, and of a line of that."""

LEGEND_WIDTH = 118
"""Characters."""

DPI = 160

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Told apart with every kind of colour blindness: Okabe and Ito's (Wong 2011, Nature Methods 8:441)."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
"""Beside the colours, for print without any."""

STYLES: tuple[Any, ...] = ("-", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
FILLS: tuple[Any, ...] = ("full", "none", "left", "bottom")
"""A dtype each, in turn: lines and markers, as two lines that lie close show their markers alone."""

LIMIT_COLOUR = "#666666"
LIMIT_STYLES: tuple[Any, ...] = ((0, (5, 3)), (0, (2, 2)), (0, (8, 3)), (0, (1, 3)))

LIMIT_MARKERS = ("_", "x", "+", "1")
"""Of limits of one size alone, where no line tells them apart."""

RC: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "crossgrad",
    "text.parse_math": False,
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def require_drawable(path: str | Path) -> None:
    """Find out before an hour of measuring what could not be drawn after it.

    Raises
    ------
    InvalidInput
        If the suffix is unknown, Matplotlib is missing, or no file can be made there.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise InvalidInput(
            f"cannot draw {shortened(path)}: expected a name that ends in {' or '.join(SUFFIXES)}"
        )
    if find_spec("matplotlib") is None:
        raise InvalidInput('drawing needs Matplotlib: pip install "crossgrad[plot]"')
    require_writable(path)


def plot_results(results: Results, path: str | Path) -> None:
    """Draw the steps of `results` as an .svg, .png or .html file.

    Parameters
    ----------
    path
        An HTML file holds the figure itself, and refers to nothing outside.

    Raises
    ------
    InvalidInput
        As `require_drawable`; or if there is nothing to draw, or the file cannot be written.
    """
    require_drawable(path)
    path = Path(path)
    content = _rendered(results, curves_of(results), path.suffix.lower())
    try:
        with written_whole(path) as file:
            file.write_bytes(content)
    except (OSError, ValueError) as error:  # ValueError: no file can have this name
        raise InvalidInput(f"cannot write {path}: {reason_of(error)}") from None


def _rendered(results: Results, curves: Curves, suffix: str) -> bytes:
    import matplotlib as mpl

    title = _title(results)
    buffer = io.BytesIO()
    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcdefaults()  # not what the user's matplotlibrc says
        mpl.rcParams.update(RC)
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # a name may hold any character
        steps = (row for row in results.rows if row.phase == "step")
        figure = _figure(curves, title, coverage(steps))
        if suffix == ".png":
            figure.savefig(buffer, format="png", dpi=DPI)
            return buffer.getvalue()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Title": title})
    return buffer.getvalue() if suffix == ".svg" else _html(buffer.getvalue().decode(), title).encode()


def _title(results: Results) -> str:
    cpu = results.environment.get("cpu")
    parts = ["crossgrad bench", results.began[:10], cpu if isinstance(cpu, str) else "", *_common(results)]
    return " · ".join(shortened(escape.terminal(part)) for part in parts if part)


def _common(results: Results) -> Iterator[str]:
    """What all steps have in common, and no line or axis tells."""
    steps = [row for row in results.rows if row.phase == "step"]
    for told in ("{0.network}", "batch {0.batch_size}", "{0.dtype}"):
        found = {told.format(row) for row in steps}
        if len(found) == 1:
            yield from found


def _figure(curves: Curves, title: str, covered: str) -> "Figure":
    from matplotlib.figure import Figure

    names = [_shown(curve.name) for curve in (*curves.times, *curves.limits)]
    columns = max(1, min(4, LEGEND_WIDTH // (max(map(len, names)) + 7)))
    height = HEIGHT + LEGEND_LINE * ceil(len(names) / columns)
    figure = Figure(figsize=(WIDTH, height), facecolor="white", layout="constrained")
    figure.suptitle(title, fontsize=9, color="#444444")
    times, *shares = figure.subplots(1, 2 if curves.shares else 1, squeeze=False)[0]
    _draw(times, curves.times, curves.limits)
    times.set_ylabel(f"time of a step (median, {covered} interval)")
    _time_ticks(times)
    for axes in shares:
        _draw(axes, curves.shares, ())
        axes.set_ylabel("share of the machine's limit (%)")
        _share_limits(axes, curves)
    for axes in (times, *shares):
        axes.set_xlabel(curves.x_title)
        _x_ticks(axes, curves.xs)
        axes.grid(color="#e4e4e4", linewidth=0.6)
        axes.set_axisbelow(True)
    handles = dict(zip(*reversed(times.get_legend_handles_labels()), strict=True))
    figure.legend(
        [handles[name] for name in names], names,
        loc="outside lower center", ncols=columns, frameon=False,
    )  # fmt: skip
    return figure


def _draw(axes: "Axes", curves: Sequence[Curve], limits: Sequence[Curve]) -> None:
    for curve, look in zip(curves, _looks(curves), strict=True):
        spread = [
            [y - low for y, low in zip(curve.y, curve.low, strict=True)],
            [high - y for y, high in zip(curve.y, curve.high, strict=True)],
        ]
        axes.errorbar(
            curve.x, curve.y, yerr=spread, label=_shown(curve.name), **look,
            markersize=4.5, linewidth=1.4, elinewidth=1.0, capsize=2.5,
        )  # fmt: skip
    for number, limit in enumerate(limits):
        style = LIMIT_STYLES[number % len(LIMIT_STYLES)]
        marker = LIMIT_MARKERS[number % len(LIMIT_MARKERS)] if len(limit.x) == 1 else ""
        axes.plot(
            limit.x, limit.y, color=LIMIT_COLOUR, linestyle=style, linewidth=1.2,
            marker=marker, markersize=16, label=_shown(limit.name),
        )  # fmt: skip


def _looks(curves: Sequence[Curve]) -> Iterable[dict[str, Any]]:
    """Colour and marker by series, the line and what of the marker is filled by dtype."""
    series = list(dict.fromkeys(curve.series for curve in curves))
    dtypes = list(dict.fromkeys(curve.dtype for curve in curves))
    for curve in curves:
        number = series.index(curve.series)
        yield {
            "color": COLOURS[number % len(COLOURS)],
            "marker": MARKERS[(number + number // len(COLOURS)) % len(MARKERS)],
            "linestyle": STYLES[dtypes.index(curve.dtype) % len(STYLES)],
            "fillstyle": FILLS[dtypes.index(curve.dtype) % len(FILLS)],
        }


def _shown(name: str) -> str:
    """A legend leaves out what begins with an underscore."""
    return escape.terminal(f" {name}" if name.startswith("_") else name)


def _time_ticks(axes: "Axes") -> None:
    """Seconds with the unit that suits; within two decades 2 and 5 as well."""
    from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

    axes.set_yscale("log", nonpositive="mask")
    low, high = axes.get_ylim()
    if high < 10 * low:
        axes.set_ylim(low / 1.5, high * 1.5)
        low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 300 * low else (1.0,)))
    axes.yaxis.set_major_formatter(EngFormatter(unit="s"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _share_limits(axes: "Axes", curves: Curves) -> None:
    """From nothing to the limit, or beyond it where noise goes there."""
    highest = max([100.0, *(high for curve in curves.shares for high in curve.high)])
    axes.set_ylim(0, 1.05 * highest)
    axes.axhline(100, color=LIMIT_COLOUR, linestyle=LIMIT_STYLES[0], linewidth=1.2)


def _x_ticks(axes: "Axes", xs: Sequence[int]) -> None:
    """The sizes themselves, as far as they do not run into each other."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    axes.set_xscale("log")
    low, high = xs[0] / 1.3, xs[-1] * 1.3
    axes.set_xlim(low, high)
    apart = (high / low) ** 0.08
    kept = [xs[-1]]
    for x in reversed(xs[:-1]):
        if x * apart <= kept[-1]:
            kept.append(x)
    axes.xaxis.set_major_locator(FixedLocator(kept))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))


def _html(svg: str, title: str) -> str:
    """A page with the figure in it, without the XML declaration and the reference to a DTD elsewhere."""
    figure = re.sub(r"\A.*?(?=<svg\b)", "", svg, flags=re.DOTALL)
    name = escape.html(title)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{name}</title>\n'
        "<style>body { margin: 1rem; } svg { max-width: 100%; height: auto; }</style>\n</head>\n<body>\n"
        f'<div role="img" aria-label="{name}">\n{figure}</div>\n</body>\n</html>\n'
    )
