"""The name of a case, from which alone it can be made again: ``64-100-10_b32_float32_mse_w1.37_s17``.

Widths, batch size, dtype, loss, scale of the weights and seed, in this order;
everything else is fixed here: sigmoid layers with bias, data as
`networks.batches.draw_batch` draws them, learning rate 0.1. A case has one
name only, so names can be compared instead of cases; it holds nothing that a
shell, a file system or a terminal would take for more than text.
"""

import re
from dataclasses import dataclass, replace
from math import isfinite
from typing import Self

from ..networks.cases import Case
from ..networks.catalogue import build_case, find_entry
from ..networks.dtypes import find_dtype
from ..networks.errors import InvalidInput, shortened
from ..networks.parameters import DenseParameters, draw_parameters
from ..networks.rules import LOSSES, require_rule
from ..networks.spec import Network, require_count

LEARNING_RATE = 0.1
LONGEST_ID = 255
"""Characters: an id is a file's name where one is needed."""

LARGEST_SEED = 2**63 - 1
LARGEST_SCALE = 1e6

EXAMPLE = "64-100-10_b32_float32_mse_w1.37_s17"
_FORM = re.compile(
    r"(?P<widths>[0-9-]+)_b(?P<batch>[0-9]+)_(?P<dtype>[a-z0-9]+)_(?P<loss>[a-z-]+)"
    r"_w(?P<scale>[0-9.e-]+)_s(?P<seed>[0-9]+)"
)


@dataclass(frozen=True)
class CaseId:
    """What tells a case from all others.

    Parameters
    ----------
    weight_scale
        Multiplies the drawn weights, not the biases.
    seed
        Of parameters and data.

    Raises
    ------
    InvalidInput
        If a field is out of range, or the name would be longer than `LONGEST_ID`.
    """

    widths: tuple[int, ...]
    batch: int
    dtype: str
    loss: str
    weight_scale: float
    seed: int

    def __post_init__(self) -> None:
        if len(self.widths) < 2:
            raise InvalidInput(f"widths {self.widths!r}: expected inputs and at least one layer")
        for width in self.widths:
            require_count("the width of a layer", width)
        require_count("the batch size", self.batch)
        find_dtype(self.dtype)
        require_rule("loss", self.loss, LOSSES)
        if not (isfinite(self.weight_scale) and 1 / LARGEST_SCALE <= self.weight_scale <= LARGEST_SCALE):
            raise InvalidInput(
                f"weight scale {self.weight_scale!r}: expected {1 / LARGEST_SCALE:g} to {LARGEST_SCALE:g}"
            )
        if not 0 <= self.seed <= LARGEST_SEED:
            raise InvalidInput(f"seed {self.seed!r}: expected a whole number from 0 to {LARGEST_SEED}")
        if len(str(self)) > LONGEST_ID:
            raise InvalidInput(
                f"a case of {len(self.widths) - 1} layers as wide as these needs an id of {len(str(self))} "
                f"characters, at most {LONGEST_ID} are allowed: use fewer or narrower layers"
            )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an id; ``CaseId.parse(str(x)) == x``.

        Raises
        ------
        InvalidInput
            For every text that is no case's id, also for another spelling of one.
        """
        found = _FORM.fullmatch(text) if len(text) <= LONGEST_ID and text.isascii() else None
        if found is None:
            raise InvalidInput(f"case {shortened(repr(text))}: expected an id such as {EXAMPLE}")
        try:
            parsed = cls(
                tuple(int(width) for width in found["widths"].split("-")),
                int(found["batch"]),
                found["dtype"],
                found["loss"],
                float(found["scale"]),
                int(found["seed"]),
            )
        except InvalidInput as error:
            raise InvalidInput(f"case {shortened(repr(text))}: {error}") from None
        except ValueError:
            raise InvalidInput(f"case {shortened(repr(text))}: expected an id such as {EXAMPLE}") from None
        if str(parsed) != text:
            raise InvalidInput(f"case {shortened(repr(text))}: written {parsed}, as a case has one id only")
        return parsed

    def __str__(self) -> str:
        return (
            f"{self.network_name}_b{self.batch}_{self.dtype}_{self.loss}"
            f"_w{repr(float(self.weight_scale)).removesuffix('.0')}_s{self.seed}"
        )

    @property
    def network_name(self) -> str:
        return "-".join(map(str, self.widths))

    @property
    def network(self) -> Network:
        return Network.from_widths(self.network_name)

    @property
    def depth(self) -> int:
        """Layers, the input not counted."""
        return len(self.widths) - 1

    def case(self) -> Case:
        """Draw the case, which has the id as its name.

        Raises
        ------
        InvalidInput
            If a number is beyond the range of the dtype.
        """
        entry = replace(find_entry(self.network), name=str(self))
        parameters = [
            DenseParameters(self.weight_scale * W, b) for W, b in draw_parameters(entry.network, self.seed)
        ]
        return build_case(
            entry,
            dtype=self.dtype,
            loss=self.loss,
            batch_size=self.batch,
            learning_rate=LEARNING_RATE,
            seed=self.seed,
            params=parameters,
        )
