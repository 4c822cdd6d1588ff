"""The figure: what is drawn, that files are the same each time and refer to nothing, and what is refused."""

import importlib.util
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from crossgrad import InvalidInput
from crossgrad.bench import plot
from crossgrad.bench.curves import MOST_CURVES, curves_of
from crossgrad.bench.plot import _looks, plot_results, require_drawable
from crossgrad.bench.results import Results, Row, Settings

SQUARES = [f"{width}-{width}-{width}" for width in (16, 64, 256)]


def row(**fields: Any) -> Row:
    about = {"network": "784-100-10", "batch_size": 32, "dtype": "float32", "backend": "numpy"}
    about |= {"variant": "manual", "device": "cpu", "phase": "step"}
    times = {"median": 1e-3, "low": 0.9e-3, "high": 1.2e-3, "rounds": 15, "limit_share": 0.5}
    return Row(**{**about, **times, **fields})


def results(*rows: Row, **fields: Any) -> Results:
    about = {"began": "2026-01-01T00:00:00+00:00", "environment": {"cpu": "A processor"}}
    return Results(**{**about, "settings": Settings(min_time=1, rounds=15), "rows": rows, **fields})


def engines(**fields: Any) -> list[Row]:
    return [
        row(backend=backend, variant=variant, **fields)
        for backend, variant in (("numpy", "manual"), ("torch", "eager"))
    ]


MANY = results(*(found for network in SQUARES for found in engines(network=network)))


@pytest.fixture(autouse=True)
def _matplotlib(request: pytest.FixtureRequest) -> None:
    if "without" not in request.node.name:
        pytest.importorskip("matplotlib")


# What is drawn


def test_a_line_for_each_engine_over_the_widest_hidden_width() -> None:
    found = curves_of(MANY)
    assert found.x_title == "widest hidden layer (units)"
    assert found.xs == (16, 64, 256)
    assert [curve.name for curve in found.times] == ["numpy:manual@cpu", "torch:eager@cpu"]
    assert [curve.x for curve in found.times] == [(16, 64, 256)] * 2
    assert [curve.name for curve in found.limits] == ["limit of cpu"]


LINES = {
    "families": (
        ["784-100-10", "784-30-10", "64-64-64", "128-128-128"],
        {"784-...-10 of 2 layers": (30, 100), "2 equal layers": (64, 128)},
    ),
    "alone": (["784-100-10", "1-1-1"], {"784-100-10": (100,), "1-1-1": (1,)}),
    "activations": (
        ["784-100(relu)-10", "784-30-10"],
        {"784-100(relu)-10": (100,), "784-30-10": (30,)},
    ),
    "same-width": (
        ["784-100-10", "10-100-10", "784-100-100-10", "784-100-50-10"],
        {"784-100-10": (100,), "10-100-10": (100,), "784-100-100-10": (100,), "784-100-50-10": (100,)},
    ),
}
"""Networks, and the lines that they are on with their widths."""


@pytest.mark.parametrize(("networks", "lines"), LINES.values(), ids=LINES)
def test_only_networks_that_differ_in_their_width_share_a_line(
    networks: list[str], lines: dict[str, tuple[int, ...]]
) -> None:
    found = curves_of(results(*(row(network=network) for network in networks)))
    assert {curve.name: curve.x for curve in found.times} == {
        f"numpy:manual@cpu {line}": xs for line, xs in lines.items()
    }
    assert {curve.name: curve.x for curve in found.limits} == {
        f"limit of cpu {line}": xs for line, xs in lines.items()
    }


def test_seconds_shares_and_limits() -> None:
    found = curves_of(results(row()))
    (time,), (share,), (limit,) = found.times, found.shares, found.limits
    assert (time.low, time.y, time.high) == ((0.9e-3,), (1e-3,), (1.2e-3,))
    assert share.y == (50,)
    assert share.low == pytest.approx((50 / 1.2,))  # the longer the time, the smaller the share
    assert share.high == pytest.approx((50 / 0.9,))
    assert limit.y == pytest.approx((0.5e-3,))


def test_over_the_batch_size_where_the_width_is_the_same() -> None:
    found = curves_of(results(*(row(batch_size=size) for size in (128, 1, 32))))
    assert found.x_title == "batch size (samples)"
    assert found.times[0].x == (1, 32, 128)


def test_dtypes_batches_and_devices_have_lines_of_their_own() -> None:
    rows = [
        row(network=network, dtype=dtype, batch_size=size, device=device)
        for network in SQUARES
        for dtype in ("float32", "float64")
        for size in (1, 32)
        for device in ("cpu", "cuda")
    ]
    found = curves_of(results(*rows))
    assert len(found.times) == len(found.limits) == 8
    assert "numpy:manual@cuda batch 32 float64" in [curve.name for curve in found.times]
    assert all(curve.x == (16, 64, 256) for curve in found.times)


def test_dtypes_of_one_engine_differ_in_line_and_marker() -> None:
    rows = [row(network=network, dtype=dtype) for network in SQUARES for dtype in ("float32", "float64")]
    one, other = _looks(curves_of(results(*rows)).times)
    assert one["color"] == other["color"]
    assert one["linestyle"] != other["linestyle"]
    assert one["fillstyle"] != other["fillstyle"]


def test_networks_without_a_hidden_layer_have_their_widest() -> None:
    found = curves_of(results(row(network="784-10"), row(network="784-100(relu, no bias)-10")))
    assert (found.x_title, found.xs) == ("widest layer (units)", (10, 100))


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([], "no step was timed"),
        ([row(phase="forward")], "no step was timed"),
        ([row(median=0.0)], "no step was timed"),
        ([row(network="not widths\x1b")], "expected widths, as in 784-100-10"),
        ([row(backend=f"engine{number}") for number in range(MOST_CURVES + 1)], "61 lines, at most 60"),
    ],
    ids=["nothing", "no step", "no time", "no widths", "too many"],
)
def test_what_cannot_be_drawn_is_refused(rows: list[Row], problem: str, tmp_path: Path) -> None:
    path = tmp_path / "figure.svg"
    with pytest.raises(InvalidInput, match=problem):
        plot_results(results(*rows), path)
    assert not path.exists()


# Files


def drawn(path: Path, found: Results = MANY) -> bytes:
    plot_results(found, path)
    return path.read_bytes()


def text_of(svg: str) -> list[str]:
    return ["".join(element.itertext()) for element in ElementTree.fromstring(svg).iter() if element.text]


def test_the_svg_names_axes_units_and_engines(tmp_path: Path) -> None:
    words = text_of(drawn(tmp_path / "figure.svg").decode())
    for expected in (
        "time of a step (median, 95 % interval)",
        "share of the machine's limit (%)",
        "widest hidden layer (units)",
        "numpy:manual@cpu",
        "torch:eager@cpu",
        "limit of cpu",
        "64",
        "crossgrad bench · 2026-01-01 · A processor · batch 32 · float32",
    ):
        assert expected in words
    assert any(word.endswith(("ms", "µs")) for word in words)


def test_without_a_limit_there_is_no_share_of_it(tmp_path: Path) -> None:
    path = tmp_path / "figure.svg"
    plot_results(results(*engines(limit_share=None)), path)
    words = text_of(path.read_text())
    assert "time of a step (median, 95 % interval)" in words
    assert "share of the machine's limit (%)" not in words


@pytest.mark.parametrize("suffix", [".svg", ".html", ".png", ".SVG"])
def test_a_file_is_the_same_each_time(suffix: str, tmp_path: Path) -> None:
    assert drawn(tmp_path / f"one{suffix}") == drawn(tmp_path / f"other{suffix}")


def test_the_png_is_one(tmp_path: Path) -> None:
    assert drawn(tmp_path / "figure.png").startswith(b"\x89PNG\r\n\x1a\n")


def test_the_page_holds_the_figure_and_refers_to_nothing(tmp_path: Path) -> None:
    page = drawn(tmp_path / "figure.html").decode()
    assert page.startswith("<!doctype html>")
    assert "<title>crossgrad bench · 2026-01-01 · A processor · batch 32 · float32</title>" in page
    assert page.count("<svg") == page.count("</svg>") == 1
    for reference in ("<link", "<script", "src=", "@import", ".dtd", "<?xml", 'href="http'):
        assert reference not in page


def test_pyplot_and_the_settings_of_the_caller_are_left_alone(tmp_path: Path) -> None:
    script = (
        "import sys, matplotlib as mpl\n"
        "mpl.rcParams['font.size'] = 31\n"
        "def settings(): return {key: mpl.rcParams[key] for key in mpl.rcParams if key != 'backend'}\n"
        "before = settings()\n"
        "from tests.test_bench_plot import MANY, plot_results\n"
        f"plot_results(MANY, {str(tmp_path / 'figure.svg')!r})\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "assert settings() == before\n"
    )
    root = Path(__file__).parent.parent
    environment = {**os.environ, "PYTHONPATH": str(root)}
    subprocess.run([sys.executable, "-c", script], check=True, cwd=root, env=environment)
    assert (tmp_path / "figure.svg").read_bytes() == drawn(tmp_path / "again.svg")


def test_matplotlib_is_not_imported_before_it_is_needed() -> None:
    script = (
        "import sys, crossgrad.bench.plot, crossgrad.bench.curves; assert 'matplotlib' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


HOSTILE = ["$\\frac{", "_hidden", "\x1b[2J", "<script>", "&amp;", "\u202e", "字", "\ud800", "x" * 3000]


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("suffix", [".html", ".png"])
def test_hostile_names_are_shown_and_obeyed_by_nobody(name: str, suffix: str, tmp_path: Path) -> None:
    found = results(row(backend=name), row(backend="numpy"), environment={"cpu": name})
    content = drawn(tmp_path / f"figure{suffix}", found)
    if suffix == ".html":
        assert b"<script" not in content
        assert b"\x1b" not in content
        page = content.decode()
        ElementTree.fromstring(page[page.index("<svg") : page.index("</svg>") + 6])
    else:
        assert content.startswith(b"\x89PNG")


@given(
    median=st.floats(0, 1e308),
    low=st.none() | st.floats(0, 1e308),
    high=st.none() | st.floats(0, 1e308),
    share=st.none() | st.floats(1e-308, 1e308),
)
@example(median=2.5, low=None, high=None, share=1.8143557707401506e-95)
def test_any_numbers_make_finite_curves(median: float, low: float, high: float, share: float) -> None:
    found = results(row(), row(network="9-9-9", median=median, low=low, high=high, limit_share=share))
    curves = curves_of(found)
    for curve in (*curves.times, *curves.shares, *curves.limits):
        for bottom, y, top in zip(curve.low, curve.y, curve.high, strict=True):
            assert 0 <= bottom <= y <= top < 1e20


@pytest.mark.parametrize(("median", "share"), [(1e-11, 1e308), (1e11, 1e-308), (1e-3, None)])
def test_extremes_are_drawn(median: float, share: float | None, tmp_path: Path) -> None:
    found = results(row(median=median, low=0.0, high=1e300, limit_share=share), row(network="1-999999999-1"))
    assert drawn(tmp_path / "figure.png", found)


# Refusals


@pytest.mark.parametrize("name", ["figure", "figure.pdf", "figure.svg.gz", ".svg", ""])
def test_other_suffixes_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"ends in \.svg or \.png or \.html"):
        require_drawable(tmp_path / name)


def test_unwritable_places_are_refused_before_and_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder.svg").mkdir()
    for path in (tmp_path / "missing" / "figure.svg", tmp_path / "folder.svg", tmp_path / "\0.svg"):
        with pytest.raises(InvalidInput, match=r"cannot (write|read)"):
            plot_results(MANY, path)
    monkeypatch.setattr(plot, "require_drawable", lambda path: None)
    with pytest.raises(InvalidInput, match=r"cannot write .*No such file"):
        plot_results(MANY, tmp_path / "missing" / "figure.svg")


def test_drawing_without_matplotlib_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plot, "find_spec", lambda name: None)
    with pytest.raises(InvalidInput, match=r'pip install "crossgrad\[plot\]"'):
        plot_results(MANY, tmp_path / "figure.svg")
    assert importlib.util.find_spec("crossgrad.bench.plot")
