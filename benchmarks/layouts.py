#!/usr/bin/env python3
"""What each layout of the engines' matrices is worth: a step with it over the same step without.

    python benchmarks/layouts.py [--processes 5] [--rounds 9] [--only jax-turned --output FILE]

Both programs are built in one process, of one framework, and take turns in rounds, on
the CPU. What stays with a process, as where arrays lie, is another matter in each, so that
there are several: a ratio is the median of their rounds' median ratios, with the least and the
most of them. docs/decisions/0007 and 0008 say what the layouts are.
Prints a table and writes ``benchmarks/results/layouts.json``, anew after each case.
"""

import argparse
import json
import os
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

from recorded import command_of, write

RESULT = Path(__file__).parent / "results" / "layouts.json"
ROUND = 0.05
"""Seconds that a program's turn takes at least: of as many calls as it was calibrated to."""

ENGINES = "crossgrad.backends"
NEVER = float("inf")


@dataclass(frozen=True)
class Layout:
    """An engine's way, and what undoes it: names in the engine's modules, and what stands for them."""

    backend: str
    undone: dict[str, Any]
    cases: tuple[tuple[str, int, str], ...]
    """Network, batch size and dtype of each."""

    variant: str = ""
    other: str = ""
    """The variants with the layout and without, if not the default."""


def both(*shapes: tuple[str, int]) -> tuple[tuple[str, int, str], ...]:
    return tuple((*shape, dtype) for shape in shapes for dtype in ("float32", "float64"))


def by_numpy(shape: Any, dtype: Any, order: str = "C") -> Any:
    import numpy as np

    return np.empty(shape, dtype, order=order)


def of_transposed(a: Any, W: Any, b: Any) -> Any:
    return a @ W.T if b is None else a @ W.T + b


def never(*_: Any) -> bool:
    return False


LARGE = "1024-1024-1024-1024"
FEW_OF_WIDE = [
    *(("256-256-256-256", size) for size in (8, 32, 128)),
    ("784-512-256-10", 32),
    ("784-256-10", 32),
    ("256-256-1", 32),
    *((LARGE, size) for size in (8, 32, 128)),
]
LAYOUTS = {
    "numpy-lines": Layout(
        "numpy",
        {f"{ENGINES}.numpy.{module}.empty": by_numpy for module in ("memory", "engine", "backprop")},
        both(("784-100-10", 10), ("256-256-256", 64)),
    ),
    "numpy-transposed": Layout(
        "numpy", {f"{ENGINES}.numpy.multiply.TRANSPOSED_FROM": NEVER}, (("784-100-10", 1024, "float32"),)
    ),
    "numpy-samples": Layout(
        "numpy",
        {f"{ENGINES}.numpy.multiply.WIDE_FROM": NEVER},
        tuple((*shape, "float32") for shape in FEW_OF_WIDE),
    ),
    "jax-rows": Layout(
        "jax",
        {f"{ENGINES}.jax.layout.gains_by_copy": never},
        (("784-100-10", 1024, "float64"), *both((LARGE, 128), (LARGE, 512))),
    ),
    "jax-turned": Layout(
        "jax",
        {f"{ENGINES}.jax.layout.gains_by_turning": never},
        (("784-100-10", 2, "float32"), *both(("784-100-10", 8), (LARGE, 8), (LARGE, 32))),
    ),
    "jax-named": Layout(
        "jax",
        {f"{ENGINES}.jax.network._affine": of_transposed},
        both(("784-100-10", 1), ("256-256-256", 1), (LARGE, 1)),
    ),
    "jax-given": Layout(
        "jax", {f"{ENGINES}.jax.program.GIVEN_AWAY_FROM": NEVER}, both((LARGE, 1), (LARGE, 512))
    ),
    "torch-onednn": Layout(
        "torch",
        {},
        tuple((*shape, "float32") for shape in [("784-100-10", 10), ("784-100-10", 1024), (LARGE, 512)]),
        variant="onednn",
        other="eager",
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", action="append", choices=LAYOUTS, help="repeatable")
    parser.add_argument("--processes", type=int, default=5, help="of each case, one after the other")
    parser.add_argument("--rounds", type=int, default=9, help="of each process")
    parser.add_argument("--output", type=Path, default=RESULT)
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only and options.output == RESULT:
        parser.error(f"--only would leave {RESULT.name} with some of the layouts: name another --output")
    if options.child is not None:
        name, network, batch_size, dtype = options.child
        print(json.dumps(ratios_of(LAYOUTS[name], network, int(batch_size), dtype, options.rounds)))
        return
    del options.child

    from crossgrad.environment import described, environment

    about = {"date": str(date.today()), "command": command_of(options), "load_before": os.getloadavg()[0]}
    about["environment"] = environment(described("numpy", "torch", "jax"))
    rows = []
    for name in options.only or LAYOUTS:
        for case in LAYOUTS[name].cases:
            rows.append(measured(name, *case, options.processes, options.rounds))
            print(line_of(rows[-1]), flush=True)
            write(options.output, about | {"rows": rows})
    print(f"written to {options.output}")


def measured(
    name: str, network: str, batch_size: int, dtype: str, processes: int, rounds: int
) -> dict[str, Any]:
    """The ratio with over without of one case, and the least and the most of its processes."""
    child = ["--child", name, network, str(batch_size), dtype, "--rounds", str(rounds)]
    found = []
    for _ in range(processes):
        command = [sys.executable, __file__, *child]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        found.append(median(json.loads(done.stdout)))
    return {
        **{"layout": name, "network": network, "batch_size": batch_size, "dtype": dtype},
        **{"value": median(found), "low": min(found), "high": max(found)},
    }


def ratios_of(layout: Layout, network: str, batch_size: int, dtype: str, rounds: int) -> list[float]:
    """Each round's time of a step with the layout over that of one without."""
    from crossgrad.backends.registry import load
    from crossgrad.checking import plan_case

    backend, case = load(layout.backend), plan_case(network, dtype, batch_size=batch_size)
    backend.settle(case)

    def stepping(variant: str, undone: dict[str, Any]) -> tuple[Any, Any]:
        with ExitStack() as patches:
            for target, value in undone.items():
                patches.enter_context(patch(target, value))
            program = backend.prepare(case, variant or backend.variants[0], "cpu")
            return program, partial(program.step, program.put(case.parameters, case.batch))

    ours, without = stepping(layout.variant, {}), stepping(layout.other, layout.undone)
    calls = {program: calls_that_fill(program, step) for program, step in (ours, without)}
    found = []
    for number in range(rounds):
        turns = [ours, without] if number % 2 else [without, ours]
        seconds = {program: program.seconds(step, calls[program]) / calls[program] for program, step in turns}
        found.append(seconds[ours[0]] / seconds[without[0]])
    return found


def calls_that_fill(program: Any, step: Any) -> int:
    calls = 1
    while program.seconds(step, calls) < ROUND:
        calls *= 2
    return calls


def line_of(row: dict[str, Any]) -> str:
    case = f"{row['network']}@{row['batch_size']} {row['dtype']}"
    return f"{row['layout']:<17} {case:<32} {row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"


if __name__ == "__main__":
    main()
