"""What ends a command early: Ctrl-C, or a system that cancels it."""

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any, NoReturn

CANCELLING = ("SIGTERM", "SIGHUP")
"""Signals by which a system cancels a job, or a terminal that is closed."""

DEAF_FOR = 2.0
"""Seconds: then what is being written may wait for somebody who does not read."""

Handler = Callable[[int, FrameType | None], Any]


class Cancelled(KeyboardInterrupt):
    """The process is asked to end, and will be ended in a few seconds: nothing more is to be begun."""


def heed_cancelling() -> None:
    """Have a job that is cancelled, or loses its terminal, keep what is finished, as after Ctrl-C."""
    for number in _numbers(*CANCELLING):
        if signal.getsignal(number) is signal.SIG_DFL:  # not if nohup ignores it
            signal.signal(number, _cancel)


@contextmanager
def deaf_in_the_end() -> Iterator[Callable[[], None]]:
    """A scope with a function after which, for `DEAF_FOR` seconds, nothing ends it any more.

    It is called when what is finished is written: whoever presses Ctrl-C twice, or a system that sends two
    signals, is not to lose what the first would have kept.
    """
    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
        yield lambda: None
        return
    before = {number: signal.getsignal(number) for number in _numbers("SIGINT", *CANCELLING)}
    known = {number: handler for number, handler in before.items() if callable(handler)}
    try:
        yield partial(_deafen, known)
    finally:
        for number, handler in known.items():
            signal.signal(number, handler)


def _deafen(handlers: Mapping[int, Handler]) -> None:
    until = time.monotonic() + DEAF_FOR

    def heed_later(number: int, frame: FrameType | None) -> None:
        if time.monotonic() > until:
            handlers[number](number, frame)

    for number in handlers:
        signal.signal(number, heed_later)


def _numbers(*names: str) -> list[int]:
    """Of those signals that the system has."""
    return [number for name in names if (number := getattr(signal, name, None)) is not None]


def _cancel(*_: object) -> NoReturn:
    raise Cancelled
