"""A backprop written by hand, with a bug: crossgrad says that it is wrong, where, and why; then it is mended.

python examples/find_a_bug.py
"""

import numpy as np

import crossgrad


def gradients(params, x, y, forgetful=True):
    """Sigmoid layers, mean squared error; the derivative of the first activation is forgotten."""
    outputs = [x]
    for W, b in params:
        outputs.append(1 / (1 + np.exp(-(outputs[-1] @ W.T + b))))
    da, grads = 2 * (outputs[-1] - y) / y.size, []
    for n in reversed(range(len(params))):
        a, a_prev = outputs[n + 1], outputs[n]
        dz = da if forgetful and n == 0 else da * a * (1 - a)  # the bug
        grads.insert(0, (dz.T @ a_prev, dz.sum(axis=0)))
        da = dz @ params[n][0]
    return np.mean((outputs[-1] - y) ** 2), grads


def mended(params, x, y):
    return gradients(params, x, y, forgetful=False)


def check(function):
    return crossgrad.check("8-6-4-3", backends=["numpy"], dtypes=["float32"], candidates={"mine": function})


if __name__ == "__main__":
    try:
        check(gradients).raise_if_disagree()
    except crossgrad.GradientsDisagree as found:
        print(found)
    print(f"mended: {check(mended).verdict}")
