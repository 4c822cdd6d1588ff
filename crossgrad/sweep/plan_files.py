"""Plans from options and TOML files.

    cases = 1000                # a random stream
    depth = "1..12"             # a range, or one number
    width = "1..1024"
    batch = "1..64"
    weight-scale = "0.1..12"
    dtype = ["float32"]
    loss = ["mse"]
    seed = 0
    seeds-per-shape = 1

or, by the key `networks`, a grid:

    networks = ["64-100-10", "784-30-10"]
    batch = [1, 32]
    dtype = ["float32", "float64"]
    weight-scale = [0.1, 1.0, 10.0]
    seeds-per-shape = 3

The published JSON Schema (``crossgrad/schemas/sweep.schema.json``) is made from
the models in ``plan.py``.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..networks.cost import require_affordable
from ..networks.errors import InvalidInput
from ..networks.files import is_there, read_toml
from ..networks.problems import does_not_describe
from .plan import MOST_CASES, GridPlan, Plan, RandomPlan


def load_plan(path: Path | None, options: Mapping[str, Any]) -> Plan:
    """The plan of a file and of options, which have the file's keys and come before it.

    Raises
    ------
    InvalidInput
        If the file cannot be read, or a key or value is wrong; every one is listed.
    """
    if path is None:
        return read_plan(options, "the command line")
    if path.suffix != ".toml" and not is_there(path):
        raise InvalidInput(
            f'{path}: expected a plan\'s TOML file, which may name networks, as in networks = ["64-100-10"]'
        )
    document = read_toml(path, "a sweep's TOML file")
    if not document:
        raise InvalidInput(f"{path} is empty: leave it out for a plan of defaults")
    source = f"{path} with the command line's {' and '.join(f'--{key}' for key in options)}"
    return read_plan({**document, **options}, source if options else str(path))


def read_plan(document: Mapping[str, Any], source: str) -> Plan:
    """The plan that a document describes, `source` being where it comes from."""
    model = GridPlan if "networks" in document else RandomPlan
    try:
        plan = model.model_validate(document)
    except ValidationError as error:
        keys = [name.replace("_", "-") for name in model.model_fields]
        raise does_not_describe(source, _kind(model), error, lambda location: keys) from None
    if plan.total > MOST_CASES:
        raise InvalidInput(f"{source} describes {plan.total:,} cases: expected at most {MOST_CASES:,}")
    return plan


def require_affordable_plan(plan: Plan, *, allow_large: bool = False) -> None:
    """Raise `InvalidInput` if the largest case has no id, or would run for hours and is not meant to."""
    for largest in plan.largest():
        require_affordable(largest.network, largest.batch, allow_large=allow_large)


def _kind(model: type[Plan]) -> str:
    return "a random sweep" if model is RandomPlan else "a grid (by its key networks)"
