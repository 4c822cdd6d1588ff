"""What is kept of a case: a verdict for each engine, and where its time went.

The state of an engine that ran says what most of its quantities are, anything
wrong first:

- ``mismatch``: a quantity is wrong (any of `verdict.WRONG`);
- ``ok``: nothing is wrong, and at least half of the quantities agree in finite numbers;
- ``undecidable``, ``nonfinite``: nothing is wrong, and fewer agree; whichever of the two
  the rest mostly is.

A loss that overflows beside seventeen quantities that agree does not hide them,
nor does one that agrees beside seventeen that noise drowns vouch for them; how
many there are of each kind is in `quantities`. The case's own verdict is that
of a report, the worst of its quantities'.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Final, Literal, Self, cast, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from ..compare import badness
from ..findings import FAILED, ORDER
from ..report import CaseReport, plain_number
from ..run import BROKEN, OK, Run
from ..verdict import AGREE, NONFINITE_AGREE, UNDECIDABLE, WRONG
from .ids import CaseId

MISMATCH: Final = "mismatch"
NONFINITE: Final = "nonfinite"

State = Literal[
    "ok",
    "undecidable",
    "nonfinite",
    "unsupported",
    "missing",
    "mismatch",
    "failed",
    "out-of-memory",
    "timeout",
    "crashed",
    "protocol-error",
]
STATES: tuple[State, ...] = get_args(State)

NOT_IN_ORDER = BROKEN | {MISMATCH}

Number = float | Literal["NaN", "Infinity", "-Infinity"] | None
"""A number as strict JSON can hold it."""

_Seconds = dict[str, Annotated[float, Field(ge=0)]]


def _checked_id(text: str) -> str:
    return str(CaseId.parse(text))


def _known_verdict(text: str) -> str:
    if text not in ORDER:
        raise ValueError(f"unknown verdict {text!r}")
    return text


class _Stored(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class EngineRecord(_Stored):
    """One engine on one case."""

    engine: str = Field(description="As in torch:eager@cpu.")
    state: State
    message: str | None = Field(default=None, description="Why there is no result, in the engine's words.")
    seconds: _Seconds = Field(default={}, description="By phase: prepare (compilation), put, step, trace.")
    quantities: dict[str, Annotated[int, Field(ge=1)]] = Field(
        default={}, description="How many of each verdict."
    )
    worst: str | None = Field(
        None, description="The wrong quantity furthest over its floor, else the closest."
    )
    over_floor: Number = Field(default=None, description="Its error over the rounding noise allowed.")
    digits: Number = Field(default=None, description="Its correct decimal digits.")
    enters_at: str | None = Field(
        default=None, description="Where the error enters, of an engine that is wrong."
    )
    diagnosis: str | None = Field(default=None, description="What the error looks like.")


class Record(_Stored):
    """One case."""

    id: Annotated[str, AfterValidator(_checked_id)] = Field(
        description="From which the case can be made again."
    )
    verdict: Annotated[str, AfterValidator(_known_verdict)] = Field(json_schema_extra={"enum": list(ORDER)})
    oracle: str = Field(description="Who judged.")
    problems: tuple[str, ...] = Field(default=(), description="Reasons for the verdict failed.")
    seconds: _Seconds = Field(default={}, description="Beside the engines': draw (the case), judge.")
    engines: tuple[EngineRecord, ...] = ()

    @property
    def in_order(self) -> bool:
        """Whether nothing is wrong, and all that was asked for ran."""
        return self.verdict not in WRONG and self.verdict != FAILED

    def without_times(self) -> Self:
        """The record as any other run of the case should give it."""
        engines = tuple(engine.model_copy(update={"seconds": {}}) for engine in self.engines)
        return self.model_copy(update={"seconds": {}, "engines": engines})


def record_of(report: CaseReport, draw_seconds: float) -> Record:
    """What is kept of a report, whose name is the case's id."""
    return Record(
        id=report.name,
        verdict=report.verdict,
        oracle=report.oracle,
        problems=report.problems,
        seconds={"draw": draw_seconds, "judge": report.judge_seconds},
        engines=tuple(_engine_record(report, run) for run in report.runs),
    )


def record_of_refusal(case_id: CaseId, reason: str) -> Record:
    """The record of a case that could not be made here: nothing ran."""
    return Record(id=str(case_id), verdict="failed", oracle="none", problems=(reason,))


def number(value: Number) -> float | None:
    """The number that a record holds."""
    return None if value is None else float(value)


def _plain(value: float | None) -> Number:
    return cast(Number, plain_number(value))


def _engine_record(report: CaseReport, run: Run) -> EngineRecord:
    compared = report.comparisons_of(run.engine)
    counts = Counter(c.verdict for c in compared)
    worst = max(compared, key=badness, default=None)
    found = next((b for b in report.blames if b.engine == run.engine), None)
    return EngineRecord(
        engine=str(run.engine),
        state=_state(run, counts),
        message=run.message,
        seconds=dict(run.seconds),
        quantities={verdict: counts[verdict] for verdict in ORDER if counts[verdict]},
        worst=worst.quantity if worst else None,
        over_floor=_plain(worst.judgement.over_floor) if worst else None,
        digits=_plain(worst.judgement.digits) if worst else None,
        enters_at=found.enters_at if found else None,
        diagnosis=found.diagnoses[0].text if found else None,
    )


def _state(run: Run, counts: Mapping[str, int]) -> State:
    if run.status != OK:
        return next(state for state in STATES if state == run.status)
    if any(counts[verdict] for verdict in WRONG):
        return "mismatch"
    soft = {"undecidable": counts[UNDECIDABLE], NONFINITE: counts[NONFINITE_AGREE]}
    if counts[AGREE] and counts[AGREE] >= sum(soft.values()):
        return "ok"
    return NONFINITE if soft[NONFINITE] > soft["undecidable"] else "undecidable"
