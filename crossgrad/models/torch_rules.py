"""What PyTorch calls each activation of `networks.rules`: a line for each."""

from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Rule:
    """An activation in PyTorch's words.

    Parameters
    ----------
    module
        As a module: one of the same class and settings is this rule.
    calls
        As functions, and as names of a tensor's methods.
    """

    module: torch.nn.Module
    calls: tuple[Any, ...]


RULES = {
    "sigmoid": Rule(torch.nn.Sigmoid(), (torch.sigmoid, torch.special.expit, "sigmoid")),
}


def rule_of_module(module: torch.nn.Module) -> str | None:
    """The rule that a module is, by its class and its settings, which are in its text."""
    for name, rule in RULES.items():
        if type(module) is type(rule.module) and repr(module) == repr(rule.module):
            return name
    return None


def rule_of_call(target: object) -> str | None:
    """The rule that a function is, or a tensor's method of this name."""
    for name, rule in RULES.items():
        if any(call is target or call == target for call in rule.calls):
            return name
    return None


def memory_of(parameter: Any) -> tuple[Any, ...]:
    """Where the numbers lie: one parameter under two names, and two on one memory, have the same."""
    return (str(parameter.device), parameter.data_ptr())
