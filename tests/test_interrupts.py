"""Signals while what is finished is written."""

import signal

import pytest

from crossgrad import interrupts
from crossgrad.interrupts import Cancelled, deaf_in_the_end, heed_cancelling

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture(autouse=True)
def handlers(monkeypatch: pytest.MonkeyPatch):
    before = {number: signal.getsignal(number) for number in SIGNALS}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    heed_cancelling()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_they_end_nothing_while_it_is_written(number: signal.Signals) -> None:
    with deaf_in_the_end() as deaf:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
        deaf()
        signal.raise_signal(number)
        signal.raise_signal(number)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)


@pytest.mark.parametrize("number", SIGNALS)
def test_what_waits_for_a_reader_can_be_ended_all_the_same(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interrupts, "DEAF_FOR", -1.0)
    with deaf_in_the_end() as deaf:
        deaf()
        with pytest.raises(KeyboardInterrupt if number == signal.SIGINT else Cancelled):
            signal.raise_signal(number)
