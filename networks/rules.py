"""The names that a specification may use, each with its mathematical meaning.

This is the registry of rules. An engine implements a name in its own folder
(``backends/<engine>/activations.py``, ``losses.py``) in its framework's own
words; an engine without the rule says so as ``Unsupported``. What else a new
activation or loss needs, and what it must be like, is in CONTRIBUTING.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from .errors import unknown


@dataclass(frozen=True)
class Activation:
    """An elementwise function ``a = f(z)``, named as in every framework."""

    name: str
    formula: str


@dataclass(frozen=True)
class Loss:
    """A scalar function of the network's output ``a (B, O)`` and target ``y (B, O)``."""

    name: str
    formula: str


ACTIVATIONS: dict[str, Activation] = {
    rule.name: rule
    for rule in [
        Activation("sigmoid", "a = 1 / (1 + exp(-z))"),
    ]
}

LOSSES: dict[str, Loss] = {
    rule.name: rule
    for rule in [
        Loss("mse", "sum((a - y)**2) / (B * O), the mean over all elements, as torch.nn.MSELoss"),
        Loss("mse-sum", "sum((a - y)**2)"),
        Loss("half-mse", "sum((a - y)**2) / (2 * B), the textbook's quadratic cost"),
    ]
}


def require_rule(kind: str, name: object, rules: Mapping[str, object]) -> str:
    """Return `name` if `rules` knows it; raise `InvalidInput` with the nearest names if not."""
    if not isinstance(name, str) or name not in rules:
        raise unknown(kind, name, rules)
    return name
