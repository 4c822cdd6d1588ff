"""A subcommand whose usage errors are as crossgrad's own: the value, what was expected, nothing dropped.

And which says that it was interrupted.
"""

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

import typer
from typer.core import TyperCommand

from ..networks.errors import InvalidInput, shortened
from . import exits
from .output import error

EXPECTED = (
    (r"^Value error, ", ""),
    (r"^Input should be (greater|less) ", r"expected a number \1 "),
    (r"^Input should be ", "expected "),
)
"""What pydantic, which reads the values for Typer, says; and how it is said here."""


REPEATED = {"--backend", "--candidate", "--device", "--dtype", "--loss"}
"""What some commands take several of. Of all others the last counts, as in other programs."""


class Command(TyperCommand):
    """Names the value that cannot be read, and refuses several where one is taken."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        given, _, order = self.make_parser(ctx).parse_args(args=list(args))
        _require_once(order)
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as problem:
            value = given.get(getattr(problem.param, "name", None) or "")
            if value is None:
                raise
            raise InvalidInput(_told(problem, value)) from None

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:  # which Typer would end with the code alone
            error("interrupted")
            raise typer.Exit(exits.INTERRUPTED) from None


def given(ctx: typer.Context) -> dict[str, str]:
    """What the command line has, defaults left out: by the name of the parameter, what the user calls it."""
    found = {}
    for param in ctx.command.params:
        source = ctx.get_parameter_source(param.name or "")
        if param.name and source is not None and source.name == "COMMANDLINE":
            option = param.param_type_name == "option"
            found[param.name] = param.opts[0] if option else (param.metavar or param.name).strip("[].")
    return found


def _require_once(order: Iterable[Any]) -> None:
    """Raise `InvalidInput` if values would be lost that other commands would take."""
    for option, times in Counter(order).items():
        name = option.opts[-1]
        if name in REPEATED and times > 1 and not option.multiple:
            raise InvalidInput(f"{name} is given {times} times: this command takes one")


def _told(problem: typer.BadParameter, value: object) -> str:
    message = problem.message
    for pattern, words in EXPECTED:
        message = re.sub(pattern, words, message)
    param = problem.param
    named = f"{param.opts[-1]} " if param is not None and param.param_type_name == "option" else ""
    shown = shortened(repr(value))
    return named + (message if message.startswith(shown) else f"{shown}: {message}")
