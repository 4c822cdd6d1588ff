"""The published JSON Schemas of a sweep's files, made from the models that read them.

``python -m crossgrad.sweep.schemas`` writes them anew; a test holds them against the models.
"""

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, TypeAdapter

from .plan import Plan
from .records import Record
from .store import RunInfo
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
    return {f"{name}.schema.json": _text(model, title) for name, (model, title) in TITLES.items()}


def _text(model: Any, title: str) -> str:
    made = TypeAdapter(model).json_schema(by_alias=True)
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **made, "title": title}
    return json.dumps(schema, indent=2) + "\n"


if __name__ == "__main__":
    for name, text in published().items():
        (Path(__file__).parents[1] / "schemas" / name).write_text(text, encoding="utf-8")
