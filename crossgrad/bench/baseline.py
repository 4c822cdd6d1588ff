"""One engine of a run as the baseline of the others: is any slower, in the same rounds?

Two runs tell 5 % from the machine's moods only where nothing else runs on it (`compare`);
rounds that take turns do so on a shared machine too (``benchmarks/honesty.py`` measures both).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ..engines import EngineId
from ..networks.errors import InvalidInput, shortened
from .amount import is_short
from .paired import paired
from .phases import REPEATED
from .results import OfEngine, OverBaseline, Problem, Ratio, Results, Row, Settings
from .rules import Rule, beyond_of


@dataclass(frozen=True)
class Baseline:
    """An engine that others are held against: on a device, or each on its own if that is None."""

    backend: str
    variant: str
    device: str | None

    def __str__(self) -> str:
        return f"{self.backend}:{self.variant}" + (f"@{self.device}" if self.device else "")

    def beside(self, engine: EngineId) -> EngineId:
        """What an engine is held against."""
        return EngineId(self.backend, self.variant, self.device or engine.device)


def choose_baseline(
    text: str, taking_part: Iterable[EngineId], defaults: Mapping[str, str] | None = None
) -> Baseline:
    """Read ``NAME[:VARIANT][@DEVICE]``, an engine of those that take part.

    Parameters
    ----------
    defaults
        Of a backend that takes part in several variants, the one that its name alone means.

    Raises
    ------
    InvalidInput
        If it is none of them, or more than one, or if no other is there to be held against it.
    """
    engines = list(dict.fromkeys(taking_part))
    label, _, device = text.partition("@")
    name, _, variant = label.partition(":")
    meant = {
        (engine.backend, engine.variant)
        for engine in engines
        if engine.backend == name and variant in ("", engine.variant) and device in ("", engine.device)
    }
    default = (name, (defaults or {}).get(name, ""))
    if default in meant:
        meant = {default}
    if len(meant) != 1:
        known = ", ".join(map(str, engines)) or "none"
        what = "more than one" if meant else "none"
        raise InvalidInput(
            f"baseline {shortened(repr(text))}: {what} of the engines that take part, which are {known}"
        )
    found = Baseline(*meant.pop(), device or None)
    if not any(found.beside(engine) in engines and found.beside(engine) != engine for engine in engines):
        raise InvalidInput(f"baseline {found}: no other engine takes part; name one with -b")
    return found


def taking_part(results: Results) -> list[EngineId]:
    """The engines of a result, with rows or with problems."""
    found: list[Row | Problem] = [*results.rows, *results.problems]
    return [each.engine for each in found]


def over_baseline(results: Results, baseline: Baseline, rule: Rule | None = None) -> Results:
    """The same results, with every other engine's phases over the baseline's."""
    rows = tuple(_ratios(results, baseline, rule))
    told = OverBaseline(engine=str(baseline), rule=None if rule is None else str(rule), rows=rows)
    return results.model_copy(update={"baseline": told})


def not_held(results: Results, rule: Rule, subject: tuple[str, int, str]) -> list[str]:
    """Engines timed there in no phase that the rule covers, or not beside the baseline."""
    if results.baseline is None:
        return []
    base, ratios = results.baseline.engine, results.baseline.rows
    held = {str(row.engine) for row in ratios if row.subject == subject and rule.covers(row.phase)}
    timed = dict.fromkeys(str(row.engine) for row in results.rows if row.subject == subject)
    return [label for label in timed if label not in held and base not in (label, label.partition("@")[0])]


def _ratios(results: Results, baseline: Baseline, rule: Rule | None) -> Iterator[Ratio]:
    there = {row.key: row for row in results.rows if row.phase in REPEATED}
    for row in there.values():
        engine = EngineId(row.backend, row.variant, row.device)
        base = baseline.beside(engine)
        where = (base.backend, base.variant, base.device, row.phase)
        other = there.get((*row.subject, *where))
        if base != engine and other is not None:
            yield _ratio(row, other, rule, results.settings)


def _ratio(row: Row, other: Row, rule: Rule | None, settings: Settings) -> Ratio:
    about = row.model_dump(include={*OfEngine.model_fields, "phase"})
    found = paired(row, other)
    if found is None:
        return Ratio(**about, verdict="unsure")
    alone = _alone(row, other, settings)
    verdict = "unsure" if alone else found.verdict(beyond_of(rule, row.phase))
    regression = rule is not None and rule.covers(row.phase) and verdict == "slower"
    return Ratio(
        **about,
        ratio=found.ratio,
        low=found.above,
        high=found.below,
        verdict=verdict,
        regression=regression,
        one_process=alone,
    )


def _alone(row: Row, other: Row, settings: Settings) -> bool:
    """Whether there was one process where calls are short, and nobody asked for one.

    What stays with it shows beside others only: equal engines may differ by some per cent.
    """
    short = is_short(min(row.median, other.median), settings)
    return short and row.processes == 1 and settings.processes != 1
