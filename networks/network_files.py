"""Networks in TOML files.

    inputs = 784

    [[layers]]
    units = 100
    activation = "sigmoid"   # the default
    bias = true              # the default

    [[layers]]
    units = 10

The published JSON Schema (``crossgrad/schemas/network.schema.json``) is made
from the model below; editors that know it complete and check such files.
TOML rather than YAML: YAML reads ``1e-5`` as a string.
"""

import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .errors import InvalidInput
from .rules import ACTIVATIONS
from .spec import Dense, Network

SIZE_LIMIT = 2**20


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class DenseTable(_Strict):
    """A fully connected layer."""

    units: int = Field(ge=1, description="Outputs of the layer.")
    activation: str = Field(
        "sigmoid",
        description="Function applied to z.",
        json_schema_extra={"enum": list(ACTIVATIONS)},
    )
    bias: bool = Field(True, description="Whether z has an added bias.")


class NetworkTable(_Strict):
    """A network of dense layers, as crossgrad reads it from a TOML file."""

    inputs: int = Field(ge=1, description="Width of the input.")
    layers: list[DenseTable] = Field(min_length=1, description="The layers, in order.")


def load_network(path: str | Path) -> Network:
    """Read a network from a TOML file.

    Raises
    ------
    InvalidInput
        If the file is missing, too large, no TOML, or has a wrong key or value;
        every key is listed.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(SIZE_LIMIT + 1)
    except OSError as error:
        raise InvalidInput(f"cannot read {path}: {error.strerror or error}") from None
    if len(content) > SIZE_LIMIT:
        raise InvalidInput(f"{path} is larger than {SIZE_LIMIT:,} bytes: expected a network's TOML file")
    try:
        table = NetworkTable.model_validate(tomllib.loads(content.decode()))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"{path} is no TOML file: {error}") from None
    except ValidationError as error:
        lines = [f"{path} does not describe a network:"]
        lines += [f"{_place(item['loc'])}: {_reason(item)}" for item in error.errors()]
        raise InvalidInput("\n  ".join(lines)) from None
    return Network(
        table.inputs, tuple(Dense(layer.units, layer.activation, layer.bias) for layer in table.layers)
    )


def network_schema() -> dict[str, Any]:
    """The JSON Schema of a network file."""
    schema = NetworkTable.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _place(location: tuple[int | str, ...]) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return text.removeprefix(".")


def _reason(item: Any) -> str:
    if item["type"] == "extra_forbidden":
        table = DenseTable if len(item["loc"]) > 1 else NetworkTable
        return f"unknown key, known are {', '.join(table.model_fields)}"
    if item["type"] == "missing":
        return "is missing"
    return f"{item['msg'][0].lower()}{item['msg'][1:]}, got {item['input']!r}"
