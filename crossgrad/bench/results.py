"""What a benchmark found, as records, and as JSON of the form ``crossgrad.bench/1``.

The published JSON Schema (``crossgrad/schemas/bench.schema.json``) is made from these models.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from .. import escape
from ..engines import EngineId
from ..networks.errors import InvalidInput, shortened
from ..networks.problems import does_not_describe
from .phases import Phase
from .rules import Verdict, parse_rule

SCHEMA: Literal["crossgrad.bench/1"] = "crossgrad.bench/1"

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
MOST = 2**63 - 1
"""Of a whole number: a file may hold any, and no float does."""

Bytes = Annotated[int, Field(ge=0, le=MOST)]
Count = Annotated[int, Field(ge=1, le=MOST)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Subject(_Record):
    """What was run: a network at a batch size in a dtype."""

    network: str
    batch_size: Count
    dtype: str

    @property
    def subject(self) -> tuple[str, int, str]:
        return self.network, self.batch_size, self.dtype


class OfEngine(Subject):
    """Of what was run: of one engine."""

    backend: str
    variant: str
    device: str

    @property
    def engine(self) -> EngineId:
        return EngineId(self.backend, self.variant, self.device)


class Row(OfEngine):
    """One phase of one engine on one network."""

    phase: Phase
    median: Annotated[
        Seconds, Field(description="Seconds a call, in the middle of the processes' rounds, or theirs.")
    ]
    iqr: Annotated[Seconds | None, Field(description="Third less first quartile of the rounds.")] = None
    low: Annotated[Seconds | None, Field(description="95 % interval of the median.")] = None
    high: Seconds | None = None
    rounds: Count = 1
    processes: Annotated[Count, Field(description="In which the rounds were, in order, as many in each.")] = 1
    calls: Annotated[
        Count, Field(description="Calls of a round, of the last one: its time is their mean.")
    ] = 1
    gflops: Annotated[Rate | None, Field(description="1e9 floating-point operations a second.")] = None
    gbps: Annotated[Rate | None, Field(description="1e9 bytes a second, of those that must move.")] = None
    limit_share: Annotated[
        Rate | None, Field(description="The limit's time over the median, of a forward pass or a step.")
    ] = None
    verdict: Annotated[str | None, Field(description="Of the check that came before.")] = None
    memory: Annotated[
        Bytes | None,
        Field(
            description="Most host memory of the engine's process during a call, all that it holds included."
        ),
    ] = None
    device_memory: Bytes | None = None
    parts: Annotated[dict[str, Seconds], Field(description="Of a compilation: trace, compile.")] = {}
    samples: Annotated[tuple[Seconds, ...], Field(description="Seconds a call of each round.")] = ()

    @model_validator(mode="after")
    def _alike(self) -> Self:
        if len(self.samples) % self.processes:
            raise ValueError(
                f"{self.processes} processes cannot have {len(self.samples)} rounds, as many each"
            )
        return self

    @property
    def key(self) -> tuple[str, int, str, str, str, str, str]:
        """What the row is about; no two rows of a result have the same."""
        return (*self.subject, self.backend, self.variant, self.device, self.phase)

    @property
    def name(self) -> str:
        """The same in words: ``torch:eager@cpu step of 784-100-10 (batch 32, float32)``."""
        return f"{self.engine} {self.phase} of {self.network} (batch {self.batch_size}, {self.dtype})"


class Limit(Subject):
    """How fast this machine could be, measured in the same run."""

    device: str
    products: Annotated[str, Field(description="Whose matrix products were the fastest in a step.")]
    forward: Annotated[Seconds, Field(description="Seconds of the forward products, the fastest.")]
    step: Annotated[Seconds, Field(description="Seconds of all products of a step, the fastest.")]
    bandwidth: Annotated[
        Rate,
        Field(description="Bytes a second, of a copy of the step's size, read and written; the fastest."),
    ]


class Yardstick(Subject):
    """What no engine's code is part of, timed by an engine's process in the same rounds as its phases."""

    device: str
    engine: Annotated[str, Field(description="Whose matrix products they are, and whose copy.")]
    processes: Annotated[Count, Field(description="As of a row.")] = 1
    forward: Annotated[tuple[Seconds, ...], Field(description="Seconds of the forward products, each round.")]
    step: Annotated[tuple[Seconds, ...], Field(description="Seconds of all products of a step.")]
    copied: Annotated[tuple[Seconds, ...], Field(description="Seconds of a copy of the step's size.")]

    @model_validator(mode="after")
    def _alike(self) -> Self:
        counts = [len(rounds) for rounds in (self.forward, self.step, self.copied)]
        if len(set(counts)) > 1 or not counts[0] or counts[0] % self.processes:
            raise ValueError(
                f"rounds of forward, step and copied are {counts}: expected as many of each, 1 or more, "
                f"and as many in each of {self.processes} processes"
            )
        return self


class Ratio(OfEngine):
    """One phase of one engine over that of the baseline, in the same rounds."""

    phase: Phase
    ratio: Annotated[
        Rate | None,
        Field(description="In the middle of the rounds, or the processes; null if rounds are missing."),
    ] = None
    low: Annotated[
        Rate | None,
        Field(
            description="98 % interval of the processes' mean, without those astray; Student's, of 99 %, of "
            "fewer than five, or of five pieces of the only one's rounds."
        ),
    ] = None
    high: Rate | None = None
    verdict: Verdict
    regression: Annotated[bool, Field(description="Whether it is slower by more than the rule allows.")] = (
        False
    )
    one_process: Annotated[
        bool,
        Field(
            description="Whether short calls had one process only, and nobody asked for that: it is unsure."
        ),
    ] = False


class OverBaseline(_Record):
    """All other engines over one of the same run."""

    engine: Annotated[str, Field(description="The baseline: NAME:VARIANT, or NAME:VARIANT@DEVICE.")]
    rule: Annotated[str | None, Field(description="What was to be a regression.")] = None
    rows: tuple[Ratio, ...]

    @field_validator("rule")
    @classmethod
    def _is_one(cls, rule: str | None) -> str | None:
        if rule is not None:
            parse_rule(rule)
        return rule


class Problem(OfEngine):
    """An engine, or a phase of one, that has no timing, and why."""

    phase: Phase | None = None
    status: str
    message: str


class Settings(_Record):
    """How it was measured."""

    min_time: Annotated[
        float, Field(gt=0, allow_inf_nan=False, description="Seconds of rounds for each phase, about.")
    ]
    rounds: Annotated[
        Count | None,
        Field(
            description="Rounds of each phase, rounded up to a multiple of the processes; "
            "null: as many as suit, see the rows.",
        ),
    ] = None
    processes: Annotated[
        Count | None, Field(description="Of each engine, one after the other; null: as many as suit.")
    ] = None
    threads: Annotated[Count | None, Field(description="Cores that each engine may use.")] = None


class Results(_Record):
    """All that a benchmark found."""

    document: Literal["crossgrad.bench/1"] = Field(default=SCHEMA, alias="schema")
    began: Annotated[str, Field(description="Date and time, ISO 8601.")]
    environment: dict[str, Any]
    settings: Settings
    limits: tuple[Limit, ...] = ()
    yardsticks: tuple[Yardstick, ...] = ()
    rows: tuple[Row, ...] = ()
    problems: tuple[Problem, ...] = ()
    notes: Annotated[tuple[str, ...], Field(description="Warnings, in words.")] = ()
    baseline: Annotated[OverBaseline | None, Field(description="If one was named.")] = None

    model_config = ConfigDict(frozen=True, extra="forbid", validate_by_name=True, validate_by_alias=True)

    @field_validator("rows")
    @classmethod
    def _unlike(cls, rows: tuple[Row, ...]) -> tuple[Row, ...]:
        known: set[tuple[str, int, str, str, str, str, str]] = set()
        for number, row in enumerate(rows):
            if row.key in known:
                raise ValueError(f"row {number} is the second of {shortened(row.name)}, expected one of each")
            known.add(row.key)
        return rows

    def to_json(self) -> str:
        """The document, with names in it escaped."""
        return escape.json(self.model_dump_json(by_alias=True, indent=1))


def read_results(content: bytes | str, source: str) -> Results:
    """The results in a JSON document, `source` being where it comes from.

    Raises
    ------
    InvalidInput
        If it is no JSON, or not of the form ``crossgrad.bench/1``.
    """
    try:
        found = Results.model_validate_json(content)
    except ValidationError as error:
        raise does_not_describe(source, f"a benchmark ({SCHEMA})", error, _known) from None
    if "document" not in found.model_fields_set:
        raise InvalidInput(f'{source} does not describe a benchmark: expected "schema": "{SCHEMA}"')
    return found


def _known(location: tuple[int | str, ...]) -> list[str]:
    """Keys that a table may have, by where it is."""
    tables: dict[tuple[str, ...], type[BaseModel]] = {
        ("rows",): Row, ("limits",): Limit, ("yardsticks",): Yardstick, ("problems",): Problem,
        ("settings",): Settings, ("baseline",): OverBaseline, ("baseline", "rows"): Ratio,
    }  # fmt: skip
    model = tables.get(tuple(part for part in location[:-1] if isinstance(part, str)), Results)
    return [field.alias or name for name, field in model.model_fields.items()]


def subjects(rows: Sequence[Subject]) -> list[tuple[str, int, str]]:
    """The distinct networks, batch sizes and dtypes, in the order of their first row."""
    return list(dict.fromkeys(row.subject for row in rows))


Place = tuple[str, int, str, str]
"""Network, batch size, dtype and device."""


def place_of(found: Row | Limit | Yardstick) -> Place:
    """Where something was timed: what has the same place can be held against it."""
    return (*found.subject, found.device)


def framework_of(engine: str) -> str:
    """The framework of an engine, whatever its variant: whose bare products its process timed."""
    return engine.partition(":")[0]
