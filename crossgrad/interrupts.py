"""What ends a command early: Ctrl-C, or a system that cancels it."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn


class Cancelled(KeyboardInterrupt):
    """The process is asked to end, and will be ended in a few seconds: nothing more is to be begun."""


def heed_cancelling() -> None:
    """Have a job that is cancelled, or loses its terminal, keep what is finished, as after Ctrl-C."""
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:  # not if nohup ignores it
            signal.signal(number, _cancel)


@contextmanager
def deaf_in_the_end() -> Iterator[Callable[[], None]]:
    """A scope with a function after which Ctrl-C ends nothing in it: called when what is finished is written.

    Whoever presses it twice is not to lose what the first time would have kept.
    """
    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
        yield lambda: None
        return
    before = signal.getsignal(signal.SIGINT)
    try:
        yield _ignore_interrupts
    finally:
        if before is not None:  # one that was not set from Python, and cannot be
            signal.signal(signal.SIGINT, before)


def _ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _cancel(*_: object) -> NoReturn:
    raise Cancelled
