"""The published JSON Schemas of a sweep's files, made from the models that read them.

``python -m crossgrad.sweep.schemas`` writes them anew; a test holds them against the models.
"""

from typing import Literal

from pydantic import BaseModel, Field

from ..schemas import texts, write
from .info import RunInfo
from .plan import Plan
from .records import Record
from .summary import Summary


class Records(BaseModel):
    """A run as one document, which ``tables.py`` writes a record at a time."""

    schema_version: Literal["crossgrad.records/1"] = Field(alias="schema")
    run: RunInfo
    records: list[Record]


TITLES = {
    "sweep": (Plan, "A sweep's TOML file: a random stream of cases, or, with the key networks, a grid"),
    "run": (RunInfo, "run.json of a run's directory"),
    "record": (
        Record,
        "The key record of a line of records.jsonl; crc32 is that of its UTF-8 bytes as written",
    ),
    "records": (
        Records,
        "What crossgrad show --format json writes; what a record lacks has its default",
    ),
    "summary": (Summary, "What crossgrad sweep --format json writes"),
}


def published() -> dict[str, str]:
    """The text of each schema, by the name of its file."""
    return texts(TITLES)


if __name__ == "__main__":
    write(published())
