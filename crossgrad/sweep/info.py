"""What a run says of itself: ``run.json``, in its directory."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..environment import version_differences
from ..networks.errors import InvalidInput
from ..networks.files import is_there, read_whole, sync_directory, write_to_disk
from .plan import Plan, Shard

RUN_FILE = "run.json"
UNFINISHED = f"{RUN_FILE}.new"
"""It, while it is written."""

SIZE_LIMIT = 2**24


class RunInfo(BaseModel):
    """What a run runs, and where it was made."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, serialize_by_alias=True)

    schema_version: Literal["crossgrad.run/1"] = Field(default="crossgrad.run/1", alias="schema")
    created: str = Field(description="When, as ISO 8601 has it, in UTC.")
    plan: Plan
    backends: list[str] | None = Field(description="As asked for: torch:func; null for all installed.")
    devices: list[str] | None = Field(description="As asked for; null for all that each engine sees.")
    candidates: list[str] = Field(description="As asked for: NAME=FILE.py:FUNCTION.")
    candidate_backend: Annotated[str, Field(pattern="^(numpy|torch|jax)$")] = Field(
        default="numpy", description="Whose arrays they take."
    )
    engines: list[str] = Field(description="What this came to, as in torch:eager@cpu.")
    oracle: str = Field(description="As asked for.")
    shards: list[Annotated[str, Field(pattern=r"^[0-9]{1,8}/[0-9]{1,8}$")]] = Field(
        min_length=1, description="Parts I/N of the plan: the one that is run, or those that were merged."
    )
    environment: dict[str, Any] = Field(description="Machine, versions and settings.")
    other_environments: list[dict[str, Any]] = Field(
        default_factory=list, description="With other versions, where some of its cases were run too."
    )

    def run_in(self, others: Iterable[Mapping[str, Any]]) -> "RunInfo":
        """The same, with those environments noted that have other versions than all that are known."""
        known = [self.environment, *self.other_environments]
        for other in others:
            if all(version_differences(one, other) for one in known):
                known.append(dict(other))
        return self.model_copy(update={"other_environments": known[1:]})

    @property
    def mixture(self) -> str | None:
        """Which versions its results mix, in words; None if they are of one environment."""
        found = [
            difference
            for other in self.other_environments
            for difference in version_differences(self.environment, other)
        ]
        return f"run with unlike versions: {', '.join(dict.fromkeys(found))}" if found else None

    @property
    def shard(self) -> Shard:
        """The part of the plan that the run is to cover: all of it, if several were merged."""
        return Shard.parse(self.shards[0]) if len(self.shards) == 1 else Shard()

    @property
    def planned(self) -> int:
        return self.shard.total(self.plan)


def read_info(path: Path) -> RunInfo:
    """Read ``run.json``.

    Raises
    ------
    InvalidInput
        If `path` is no run's directory, or the file is damaged or of another version.
    """
    if not is_there(path / RUN_FILE):
        raise InvalidInput(
            f"{path} is no run: expected a directory with {RUN_FILE}, as crossgrad sweep makes"
        )
    content = read_whole(path / RUN_FILE, SIZE_LIMIT, "a run's description")
    try:
        return RunInfo.model_validate_json(content)
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(map(str, problem["loc"])) or "the file"
        raise InvalidInput(f"{path / RUN_FILE} describes no run: {place}: {problem['msg']}") from None


def write_info(path: Path, info: RunInfo) -> None:
    """Write ``run.json``, whole or not at all."""
    new = path / UNFINISHED
    write_to_disk(new, info.model_dump_json(indent=1).encode() + b"\n")
    new.replace(path / RUN_FILE)
    sync_directory(path)


def now() -> str:
    """The time, as `RunInfo.created` wants it."""
    return datetime.now(UTC).isoformat(timespec="seconds")
