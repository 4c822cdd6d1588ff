"""What counts as slower: by how much, how surely, and the rule that a user gives."""

import re
from dataclasses import dataclass
from typing import Literal

from ..networks.errors import InvalidInput, shortened
from .phases import REPEATED, Phase

Verdict = Literal["faster", "slower", "same", "unsure", "once"]
"""``once``: of what happens once in a process nothing can be told."""

BEYOND = 0.02
"""What no rule says otherwise is slower from here: smaller changes come of where code lies in memory."""

SAME = 0.05
"""An interval this near to 1 on both sides is called the same: a larger change would have been seen."""

RULE = re.compile(r"(?:(?P<phase>[a-z]{1,20}):)?median>(?P<percent>[0-9]{1,4}(?:\.[0-9]{1,3})?)%")


@dataclass(frozen=True)
class Rule:
    """What counts as a regression: a median longer by more than a share, of one phase or of any."""

    beyond: float
    phase: Phase | None = None

    def covers(self, phase: Phase) -> bool:
        return phase in REPEATED and self.phase in (None, phase)

    def __str__(self) -> str:
        return f"{self.phase + ':' if self.phase else ''}median>{100 * self.beyond:.7g}%"


def parse_rule(text: str) -> Rule:
    """Read ``median>5%`` or ``step:median>5%``.

    Raises
    ------
    InvalidInput
        If it is neither, or of a phase that happens only once.
    """
    found = RULE.fullmatch("".join(text.split()))
    if found is None:
        raise InvalidInput(
            f"rule {shortened(repr(text))}: expected as in median>5%, or of one phase, as in step:median>5%"
        )
    phase = next((known for known in REPEATED if known == found["phase"]), None)
    if found["phase"] and phase is None:
        raise InvalidInput(
            f"rule {shortened(repr(text))}: expected a phase that is timed more than once: "
            f"{', '.join(REPEATED)}"
        )
    return Rule(float(found["percent"]) / 100, phase)


def beyond_of(rule: Rule | None, phase: Phase) -> float:
    """From which share on a phase is slower."""
    return rule.beyond if rule is not None and rule.covers(phase) else BEYOND


def judge(ratio: float, low: float, high: float, seconds: float, beyond: float) -> Verdict:
    """Longer by more than `beyond`, the whole interval above 1, and longer in plain seconds as well."""
    if low > 1 and ratio > 1 + beyond and seconds > 1:
        return "slower"
    if high < 1 and ratio < 1 / (1 + beyond) and seconds < 1:
        return "faster"
    near = 1 + max(SAME, beyond)
    return "same" if all(1 / near <= value <= near for value in (low, high, seconds)) else "unsure"
