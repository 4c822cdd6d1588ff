"""``python -m crossgrad`` and the ``crossgrad`` command."""

import atexit
import os
import signal
import sys
from io import TextIOWrapper
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line, then leave the process without tearing the interpreter down.

    Finalising an interpreter that holds torch and jax takes up to a second,
    as long as a check itself, and frees nothing that the system would not.
    Exit handlers run and output is flushed first, so nothing is lost.
    """
    # JAX would otherwise take three quarters of the GPU before torch gets any; read at its import.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    try:
        _run()
    except KeyboardInterrupt:  # before the command line could catch it
        os._exit(128 + signal.SIGINT)


def _run() -> NoReturn:
    from .cli import exits
    from .cli.app import run
    from .interrupts import heed_cancelling

    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by who started us: results may still go to files
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - for as long as the process lives
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(
                errors="backslashreplace"
            )  # a terminal without a character still shows the rest
    heed_cancelling()
    code = run(sys.argv[1:])
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        code = exits.PIPE_CLOSED
    except OSError:  # said already by who wrote it
        code = code or exits.BAD_INPUT
    os._exit(code)


if __name__ == "__main__":
    main()
