"""Commands whose usage errors are as crossgrad's own: the value, what was expected, nothing dropped.

And which say that they were interrupted.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from ..networks.errors import InvalidInput, shortened, unknown
from . import exits
from .output import error

EXPECTED = (
    (r"^Value error, ", ""),
    (r"^Input should be (greater|less) ", r"expected a number \1 "),
    (r"^Input should be ", "expected "),
)
"""What pydantic, which reads the values for Typer, says; and how it is said here."""

HINTS = (
    (r"^No such option: ", "no such option "),
    (r"^Got unexpected extra arguments?(?:\(s\))? \((.*)\)$", r"unexpected argument \1"),
    (r" \(Possible options: (.*)\)$", r": did you mean \1?"),
    (r"\. Did you mean (.*)\?$", r": did you mean \1?"),
    (r"\.$", ""),
)
"""The same of Click, which reads the words."""

UsageError: Any = typer.BadParameter.__base__
"""Click's, of which newer versions of Typer have a copy of their own."""

REPEATED = {
    *("--backend", "--candidate", "--device", "--dtype", "--loss"),
    *("--batch-size", "--batches", "--widths", "--fail-if", "--baseline", "--load", "--save", "--compare"),
}
"""What some commands take several of, or a user may mean to. Of all others the last counts, as elsewhere."""


class Command(TyperCommand):
    """Names the value that cannot be read, and refuses several where one is taken."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        with _plainly(ctx):
            given, _, order = self.make_parser(ctx).parse_args(args=list(args))
            _require_once(order)
            try:
                left = super().parse_args(ctx, args)
            except typer.BadParameter as problem:
                value = given.get(getattr(problem.param, "name", None) or "")
                if value is None:
                    raise
                raise InvalidInput(_told(problem, value)) from None
        _require_paths(ctx, given)
        return left

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:  # which Typer would end with the code alone
            error("interrupted")
            raise typer.Exit(exits.INTERRUPTED) from None


class Group(TyperGroup):
    """Refuses what is no command, or no option of all of them."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args:  # which shows the help
            return super().parse_args(ctx, args)
        with _plainly(ctx):
            return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        with _plainly(ctx):
            return super().resolve_command(ctx, args)


@contextmanager
def _plainly(ctx: Any) -> Iterator[None]:
    """Raise Click's usage errors, which Typer would draw a box around, as `InvalidInput`."""
    try:
        yield
    except UsageError as problem:
        message = _lacking(problem, ctx) or problem.format_message()
        for pattern, words in HINTS:
            message = re.sub(pattern, words, message)
        raise InvalidInput(
            f"{message[:1].lower()}{message[1:]} ({ctx.command_path} -h shows what it takes)"
        ) from None


def _lacking(problem: Any, ctx: Any) -> str | None:
    """What an option without its value lacks: Click only says how many there are to be."""
    option = getattr(problem, "option_name", None)
    param = next((param for param in ctx.command.params if option in param.opts), None)
    if param is None or "requires" not in problem.message:
        return None
    return f"{option} needs {param.metavar or 'a value'}"


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


def _require_paths(ctx: Any, given: Mapping[str, Any]) -> None:
    """Raise `InvalidInput` for a path that is empty: `Path` takes it for the folder that we are in."""
    for param in ctx.command.params:
        texts, read = _several(given.get(param.name)), _several(ctx.params.get(param.name))
        if "" in texts and any(isinstance(path, Path) for path in read):
            name = param.opts[-1] if param.param_type_name == "option" else param.metavar
            raise InvalidInput(f"{name} '': the path is empty")


def _several(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else [value]


def _told(problem: typer.BadParameter, value: object) -> str:
    message, param = problem.message, problem.param
    choices = re.search(r".* is not one of ('.*')", message)  # the last: values may say anything
    if param is not None and choices is not None:
        kind = param.opts[-1].removeprefix("--").replace("-", " ")
        return str(unknown(kind, value, re.findall("'([^']*)'", choices[1])))
    for pattern, words in EXPECTED:
        message = re.sub(pattern, words, message)
    named = f"{param.opts[-1]} " if param is not None and param.param_type_name == "option" else ""
    shown = shortened(repr(value))
    return named + (message if message.startswith(shown) else f"{shown}: {message}")
