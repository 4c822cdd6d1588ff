"""What is timed of an engine."""

from typing import Literal

Phase = Literal["import", "compile", "first", "forward", "step", "update", "transfer"]
PHASES: tuple[Phase, ...] = ("import", "compile", "first", "forward", "step", "update", "transfer")
REPEATED: tuple[Phase, ...] = ("forward", "step", "update", "transfer")
"""Phases that are timed again and again; the others happen once in a process."""
