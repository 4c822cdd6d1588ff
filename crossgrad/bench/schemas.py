"""The published JSON Schema of results, made from the models that read them.

``python -m crossgrad.bench.schemas`` writes it anew; a test holds it against the models.
"""

import json
from pathlib import Path

from .results import SCHEMA, Results

PLACE = Path(__file__).parents[1] / "schemas" / "bench.schema.json"


def published() -> str:
    """The text of the schema."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Results.model_json_schema(by_alias=True),
        "title": f"What crossgrad bench found ({SCHEMA})",
    }
    return json.dumps(schema, indent=2) + "\n"


if __name__ == "__main__":
    PLACE.write_text(published(), encoding="utf-8")
