"""The published JSON Schemas of results and of a comparison of two, made from the models that hold them.

``python -m crossgrad.bench.schemas`` writes them anew; a test holds them against the models.
"""

import json
from pathlib import Path

from pydantic import BaseModel

from .compare import Comparison
from .results import Results

TITLES: dict[str, tuple[type[BaseModel], str]] = {
    "bench": (Results, "What crossgrad bench found (crossgrad.bench/1)"),
    "bench-comparison": (
        Comparison,
        "What crossgrad bench --compare found of two results (crossgrad.bench-comparison/1)",
    ),
}


def published() -> dict[str, str]:
    """The text of each schema, by the name of its file."""
    return {f"{name}.schema.json": _text(*about) for name, about in TITLES.items()}


def _text(model: type[BaseModel], title: str) -> str:
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **model.model_json_schema(by_alias=True),
        "title": title,
    }
    return json.dumps(schema, indent=2) + "\n"


if __name__ == "__main__":
    for name, text in published().items():
        (Path(__file__).parents[1] / "schemas" / name).write_text(text, encoding="utf-8")
