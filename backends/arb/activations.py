"""Activations in ball arithmetic: one ball z gives the value and the slope, both as tight as z allows.

Where a function saturates, its value is a constant plus something tiny. In a
ball around the sum the tiny part drowns: at 113 bits, sigmoid(200) is a ball
around 1 that also holds 1. A rule therefore returns the value in two parts,
``a = near + rest``, where `near` is the nearest constant that the function
tends to (an exact integer) and `rest` has its full relative accuracy. What is
computed from differences, such as a - y for a target y = 1, keeps that
accuracy too.
"""

from collections.abc import Callable, Mapping

from flint import arb

Point = tuple[int, arb, arb]
"""``near``, ``rest`` and ``f'(z)``, where ``f(z) = near + rest``."""


def sigmoid(z: arb) -> Point:
    """``s(z) = 1 / (1 + exp(-z))``.

    Multiplying by exp(z) above and below gives s(z) = exp(z) / (1 + exp(z)), hence

        s(z) + s(-z) = (1 + exp(z)) / (1 + exp(z)) = 1:

    above zero, s lies below 1 by s(-z). From s' = exp(-z) / (1 + exp(-z))**2 and
    exp(-z) / (1 + exp(-z)) = s(-z) follows s'(z) = s(z) s(-z).

    With t = exp(-|z|) <= 1, the larger of the two is 1 / (1 + t), the smaller t
    times that: no difference is taken anywhere, and nothing is large.
    """
    above = float(z) > 0
    t = (-z if above else z).exp()
    larger = 1 / (1 + t)
    smaller = t * larger
    return (1, -smaller, larger * smaller) if above else (0, smaller, larger * smaller)


ACTIVATIONS: Mapping[str, Callable[[arb], Point]] = {"sigmoid": sigmoid}
