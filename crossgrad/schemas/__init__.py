"""The published JSON Schemas of what crossgrad reads and writes; those of models are made from them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def texts(titles: Mapping[str, tuple[Any, str]]) -> dict[str, str]:
    """The text of each schema, by the name of its file; given are models of pydantic's, and titles."""
    from pydantic import TypeAdapter  # who only reads a schema needs none

    def text(model: Any, title: str) -> str:
        made = TypeAdapter(model).json_schema(by_alias=True)
        schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **made, "title": title}
        return json.dumps(schema, indent=2) + "\n"

    return {f"{name}.schema.json": text(*about) for name, about in titles.items()}


def write(published: Mapping[str, str]) -> None:
    """Write schemas anew, beside this file."""
    for name, text in published.items():
        (Path(__file__).parent / name).write_text(text, encoding="utf-8")
