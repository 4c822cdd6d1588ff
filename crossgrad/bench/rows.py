"""From seconds to rows: medians with their intervals, rates, and shares of the machine's limit."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..engines import EngineId
from ..networks.work import Work, forward_work, step_work, transfer_work, update_work
from ..run import Run
from ..workers.held import PRODUCTS
from .amount import LEAST_EACH
from .lanes import Contender
from .phases import Phase
from .plan import Item
from .results import Limit, Row, Yardstick
from .statistics import iqr, median, median_interval, middles_of

FORWARD, STEP, COPY = PRODUCTS
TimedEngine = tuple[EngineId, Mapping[str, Any], Mapping[str, "Timing"]]
"""An engine, what was found as its case was held, and what it was timed at."""

SINGLE: dict[Phase, str] = {"compile": "prepare", "first": "step"}
"""Phases that happen once, and what a run calls the seconds that they took."""


LEAST = 1e-12
"""Seconds of a call that a clock can tell from none."""


@dataclass
class Timing:
    """What a call took when tried, how many a round has, and what one took in each process's rounds.

    Each process has as many of them: what an engine failed at in between is left out as a whole.
    """

    call_seconds: float
    calls: int = 1
    rounds: list[list[float]] = field(default_factory=list)

    @property
    def samples(self) -> list[float]:
        return [seconds for rounds in self.rounds for seconds in rounds]

    @property
    def middles(self) -> list[float]:
        """What to take the median of; see `middles_of`."""
        return middles_of(self.samples, len(self.rounds))

    @property
    def middle(self) -> float:
        return median(self.middles)


def whole_rounds(timed: Sequence[Sequence[Sequence[float]]]) -> list[int]:
    """How many rounds of each process every timing has, where rounds ended early; none if they are few.

    Parameters
    ----------
    timed
        The rounds of each process, of each timing. The last process, if it has fewer rounds than the
        others, counts for none; the only one needs `LEAST_EACH`.
    """
    rounds = [min(map(len, of_all)) for of_all in zip(*timed, strict=False)]
    whole = [count for count in rounds if count == rounds[0] > 0]
    return whole if sum(whole) >= LEAST_EACH else []


def single_rows(
    item: Item, engine: Contender, run: Run, verdict: str, parts: Mapping[str, float]
) -> Iterator[Row]:
    """Import, compilation and first call of an engine."""
    seconds: dict[Phase, float] = {"import": engine.import_seconds}
    seconds |= {phase: run.seconds[name] for phase, name in SINGLE.items() if name in run.seconds}
    for phase, value in seconds.items():
        of_phase = dict(parts) if phase == "compile" else {}
        yield Row(**about_engine(item, engine.id), phase=phase, median=value, verdict=verdict, parts=of_phase)


def repeated_row(
    item: Item,
    engine: Contender,
    phase: Phase,
    timing: Timing,
    verdict: str,
    limit: Limit | None,
    memory: Mapping[str, int | None],
) -> Row:
    """A phase that was timed in rounds."""
    middle, work = timing.middle, work_of(item, phase)
    low, high = median_interval(timing.middles)
    best = None if limit is None else limit_seconds(phase, limit)
    return Row(
        **about_engine(item, engine.id),
        phase=phase,
        median=middle,
        iqr=iqr(timing.samples),
        low=low,
        high=high,
        rounds=len(timing.samples),
        processes=len(timing.rounds),
        calls=timing.calls,
        gflops=_rate(work.flops / 1e9, middle),
        gbps=_rate(work.bytes / 1e9, middle),
        limit_share=_rate(best or 0.0, middle),
        verdict=verdict,
        samples=tuple(timing.samples),
        memory=memory.get("memory"),
        device_memory=memory.get("device_memory"),
    )


def _rate(amount: float, seconds: float) -> float | None:
    """So much a second; None of nothing, or in no time."""
    return amount / seconds if amount and seconds >= LEAST else None


def with_products(measured: Iterable[TimedEngine]) -> list[TimedEngine]:
    """Those that timed all of the bare products and the copy."""
    return [found for found in measured if found[2].keys() >= {*PRODUCTS}]


def yardstick(item: Item, engine: EngineId, timings: Mapping[str, Timing]) -> Yardstick:
    """Every round of the products and the copy, of one of `with_products`."""
    return Yardstick(
        **item.subject.model_dump(),
        device=engine.device,
        engine=str(engine),
        processes=len(timings[STEP].rounds),
        forward=tuple(timings[FORWARD].samples),
        step=tuple(timings[STEP].samples),
        copied=tuple(timings[COPY].samples),
    )


def roofline(item: Item, timed: Sequence[TimedEngine]) -> dict[str, Limit]:
    """The limit of each device: the fastest products of anyone there, and the fastest copy.

    Parameters
    ----------
    timed
        As `with_products` gives them; no products of less than `LEAST` seconds.
    """
    found: dict[str, Limit] = {}
    for device in dict.fromkeys(engine.device for engine, _, _ in timed):
        there = [entry for entry in timed if entry[0].device == device]
        fastest, _, _ = min(there, key=lambda entry: entry[2][STEP].middle)
        found[device] = Limit(
            **item.subject.model_dump(),
            device=device,
            products=str(fastest),
            forward=min(timings[FORWARD].middle for _, _, timings in there),
            step=min(timings[STEP].middle for _, _, timings in there),
            bandwidth=max(2 * told["copied_bytes"] / timings[COPY].middle for _, told, timings in there),
        )
    return found


def limit_seconds(phase: str, limit: Limit) -> float | None:
    """The least time for a phase; None if it has none.

    It is the roofline, max(flops / peak, bytes / bandwidth), at the point where the phase lies: what the
    fastest pure products of the same shapes took. Those of a large batch are bound by arithmetic, those
    of a small one by memory, as they read and write the same bytes. The bandwidth of a copy is no
    part of it: products mostly read, and at batch 1 they move up to twice as many bytes a second.
    An update and a transfer move other arrays, in other caches or by the road to a CUDA device.
    """
    return {"forward": limit.forward, "step": limit.step}.get(phase)


def work_of(item: Item, phase: str) -> Work:
    """What must be done in a phase."""
    network, batch_size, dtype = item.network, item.batch_size, item.dtype
    if phase == "forward":
        return forward_work(network, batch_size, dtype)
    if phase == "step":
        return step_work(network, batch_size, dtype)
    return update_work(network, dtype) if phase == "update" else transfer_work(network, batch_size, dtype)


def about_engine(item: Item, engine: EngineId) -> dict[str, Any]:
    """The fields of a record that say what it is about."""
    where = {"backend": engine.backend, "variant": engine.variant, "device": engine.device}
    return {**item.subject.model_dump(), **where}
