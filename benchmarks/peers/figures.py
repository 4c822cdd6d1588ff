"""From trials to figures: the JSON document, the table on screen, the table for the README."""

from collections.abc import Sequence
from datetime import date
from statistics import fmean
from typing import Any

from crossgrad.environment import described, environment
from crossgrad.selftest import share_with_interval

from .checker import REIMPLEMENTED, Checker, installed_version
from .trials import Trial

SCHEMA = "crossgrad.peers/1"
STAGES = ("forward", "loss", "backward", "element", "update", "precision")


def document(
    trials: Sequence[Trial],
    checkers: Sequence[Checker],
    dtypes: Sequence[str],
    settings: dict[str, Any],
    failures: Sequence[str],
) -> dict[str, Any]:
    """Everything that is published, as JSON."""
    return {
        "schema": SCHEMA,
        "date": date.today().isoformat(),
        **settings,
        "environment": environment(described("numpy", "torch", "jax")),
        "packages": {
            name: installed_version(name)
            for name in ("numpy", "torch", "jax", "jaxlib", "chex", "python-flint", "ml_dtypes")
        },
        "engines_that_failed": list(failures),
        "checkers": [
            {
                "name": checker.name,
                "made": checker.made,
                "version": checker.version(),
                "rule": checker.rule,
                "sees": sorted(checker.sees),
                "names_engine": checker.names_engine,
                "names_place": checker.names_place,
                "dtypes": {
                    dtype: _figures(
                        [t for t in trials if (t.checker, t.dtype) == (checker.name, dtype)], checker
                    )
                    for dtype in dtypes
                    if dtype in checker.dtypes
                },
            }
            for checker in checkers
        ],
    }


def _figures(trials: Sequence[Trial], checker: Checker) -> dict[str, Any]:
    mutants = [t for t in trials if t.stage is not None]
    visible = [t for t in mutants if t.moved & checker.sees]
    correct = [t for t in trials if t.stage is None]
    alarmed = {t.seed for t in correct if not t.accepted}
    missed = [t for t in visible if t.accepted]
    return {
        "cases": len({t.seed for t in trials}),
        "detected_of_all": _share([not t.accepted for t in mutants]),
        "detected_of_visible": _share([not t.accepted for t in visible]),
        "vanished_of_visible": sum(not t.differs & checker.sees for t in visible),
        "detected_of_visible_by_stage": {
            stage: _share([not t.accepted for t in visible if t.stage == stage])
            for stage in STAGES
            if any(t.stage == stage for t in visible)
        },
        "told_apart": _share([not t.accepted and t.seed not in alarmed for t in visible]),
        "false_alarms": _share([not t.accepted for t in correct]),
        "false_alarms_by_engine": {
            run: _share([not t.accepted for t in correct if t.run == run])
            for run in dict.fromkeys(t.run for t in correct)
        },
        "ms": {
            "preparing": _milliseconds([t.preparing for t in correct if t.small]),
            "judging_right_run": _milliseconds([t.judging for t in correct if t.small]),
            "judging_wrong_run": _milliseconds([t.judging for t in mutants if t.small]),
        },
        "missed": [[t.run, t.seed] for t in missed] if len(missed) <= 20 else len(missed),
        "alarmed_seeds": sorted(alarmed) if len(alarmed) <= 20 else len(alarmed),
    }


def _milliseconds(seconds: Sequence[float]) -> float | None:
    return round(1e3 * fmean(seconds), 3) if seconds else None


def _share(hits: Sequence[bool]) -> dict[str, Any]:
    share, low, high = share_with_interval(sum(hits), len(hits))
    return {
        "hits": sum(hits),
        "of": len(hits),
        "share": round(share, 6) if hits else None,
        "low": round(low, 6),
        "high": round(high, 6),
    }


def text(result: dict[str, Any]) -> str:
    """The whole matrix, a table a dtype."""
    lines = []
    for dtype in result["dtypes"]:
        lines += [
            f"{dtype:<36}{'of what it sees':>25}{'of all':>10}{'told':>10}{'false alarms':>20}"
            f"{'ms: before':>14}{'right':>8}{'wrong':>8}  names",
        ]
        for checker in result["checkers"]:
            figures = checker["dtypes"].get(dtype)
            if figures is None:
                continue
            seen, alarms = figures["detected_of_visible"], figures["false_alarms"]
            interval = f"({100 * seen['low']:.1f}-{100 * seen['high']:.1f})"
            lines.append(
                f"{label(checker):<36}{_percent(seen['share']):>10} {interval:>14}"
                f"{_percent(figures['detected_of_all']['share']):>10}"
                f"{_percent(figures['told_apart']['share']):>10}"
                f"{_alarms(alarms):>11}{_percent(alarms['share']):>9}"
                f"{figures['ms']['preparing'] or 0:>14.1f}{figures['ms']['judging_right_run'] or 0:>8.1f}"
                f"{figures['ms']['judging_wrong_run'] or 0:>8.1f}  {_named(checker)}"
            )
        lines.append("")
    return "\n".join(lines)


def markdown(result: dict[str, Any]) -> str:
    """The README's table: what a checker finds of what it sees, and its false alarms, by dtype."""
    dtypes = result["dtypes"]
    head = ["checker", *dtypes, "ms", "names the culprit", "and the place"]
    lines = [_row(head), _row(["---", *["---:"] * (len(dtypes) + 1), "---", "---"])]
    for checker in result["checkers"]:
        figures = [checker["dtypes"].get(dtype) for dtype in dtypes]
        first = next((f for f in figures if f), None)
        if first is None:
            continue
        cells = [
            "-"
            if f is None
            else f"{_percent(f['detected_of_visible']['share'])} / {_percent(f['false_alarms']['share'])}"
            for f in figures
        ]
        ms = (first["ms"]["preparing"] or 0) + (first["ms"]["judging_right_run"] or 0)
        lines.append(
            _row(
                [
                    label(checker).replace("*", "\\*"),
                    *cells,
                    f"{ms:.1f}",
                    _yes(checker["names_engine"]),
                    _yes(checker["names_place"]),
                ]
            )
        )
    return "\n".join([*lines, "", _caption(result), ""])


def label(checker: dict[str, Any]) -> str:
    return checker["name"] + " *" * (checker["made"] == REIMPLEMENTED)


def _caption(result: dict[str, Any]) -> str:
    first = result["checkers"][0]["dtypes"]
    wrong = ", ".join(f"{f['detected_of_all']['of']:,} in {dtype}" for dtype, f in first.items())
    right = ", ".join(f"{f['false_alarms']['of']:,} in {dtype}" for dtype, f in first.items())
    packages = ", ".join(f"{name} {version}" for name, version in result["packages"].items() if version)
    return (
        "In each cell: wrong steps found / right steps rejected; what rejects right steps finds wrong ones "
        f"for nothing. Wrong: {wrong}; right: {right}; all on random networks, seeds from {result['seed']}, "
        f"{result['date']}. A wrong step counts for a checker if its exact error exceeds rounding noise in "
        "something that the checker looks at: peers look at the loss and the gradients (gradcheck and "
        "check_grads at the gradients), crossgrad at every quantity unless the row says less. ms: the mean "
        "for one right step, in the first dtype of the row, with what the checker needs first: the second "
        f"engine, the oracle, a compilation. Defaults throughout; {packages}; one thread of "
        f"{result['environment']['cpu']}. \\* re-implemented from its source, which peers.json names."
    )


def _alarms(share: dict[str, Any]) -> str:
    return f"{share['hits']} of {share['of']}"


def _percent(share: float | None) -> str:
    """Rounded down where it would read 100 % and is not."""
    if share is None:
        return "-"
    percent = f"{100 * share:.1f} %"
    if share < 1 and percent == "100.0 %":
        return f"{int(1e4 * share) / 100:.2f} %"
    return percent


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _named(checker: dict[str, Any]) -> str:
    return "engine, place" if checker["names_place"] else "engine" if checker["names_engine"] else "-"


def _yes(is_so: bool) -> str:
    return "yes" if is_so else "no"
