#!/usr/bin/env python3
"""How often the comparison of functions blames one that is right: pairs of losses, each with its gradient.

    python benchmarks/blames.py [--seeds 2] [--dtype float32] [--loss mse --loss gelu]

A two-layer network in PyTorch with 28 combinations of activation, loss and
penalty, among them such as differ by little (two forms of gelu, a weight decay of 1e-7)
and such as are hard to differentiate by differences (relu, a maximum, a loss that
stands on a million). Autograd is right about each of them. Every two are compared:
they disagree, and nobody is wrong. Writes ``benchmarks/results/blames.json``.
"""

import argparse
import os
import time
from collections.abc import Callable
from datetime import date
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from recorded import command_of, write

RESULT = Path(__file__).parent / "results" / "blames.json"
DTYPES = ("float64", "float32")


def losses() -> dict[str, Callable[..., Any]]:
    """Functions of ``((W, b, V, c), x, targets)``."""
    import torch
    from torch.nn import functional

    def mse(outputs: Any, targets: Any, params: Any) -> Any:
        return ((outputs - targets) ** 2).mean()

    def network(activation: Callable[[Any], Any], loss: Callable[..., Any] = mse) -> Callable[..., Any]:
        def function(params: Any, x: Any, targets: Any) -> Any:
            W, b, V, c = params
            return loss(activation(x @ W.T + b) @ V.T + c, targets, params)

        return function

    def penalised(weight: float, power: int) -> Callable[..., Any]:
        def loss(outputs: Any, targets: Any, params: Any) -> Any:
            return mse(outputs, targets, params) + weight * sum((p.abs() ** power).sum() for p in params)

        return network(torch.sigmoid, loss)

    def sigmoid(loss: Callable[..., Any]) -> Callable[..., Any]:
        return network(torch.sigmoid, loss)

    def relu(loss: Callable[..., Any]) -> Callable[..., Any]:
        return network(torch.relu, loss)

    return {
        "mse": sigmoid(mse),
        "sum": sigmoid(lambda o, t, p: ((o - t) ** 2).sum()),
        "half-mse": sigmoid(lambda o, t, p: ((o - t) ** 2).sum() / 2 / len(t)),
        "cross-entropy": sigmoid(lambda o, t, p: functional.cross_entropy(o, t)),
        "on a million": sigmoid(lambda o, t, p: 1e6 + mse(o, t, p)),
        "times 1e-8": sigmoid(lambda o, t, p: 1e-8 * mse(o, t, p)),
        "decay 1e-4": penalised(1e-4, 2),
        "decay 1e-7": penalised(1e-7, 2),
        "l1 1e-3": penalised(1e-3, 1),
        "relu": relu(mse),
        "smoothed labels": relu(lambda o, t, p: functional.cross_entropy(o, t, label_smoothing=0.1)),
        "absolute": relu(lambda o, t, p: (o - t).abs().mean()),
        "huber": relu(lambda o, t, p: functional.huber_loss(o, t)),
        "hinge": relu(lambda o, t, p: torch.relu(1 - o * t).mean()),
        "leaky relu": network(functional.leaky_relu),
        "gelu": network(functional.gelu),
        "gelu by tanh": network(lambda z: functional.gelu(z, approximate="tanh")),
        "tanh": network(torch.tanh),
        "log cosh": network(torch.tanh, lambda o, t, p: torch.log(torch.cosh(o - t)).mean()),
        "silu": network(functional.silu),
        "hard sigmoid": network(functional.hardsigmoid),
        "hard swish": network(functional.hardswish),
        "softmax": network(lambda z: torch.softmax(z, -1)),
        "maximum": network(lambda z: 0 * z + z.max(-1, keepdim=True).values),
        "layer norm": network(lambda z: functional.layer_norm(z, z.shape[-1:])),
        "layer norm 1e-3": network(lambda z: functional.layer_norm(z, z.shape[-1:], eps=1e-3)),
        "rms norm": network(lambda z: z / torch.sqrt((z * z).mean(-1, keepdim=True) + 1e-6)),
        "without biases": lambda p, x, t: (
            mse(torch.sigmoid(x @ p[0].T) @ p[2].T, t, p) + 0 * (p[1].sum() + p[3].sum())
        ),
    }


def arguments(seed: int, dtype: str) -> tuple[Any, ...]:
    """Parameters, inputs and targets (one-hot) of a 5-6-3 network, batch 8."""
    rng = np.random.default_rng(seed)
    shapes = ((6, 5), (6,), (3, 6), (3,))
    params = tuple((rng.standard_normal(s) * (1 if len(s) == 2 else 0.1)).astype(dtype) for s in shapes)
    x, targets = rng.standard_normal((8, 5)), np.eye(3)[rng.integers(0, 3, 8)]
    return params, x.astype(dtype), targets.astype(dtype)


def blamed_in(names: list[str], seed: int, dtype: str) -> tuple[int, list[dict[str, Any]]]:
    """How many pairs disagree, and those in which one was blamed."""
    import crossgrad

    functions, args = losses(), arguments(seed, dtype)
    disagree, blamed = 0, []
    for pair in combinations(names, 2):
        wrapped = [crossgrad.loss(functions[name], "torch", name=name) for name in pair]
        report = crossgrad.compare_gradients(*wrapped, args=args)
        disagree += report.verdict != "agree"
        blamed += [
            {"pair": pair, "seed": seed, "dtype": dtype, "blamed": blame.function, "evidence": blame.evidence}
            for blame in report.blames
        ]
    return disagree, blamed


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--dtype", action="append", choices=DTYPES)
    parser.add_argument("--loss", action="append", help="repeatable; default: all")
    parser.add_argument("--output", type=Path, default=RESULT)
    wanted = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # read by the libraries when they are imported, below
    from crossgrad.environment import described, environment

    names = wanted.loss or list(losses())
    start, pairs, disagree, blamed = time.perf_counter(), 0, 0, []
    for dtype in wanted.dtype or DTYPES:
        for seed in range(wanted.seeds):
            found = blamed_in(names, seed, dtype)
            pairs += len(names) * (len(names) - 1) // 2
            disagree, blamed = disagree + found[0], blamed + found[1]
            spent = time.perf_counter() - start
            print(f"{dtype} seed {seed}: {pairs} pairs, {len(blamed)} blamed, {spent:.0f} s", flush=True)
    figures = {"losses": names, "pairs": pairs, "disagree": disagree, "blamed": blamed}
    head = {"date": str(date.today()), "command": command_of(wanted), "seconds": round(spent)}
    result = head | {"environment": environment(described("torch"))} | figures
    write(wanted.output, result)
    print(f"{pairs} pairs, {disagree} disagree, blamed: {blamed}\nwritten to {wanted.output}")


if __name__ == "__main__":
    main()
