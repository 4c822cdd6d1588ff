"""The figure for the README: what each checker misses, and what it wrongly rejects."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .figures import label

COLOURS = {"float64": "#1b6ca8", "float32": "#d1495b", "bfloat16": "#66a182", "float16": "#edae49"}
PANELS = (
    ("wrong steps missed, %", "detected_of_visible", True),
    ("correct runs rejected, %", "false_alarms", False),
)


def draw(result: dict[str, Any], path: Path) -> bool:
    """Write the figure as SVG, if matplotlib is installed."""
    if find_spec("matplotlib") is None:
        return False
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "peers", "font.size": 9}
    checkers = result["checkers"][::-1]
    dtypes = result["dtypes"]
    figure = Figure(figsize=(9.5, 0.42 * len(checkers) + 1.3), facecolor="white", layout="constrained")
    for axes, (title, key, missed) in zip(figure.subplots(1, 2, sharey=True), PANELS, strict=True):
        for row, checker in enumerate(checkers):
            for place, dtype in enumerate(dtypes):
                figures = checker["dtypes"].get(dtype)
                if figures is None or not figures[key]["of"]:
                    continue
                at = row + 0.18 * ((len(dtypes) - 1) / 2 - place)
                share, low, high = (100 * figures[key][name] for name in ("share", "low", "high"))
                if missed:
                    share, low, high = 100 - share, 100 - high, 100 - low
                axes.plot([low, high], [at, at], color=COLOURS.get(dtype, "grey"), linewidth=1.2)
                axes.plot(share, at, "o", color=COLOURS.get(dtype, "grey"), markersize=4)
        axes.set_title(title, fontsize=10)
        axes.set_xlim(-2, 102)
        axes.grid(axis="x", color="#dddddd")
        axes.set_axisbelow(True)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.set_yticks(range(len(checkers)), [label(checker) for checker in checkers])
        for row in range(1, len(checkers)):
            axes.axhline(row - 0.5, color="#eeeeee", linewidth=0.8)
    handles = [
        mpl.lines.Line2D([], [], color=COLOURS.get(d, "grey"), marker="o", markersize=4, label=d)
        for d in dtypes
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(dtypes), frameon=False)
    figure.savefig(path, format="svg", metadata={"Date": None})
    return True
