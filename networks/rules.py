"""The names that a specification may use, each with its mathematical meaning.

This is the registry of rules. An engine implements a name in its own folder
(``backends/<engine>/activations.py``, ``losses.py``) in its framework's own
words; an engine without the rule says so as ``Unsupported``. What else a new
activation or loss needs, and what it must be like, is in CONTRIBUTING.md.
"""

from collections.abc import Mapping

from .errors import unknown

ACTIVATIONS = {"sigmoid": "a = 1 / (1 + exp(-z))"}
"""Elementwise functions ``a = f(z)``, named as in every framework, with their formulas."""

LOSSES = {
    "mse": "sum((a - y)**2) / (B * O), the mean over all elements, as torch.nn.MSELoss",
    "mse-sum": "sum((a - y)**2)",
    "half-mse": "sum((a - y)**2) / (2 * B), the textbook's quadratic cost",
}
"""Scalar functions of the network's output ``a (B, O)`` and target ``y (B, O)``."""


def require_rule(kind: str, name: object, rules: Mapping[str, object]) -> str:
    """Return `name` if `rules` knows it; raise `InvalidInput` with the nearest names if not."""
    if not isinstance(name, str) or name not in rules:
        raise unknown(kind, name, rules)
    return name
