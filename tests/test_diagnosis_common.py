"""What people get wrong in a whole forward pass, or on purpose, is named: code right but for that."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

import crossgrad

Function = Callable[[Any], Any]


def sigmoid(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


def slope(z: Any) -> Any:
    return sigmoid(z) * (1 - sigmoid(z))


@dataclass(frozen=True)
class Backprop:
    """A textbook's backpropagation, with what may be another thing in it."""

    hidden: tuple[Function, Function] = (sigmoid, slope)
    last: tuple[Function, Function] = (sigmoid, slope)
    bias: bool = True
    samples: slice = field(default_factory=lambda: slice(None))
    decay: float = 0.0
    penalty: bool = False
    of_biases: bool = False

    def __call__(self, params: Any, x: Any, y: Any) -> Any:
        x, y = x[self.samples], y[self.samples]
        layers = [self.hidden] * (len(params) - 1) + [self.last]
        outputs, sums = [x], []
        for (W, b), (function, _) in zip(params, layers, strict=True):
            sums.append(outputs[-1] @ W.T + (b if self.bias else 0))
            outputs.append(function(sums[-1]))
        r = outputs[-1] - y
        loss, da, grads = np.mean(r * r), 2 * r / r.size, []
        rate = np.asarray(self.decay, x.dtype)
        for n in range(len(params) - 1, -1, -1):
            W, b = params[n]
            dz = da * layers[n][1](sums[n])
            db = dz.sum(axis=0) + (rate * b if self.of_biases else 0)
            grads.append((dz.T @ outputs[n] + rate * W, db))
            da = dz @ W
        if self.penalty:
            loss = loss + rate / 2 * sum(np.sum(W * W) for W, _ in params)
        return loss, grads[::-1]


TANH = np.tanh, lambda z: 1 - np.tanh(z) ** 2
RELU = (lambda z: np.maximum(z, 0)), (lambda z: (z > 0).astype(z.dtype))
LINEAR = (lambda z: z), np.ones_like

FAULTS = {
    "no-biases": (Backprop(bias=False), "z.1", "without the bias b.1; the same in every layer"),
    "tanh": (Backprop(TANH, TANH), "a.1", "every layer has tanh for the sigmoid, with its own derivative"),
    "tanh-hidden": (Backprop(TANH), "a.1", "the hidden layers have tanh for the sigmoid, with its own"),
    "relu-hidden": (Backprop(RELU), "a.1", "the hidden layers have relu for the sigmoid, with its own"),
    "linear-last": (
        Backprop(last=LINEAR),
        "a.3",
        "the last layer has no activation, with its own derivative",
    ),
    "linear-last-sigmoid-slope": (
        Backprop(last=(LINEAR[0], slope)),
        "a.3",
        "the last layer has no activation, with the sigmoid's derivative",
    ),
    "linear": (Backprop(LINEAR, LINEAR), "a.1", "every layer has no activation, with its own derivative"),
    "last-sample": (Backprop(samples=slice(-1)), "z.1", "the last sample is left out, in the loss too"),
    "first-alone": (Backprop(samples=slice(1)), "z.1", "the first sample alone is used, in the loss too"),
    "decay": (Backprop(decay=0.01), "dW.3", "every dW.n has 0.01 W.n added: weight decay"),
    "penalty": (Backprop(decay=0.01, penalty=True), "loss", "every dW.n has 0.01 W.n added: weight decay"),
    "decay-of-biases": (
        Backprop(decay=0.01, of_biases=True),
        "dW.3",
        "every dW.n and db.n has 0.01 W.n or b.n added",
    ),
}


def judged(candidate: Backprop, dtype: str) -> crossgrad.Report:
    return crossgrad.check("4-4-4-4", candidates={"mine": candidate}, dtypes=[dtype], backends=["numpy"])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_without_a_fault_it_agrees(dtype: str) -> None:
    assert judged(Backprop(), dtype).verdict == "agree"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_common_fault_is_named(fault: str, dtype: str) -> None:
    candidate, place, said = FAULTS[fault]
    (blame,) = judged(candidate, dtype).cases[0].blames
    assert said in blame.diagnoses[0].text
    assert blame.diagnoses[0].confidence >= 0.9
    assert blame.enters_at == place
