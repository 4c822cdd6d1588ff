#!/usr/bin/env python3
"""What a verdict costs: time beside the NumPy engine's own step in float64, memory beside the case.

    python benchmarks/judging.py [--rounds 15]

``step`` is one float64 step of the NumPy engine; ``consult`` finds the true
values and the rounding floor of a float32 case (oracle float64), ``judge``
holds one engine's quantities against them; rounds interleave the three.
``memory`` is the peak of consult and judge, by tracemalloc, over the bytes of
the case in its own float32: parameters, x, and z and a of each layer; and, in
``with derivatives``, dz and da too, which the oracle follows like them. ``certify`` is the oracle arb on
float64 cases, beside torch's gradcheck where that ends in reasonable time.
Writes ``benchmarks/results/judging.json``.
"""

import argparse
import time
import tracemalloc
from collections.abc import Callable
from datetime import date
from pathlib import Path
from statistics import median

import numpy as np
from recorded import write

from crossgrad.backends.registry import load
from crossgrad.checking import plan_case
from crossgrad.environment import described, environment
from crossgrad.networks.cases import Case
from crossgrad.oracle import Oracle, consult
from crossgrad.verdict import judge

RESULT = Path(__file__).parent / "results" / "judging.json"
JUDGED = [("784-100-10", 32), ("1024-1024-1024", 32), ("1024-1024-1024", 512)]
CERTIFIED = [("784-30-10", 10), ("784-100-10", 32), ("1024-1024-1024", 32)]
GRADCHECKED = CERTIFIED[:1]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    judged = [judging(plan_case(network, "float32", batch_size=size), rounds) for network, size in JUDGED]
    certified = [certifying(network, size) for network, size in CERTIFIED]
    found = {
        "date": str(date.today()),
        "environment": environment(described("numpy", "torch")),
        "judged": judged,
        "certified": certified,
    }
    write(RESULT, found)
    for row in judged + certified:
        print("  ".join(f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()))
    print(f"written to {RESULT}")


def judging(case: Case, rounds: int) -> dict[str, object]:
    """Seconds of consult and judge of a case, their ratio to a float64 step, and their memory."""
    numpy, wide = load("numpy"), case.widened()
    program, narrow = numpy.prepare(wide, "manual", "cpu"), numpy.prepare(case, "manual", "cpu")
    values = program.put(wide.parameters, wide.batch)
    got = narrow.trace(narrow.put(case.parameters, case.batch)).quantities
    oracle = consult(case, "float64")

    def judge_all(found: Oracle) -> None:
        for quantity in case.quantities:
            judge(got[quantity.name], found.expectations[quantity.name], case.format)

    work: dict[str, Callable[[], object]] = {
        "step": lambda: program.step(values),
        "consult": lambda: consult(case, "float64"),
        "judge": lambda: judge_all(oracle),
    }
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(rounds):
        for name, run in work.items():
            seconds[name].append(timed(run))
    step, consulted, judged = (median(seconds[name]) for name in work)
    held = sum(a.size for pair in case.parameters for a in pair if a is not None) + case.batch.x.size
    outputs = case.batch_size * sum(layer.units for layer in case.network.layers)
    tracemalloc.start()
    judge_all(consult(case, "float64"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return {
        "network": str(case.network),
        "batch_size": case.batch_size,
        "step_seconds": step,
        "consult_seconds": consulted,
        "judge_seconds": judged,
        "steps": (consulted + judged) / step,
        "seconds_beyond_4_steps": consulted + judged - 4 * step,
        "memory_over_case": peak / 4 / (held + 2 * outputs),
        "memory_over_case_with_derivatives": peak / 4 / (held + 4 * outputs),
    }


def certifying(network: str, batch_size: int) -> dict[str, object]:
    """Seconds of the certified oracle on a float64 case, and of gradcheck on the same."""
    case = plan_case(network, "float64", batch_size=batch_size)
    consult(plan_case("article", "float64"), "arb")
    row: dict[str, object] = {
        "network": str(case.network),
        "batch_size": batch_size,
        "certify_seconds": timed(lambda: consult(case, "arb")),
    }
    if (network, batch_size) in GRADCHECKED:
        row["gradcheck_seconds"] = timed(lambda: gradcheck(case))
    return row


def gradcheck(case: Case) -> None:
    """torch's own check of its own gradients, of the same loss by the same parameters."""
    import torch

    x, y = (torch.tensor(np.asarray(array)) for array in case.batch)
    tensors = [torch.tensor(a, requires_grad=True) for pair in case.parameters for a in pair if a is not None]

    def loss(*parameters: torch.Tensor) -> torch.Tensor:
        a = x
        for W, b in zip(parameters[::2], parameters[1::2], strict=True):
            a = torch.sigmoid(a @ W.T + b)
        return ((a - y) ** 2).mean()

    assert torch.autograd.gradcheck(loss, tensors)


def timed(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
