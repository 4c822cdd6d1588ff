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

import re
import tomllib
from pathlib import Path
from reprlib import repr as shortened
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from .errors import InvalidInput
from .files import read_whole
from .rules import ACTIVATIONS, require_rule
from .spec import LARGEST_COUNT, Dense, Network

SIZE_LIMIT = 2**20
SHOWN_PROBLEMS = 20


def _known_activation(name: str) -> str:
    return require_rule("activation", name, ACTIVATIONS)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class DenseTable(_Strict):
    """A fully connected layer."""

    units: int = Field(ge=1, le=LARGEST_COUNT, description="Outputs of the layer.")
    activation: Annotated[str, AfterValidator(_known_activation)] = Field(
        "sigmoid",
        description="Function applied to z.",
        json_schema_extra={"enum": list(ACTIVATIONS)},
    )
    bias: bool = Field(True, description="Whether z has an added bias.")


class NetworkTable(_Strict):
    """A network of dense layers, as crossgrad reads it from a TOML file."""

    inputs: int = Field(ge=1, le=LARGEST_COUNT, description="Width of the input.")
    layers: list[DenseTable] = Field(min_length=1, description="The layers, in order.")


def load_network(path: str | Path) -> Network:
    """Read a network from a TOML file.

    Raises
    ------
    InvalidInput
        If the file is missing, too large, no TOML, or has a wrong key or value;
        every key is listed.
    """
    content = read_whole(path, SIZE_LIMIT, "a network's TOML file")
    try:
        document = tomllib.loads(content.decode())
    except (ValueError, RecursionError) as error:  # ValueError: also integers of thousands of digits
        raise InvalidInput(f"{path} is no TOML file: {error}") from None
    try:
        table = NetworkTable.model_validate(document)
    except ValidationError as error:
        problems = [f"{_place(item['loc'])}: {_reason(item)}" for item in error.errors()]
        lines = [f"{path} does not describe a network:", *problems[:SHOWN_PROBLEMS]]
        if len(problems) > SHOWN_PROBLEMS:
            lines.append(f"and {len(problems) - SHOWN_PROBLEMS} more")
        raise InvalidInput("\n  ".join(lines)) from None
    return Network(
        table.inputs, tuple(Dense(layer.units, layer.activation, layer.bias) for layer in table.layers)
    )


def network_schema() -> dict[str, Any]:
    """The JSON Schema of a network file."""
    schema = NetworkTable.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _place(location: tuple[int | str, ...]) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{_key(part)}" for part in location)
    return text.removeprefix(".")


def _key(part: str) -> str:
    """A key as TOML writes it: bare if it can be, else quoted; shortened if it is long."""
    return part if re.fullmatch(r"[A-Za-z0-9_-]{1,40}", part) else shortened(part)


def _reason(item: Any) -> str:
    if item["type"] == "extra_forbidden":
        table = DenseTable if len(item["loc"]) > 1 else NetworkTable
        return f"unknown key, known are {', '.join(table.model_fields)}"
    if item["type"] == "missing":
        return "is missing"
    if item["type"] == "value_error":
        return str(item["ctx"]["error"])
    return f"{item['msg'][0].lower()}{item['msg'][1:]}, got {shortened(item['input'])}"
