#!/usr/bin/env python3
"""Put the committed figures into the pages that show them, and draw a picture.

    python benchmarks/performance.py

Everything between ``<!-- NAME -->`` and ``<!-- end -->`` in ``docs/performance.md``, ``docs/functions.md``
and ``docs/verdict.md`` is made from files in ``benchmarks/results``; the picture is what
``crossgrad bench --load benchmarks/results/scaling.json --plot`` draws. A test holds the pages against
the figures.
"""

import json
import re
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGES = tuple(ROOT / "docs" / name for name in ("performance.md", "functions.md", "verdict.md"))
PICTURE = ROOT / "docs" / "performance.svg"


def main() -> None:
    from crossgrad.bench.plot import plot_results
    from crossgrad.bench.results import read_results

    for path in PAGES:
        path.write_text(page(path.read_text()))
    scaling = RESULTS / "scaling.json"
    plot_results(read_results(scaling.read_bytes(), str(scaling)), PICTURE)
    print("written: " + ", ".join(str(path.relative_to(ROOT)) for path in (*PAGES, PICTURE)))


def page(text: str) -> str:
    """The page with its tables made anew."""
    makers = {
        **{"cores": cores, "memory": memory, "scaling": scaling, "honesty": honesty},
        **{"layouts": layouts, "machine": machine, "functions": functions},
        "verdict": verdict,
    }

    def made(found: re.Match[str]) -> str:
        name = found.group(1)
        return f"<!-- {name} -->\n{makers[name]()}\n<!-- end -->"

    return re.sub(r"<!-- (\w+) -->\n.*?<!-- end -->", made, text, flags=re.DOTALL)


def machine() -> str:
    """Where the figures were made."""
    found = results("cores")
    about = found["environment"]
    versions = ", ".join(
        f"{name} {told['version']}{library(told)}" for name, told in about["backends"].items()
    )
    return (
        f"{found['date']}: {about['cores']} cores of an {about['cpu']}, {about['system']}, "
        f"Python {about['python']}, {versions}."
    )


def library(told: dict[str, Any]) -> str:
    """The matrix library of an engine, and whose kernels it runs."""
    words = [told.get("blas"), "kernels" in told and f"{told['kernels']} kernels"]
    known = ", ".join(word for word in words if word)
    return f" ({known})" if known else ""


def cores() -> str:
    """Each engine beside raw code of its framework, and beside the fastest pure products."""
    head = ["network @ batch", "dtype", "products", "engine", "step"]
    rows = [[*head, "over raw code", "over products", "over own products"]]
    for case in results("cores")["cases"]:
        fastest = case["fastest_products"]
        for name, found in case["engines"].items():
            rows.append(
                [
                    case["shape"],
                    case["dtype"],
                    seconds(case["seconds"][fastest]),
                    name,
                    seconds(case["seconds"][name]),
                    ratio(found["over_raw"]),
                    ratio(found["over_products"]),
                    "-" if found["over_own_products"] is None else ratio(found["over_own_products"]),
                ]
            )
    return table(rows)


def memory() -> str:
    """Peak memory of a step over the raw code's, where that tells something."""
    cases = results("cores")["cases"]
    engines = max((list(case["engines"]) for case in cases), key=len)
    rows = [["network @ batch", "dtype", *engines]]
    for case in cases:
        found = [case["engines"].get(name, {}).get("memory_over_raw") for name in engines]
        if any(value is not None for value in found):
            shown = ["-" if value is None else f"{value:.3f}" for value in found]
            rows.append([case["shape"], case["dtype"], *shown])
    return table(rows)


def scaling() -> str:
    """Shares of the machine's limit, and of the own library's products, by width."""
    from crossgrad.bench.results import framework_of
    from crossgrad.bench.statistics import middles_of

    found = results("scaling")
    steps = [row for row in found["rows"] if row["phase"] == "step"]
    own = {
        (told["network"], framework_of(told["engine"])): median(middles_of(told["step"], told["processes"]))
        for told in found["yardsticks"]
    }
    engines = list(dict.fromkeys(_engine(row) for row in steps))
    cells: dict[str, dict[str, str]] = {}
    for row in steps:
        shares = [row["limit_share"], own.get((row["network"], row["backend"]), 0) / row["median"]]
        told = [f"{100 * share:.0f} %" if share else "-" for share in shares]
        network = f"{row['network']} @ {row['batch_size']}"
        cells.setdefault(network, {})[_engine(row)] = ", ".join([seconds(row["median"]), *told])
    lines = [[network, *(told.get(name, "-") for name in engines)] for network, told in cells.items()]
    return table([["network @ batch", *engines], *lines])


def _engine(row: dict[str, Any]) -> str:
    return f"{row['backend']}:{row['variant']}@{row['device']}"


def layouts() -> str:
    """What each layout is worth, where."""
    rows = [["layout", "network @ batch", "dtype", "a step with it over one without"]]
    for row in results("layouts")["rows"]:
        rows.append([row["layout"], f"{row['network']} @ {row['batch_size']}", row["dtype"], ratio(row)])
    return table(rows)


def honesty() -> str:
    """An engine against itself, and against itself slowed down."""
    found = results("honesty")
    rows = [["compared", "", "pairs", "median ratio", "called slower", "unsure"]]
    names = {
        "same": "an engine with itself",
        "slower": f"with {100 * found['planted']:.0f} % added to each step",
    }
    for how, where in (("within_a_run", "in one run"), ("between_runs", "in two runs")):
        for what, name in names.items():
            one = found[how][what]
            verdicts = [one["verdicts"].get(verdict, 0) for verdict in ("slower", "unsure")]
            rows.append([name, where, one["runs"], f"{one['median_ratio']:.3f}", *verdicts])
    equal = found["between_runs"]["equal_phases"]
    verdicts = [equal.get(verdict, 0) for verdict in ("slower", "unsure")]
    rows.append(["other phases, which are equal", "in two runs", sum(equal.values()), "-", *verdicts])
    return table(rows)


def functions() -> str:
    """How well functions of which nothing is known are told apart."""
    found, apart = results("functions"), results("blames")
    labels = {
        "detected": "faults that count and are found",
        "blamed_of_two": "of these, blamed beside one right function",
        "own_losses": "of these, the gradient of a loss of their own",
        "blamed_where_one_is_right": "the others, blamed beside one right function",
        "wrongly_blamed_of_two": "the right one blamed",
        "blamed_of_more": "blamed beside two right ones",
        "false_alarms": "right functions called wrong",
        "undecidable": "quantities of these that are undecidable",
    }
    dtypes = found["dtypes"]
    rows = [["", *dtypes]]
    for key, label in labels.items():
        rows.append([label, *(share(dtypes[dtype][key]) for dtype in dtypes)])
    about = (
        f"Every fault that applies on {found['cases']} random networks a dtype, "
        f"seeds from {found['seed']:,}; 95 % intervals (Wilson). "
        f"Of {apart['pairs']:,} pairs of functions that are right for two different losses "
        f"(`benchmarks/blames.py`), in {len(apart['blamed'])} one was called wrong."
    )
    return f"{table(rows)}\n\n{about}"


def verdict() -> str:
    """How often the verdict is wrong about planted faults, and about right engines."""
    dtypes = results("verdict-threads-1")["dtypes"]
    labels = {
        "detected": "faults that count and are found",
        "placed": "of these, placed where they enter",
        "recognised": "of the recognisable, diagnosed",
        "false_alarms": "right runs called wrong",
        "undecidable": "quantities of right runs that are undecidable",
    }
    lines = [[label, *(share(told[key]) for told in dtypes.values())] for key, label in labels.items()]
    return table([["", *dtypes], *lines])


def share(found: dict[str, float]) -> str:
    if not found["of"]:
        return "-"
    low, high = 100 * found["low"], 100 * found["high"]
    return f"{found['hits']:,} of {found['of']:,} ({low:.2f} to {high:.2f} %)"


def results(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text())


def ratio(found: dict[str, Any]) -> str:
    return f"{found['value']:.3f} ({found['low']:.3f} to {found['high']:.3f})"


def seconds(value: float) -> str:
    from crossgrad.bench.text import seconds_text

    return seconds_text(value)


def table(rows: list[list[Any]]) -> str:
    header, *lines = [[str(cell) for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [header, ["---"] * len(header), *lines])


if __name__ == "__main__":
    main()
