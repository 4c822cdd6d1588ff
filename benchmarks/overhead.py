#!/usr/bin/env python3
"""What ``crossgrad.compare_gradients`` adds to running the functions that it is given.

    python benchmarks/overhead.py [--rounds 20]

A network of 784-30-10 (23,860 parameters) at batch 10 in float32, its gradient
by hand in NumPy, and its loss in PyTorch and in JAX. In each comparison every
function runs twelve times: twice in float32, twice in float64, eight times in
float64 with random roundings. All of it is timed where the comparison enters a
framework (``crossgrad.functions.frameworks.*.Runnable.run``), which hands the
arrays over, calls the function, differentiates, and waits for the result; this
belongs to the function. All else is crossgrad's: arguments, their random
errors, estimates of noise, judging, the report.

``overhead_seconds`` counts reruns with their operations intercepted as the
function's. ``overhead_with_interception_seconds`` counts of each such rerun
only as much as a run in float64 takes that is not intercepted (the faster of
the comparison's own two: in the other JAX compiles what NumPy does not do for
it); the rest, the drawing and the frameworks' detour by Python at each
operation, is crossgrad's too. Medians over rounds, in one thread, in which the
pairs take turns. Writes ``benchmarks/results/overhead.json``.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

from recorded import write

RESULT = Path(__file__).parent / "results" / "overhead.json"
NETWORK, BATCH_SIZE, DTYPE = "784-30-10", 10, "float32"
PAIRS = (("torch", "numpy"), ("torch", "jax"))


@dataclass(frozen=True)
class Call:
    """One entry into a framework."""

    framework: str
    is_wide: bool
    is_intercepted: bool
    seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"  # read when numpy and torch are imported

    from crossgrad.environment import described, environment

    comparisons = {pair: comparison(pair) for pair in PAIRS}
    for compare in comparisons.values():
        compare()  # first calls import and compile
    found: dict[Any, list[dict[str, float]]] = {pair: [] for pair in PAIRS}
    for _ in range(rounds):
        for pair, compare in comparisons.items():
            found[pair].append(timed(compare))
    rows = [row(pair, measured) for pair, measured in found.items()]
    document = {
        "date": str(date.today()),
        "environment": environment(described("numpy", "torch", "jax")),
        "network": NETWORK,
        "batch_size": BATCH_SIZE,
        "dtype": DTYPE,
        "rounds": rounds,
        "pairs": rows,
    }
    write(RESULT, document)
    for found_row in rows:
        print("  ".join(f"{k} {v:.4f}" if isinstance(v, float) else f"{k} {v}" for k, v in found_row.items()))
    print(f"written to {RESULT}")


def comparison(pair: tuple[str, str]) -> Callable[[], Any]:
    """A call that compares the gradients of two frameworks, ready to be timed."""
    import crossgrad
    from crossgrad.checking import plan_case

    case = plan_case(NETWORK, DTYPE, batch_size=BATCH_SIZE)
    args = [tuple(pair) for pair in case.parameters], case.batch.x, case.batch.y
    functions = [wrapped(framework, case) for framework in pair]
    return lambda: crossgrad.compare_gradients(*functions, args=args)


def wrapped(framework: str, case: Any) -> Any:
    """The network as a function of a framework, as its user would write it."""
    import crossgrad
    from crossgrad.functions import textbook

    if framework == "numpy":
        return crossgrad.gradient(textbook.numpy_gradient(case), "numpy", "by hand")
    write = textbook.torch_loss if framework == "torch" else textbook.jax_loss
    return crossgrad.loss(write(case), framework, framework)


def timed(compare: Callable[[], Any]) -> dict[str, float]:
    """Seconds of one comparison, and of what is not its functions'."""
    calls: list[Call] = []
    with entries_timed(calls):
        start = time.perf_counter()
        report = compare()
        total = time.perf_counter() - start
    if report.verdict != "agree":
        raise RuntimeError(f"not what is to be timed:\n{report}")
    entered = sum(call.seconds for call in calls)
    undisturbed = {
        name: min(c.seconds for c in calls if c.framework == name and c.is_wide and not c.is_intercepted)
        for name in {call.framework for call in calls}
    }
    intercepting = sum(c.seconds - undisturbed[c.framework] for c in calls if c.is_intercepted)
    return {
        "total_seconds": total,
        "functions_seconds": entered,
        "overhead_seconds": total - entered,
        "overhead_with_interception_seconds": total - entered + intercepting,
        "runs": float(len(calls)),
    }


@contextmanager
def entries_timed(calls: list[Call]) -> Iterator[None]:
    """Write down each call of a framework's ``run``."""
    import numpy as np

    from crossgrad.functions.frameworks import jax, numpy, torch

    kinds = {"jax": jax.Runnable, "numpy": numpy.Runnable, "torch": torch.Runnable}
    kept = {name: kind.run for name, kind in kinds.items()}

    def watching(name: str, run: Callable[..., Any]) -> Callable[..., Any]:
        def watched(self: Any, values: Any, noise: Any, instead_of: Any) -> Any:
            start = time.perf_counter()
            result = run(self, values, noise, instead_of)
            seconds = time.perf_counter() - start
            is_wide = all(value.dtype == np.float64 for value in values.values())
            calls.append(Call(name, is_wide, noise is not None, seconds))
            return result

        return watched

    try:
        for name, kind in kinds.items():
            kind.run = watching(name, kept[name])
        yield
    finally:
        for name, kind in kinds.items():
            kind.run = kept[name]


def row(pair: tuple[str, str], measured: list[dict[str, float]]) -> dict[str, Any]:
    return {"functions": " and ".join(pair)} | {
        name: median(found[name] for found in measured) for name in measured[0]
    }


if __name__ == "__main__":
    main()
