"""The ``crossgrad`` command: its subcommands, and errors as exit codes."""

import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from ..escape import terminal
from ..networks.errors import InvalidInput
from . import exits
from .bench import bench
from .check import check
from .command import Command, Group
from .doctor import doctor
from .merge import merge
from .new_candidate import new_candidate
from .output import error, stdout_problem, tell
from .reduce import reduce
from .runs import runs
from .selftest import selftest
from .show import show
from .sweep import sweep
from .trace import trace

app = typer.Typer(
    cls=Group,
    context_settings={"help_option_names": ["-h", "--help"]},
    name="crossgrad",
    help="Are these gradients right, and if not, which one is wrong, where, and why?",
    epilog=exits.TABLE,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for command in (check, new_candidate, trace, doctor, selftest, reduce, bench, sweep, runs, show, merge):
    app.command(cls=Command)(command)


def _print_version(wanted: bool) -> None:
    if wanted:
        from ..versions import package_version

        typer.echo(f"crossgrad {package_version('crossgrad') or '(not installed)'}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    pass


def run(arguments: Sequence[str]) -> int:
    """Run the command line and return its exit code; see `exits`."""
    try:
        app(args=list(arguments), prog_name="crossgrad")
    except InvalidInput as problem:
        error(str(problem))
        return exits.BAD_INPUT
    except KeyboardInterrupt:
        error("interrupted")
        return exits.INTERRUPTED
    except SystemExit as leaving:
        if isinstance(leaving.__context__, BrokenPipeError):  # met by Typer's own output, as of --help
            return exits.PIPE_CLOSED
        code = leaving.code
        return code if isinstance(code, int) else exits.OK if code is None else exits.BAD_INPUT
    except Exception as problem:
        if isinstance(problem, OSError) and (reason := stdout_problem()):  # Typer's own output, as of --help
            error(f"cannot write to stdout: {reason}")
            return exits.BAD_INPUT
        # Python's own exit code for an uncaught exception is 1, which here says "something disagrees".
        tell(terminal(traceback.format_exc().rstrip("\n"), keep="\n"))
        return exits.ENGINE_FAILED
    return exits.OK
