"""The selftest's figures as tables."""

from collections.abc import Mapping, Sequence
from typing import Any

from .selftest import Trial
from .tables import render_table


def selftest_text(trials: Sequence[Trial], figures: Mapping[str, Any]) -> str:
    """The selftest's matrix, mutants by dtype, and its figures with their intervals."""
    dtypes = list(figures["dtypes"])
    rows = []
    for name in dict.fromkeys(t.mutant for t in trials):
        counted = {d: [t for t in trials if (t.mutant, t.dtype) == (name, d) and t.counts] for d in dtypes}
        cells = [
            f"{sum(t.detected for t in found)}/{len(found)}" if found else "-" for found in counted.values()
        ]
        rows.append([name, *cells])
    matrix = render_table("detected of those that count, by mutant", ["mutant", *dtypes], rows)
    labels = {
        "detected": "mutants that count and are detected",
        "placed": "of these, placed where the error enters",
        "recognised": "of the recognisable, diagnosed right",
        "blamed_of_two": "blamed, beside one right function",
        "own_losses": "that are right for a loss of their own",
        "blamed_where_one_is_right": "the others, blamed beside one right function",
        "wrongly_blamed_of_two": "the right function blamed",
        "blamed_of_more": "blamed, beside all right functions",
        "false_alarms": "correct runs called wrong",
        "undecidable": "quantities undecidable in correct runs",
    }
    known = figures["dtypes"]
    rows = [
        [label, *(_share_text(known[d][key]) for d in dtypes)]
        for key, label in labels.items()
        if key in known[dtypes[0]]
    ]
    rows.append(
        ["largest share of the floor in correct runs"]
        + [f"{known[d]['largest_share_of_floor']:.2f}" for d in dtypes]
    )
    return matrix + render_table("figures, with 95 % confidence intervals", ["", *dtypes], rows)


def _share_text(share: Mapping[str, Any]) -> str:
    if not share["of"]:
        return "-"
    low, high = 100 * share["low"], 100 * share["high"]
    return f"{share['hits']}/{share['of']} = {100 * share['share']:.2f} %\n({low:.2f} to {high:.2f} %)"
