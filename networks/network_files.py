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

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from .files import read_toml
from .problems import Location, does_not_describe
from .rules import ACTIVATIONS, require_rule
from .spec import LARGEST_COUNT, Dense, Network


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
    document = read_toml(path, "a network's TOML file")
    try:
        table = NetworkTable.model_validate(document)
    except ValidationError as error:
        raise does_not_describe(path, "a network", error, _known_keys) from None
    return Network(
        table.inputs, tuple(Dense(layer.units, layer.activation, layer.bias) for layer in table.layers)
    )


def network_schema() -> dict[str, Any]:
    """The JSON Schema of a network file."""
    schema = NetworkTable.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _known_keys(location: Location) -> Iterable[str]:
    return (DenseTable if len(location) > 1 else NetworkTable).model_fields
