"""Documents held against the JSON Schemas that crossgrad publishes."""

import json
from functools import cache
from importlib.resources import files
from typing import Any

from jsonschema import Draft202012Validator


@cache
def schema(name: str) -> Draft202012Validator:
    """The published one of that name, which is a schema itself."""
    text = files("crossgrad.schemas").joinpath(f"{name}.schema.json").read_text(encoding="utf-8")
    document = json.loads(text)
    Draft202012Validator.check_schema(document)
    return Draft202012Validator(document)


def hold(document: Any, name: str) -> None:
    """Raise unless the document has the published form."""
    schema(name).validate(document)
