"""What ends a command early: Ctrl-C, or a system that cancels it."""

import signal
from typing import NoReturn


class Cancelled(KeyboardInterrupt):
    """The process is asked to end, and will be ended in a few seconds: nothing more is to be begun."""


def heed_cancelling() -> None:
    """Have a job that is cancelled, or loses its terminal, keep what is finished, as after Ctrl-C."""
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:  # not if nohup ignores it
            signal.signal(number, _cancel)


def _cancel(*_: object) -> NoReturn:
    raise Cancelled
