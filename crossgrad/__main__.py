"""``python -m crossgrad`` and the ``crossgrad`` command."""

import atexit
import os
import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line, then leave the process without tearing the interpreter down.

    Finalising an interpreter that holds torch and jax takes up to a second,
    as long as a check itself, and frees nothing that the system would not.
    Exit handlers run and output is flushed first, so nothing is lost.
    """
    # JAX would otherwise take three quarters of the GPU before torch gets any; read at its import.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    from .cli.app import run

    code = run(sys.argv[1:])
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        code = 141
    os._exit(code)


if __name__ == "__main__":
    main()
