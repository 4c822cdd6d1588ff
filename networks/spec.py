"""What is computed: layers, networks, and the quantities on the way, in data-flow order.

The conventions of the whole project, said once:

- Letters: B batch, I inputs of a layer, O outputs of a layer, L layers.
- ``x (B, I)``, ``W (O, I)``, ``b (O,)``, ``z = a_prev @ W.T + b``, ``a = f(z)``;
  layers are numbered from 1.
- ``dz``, ``da``, ``dW``, ``db`` are derivatives of the loss; ``W_new = W - lr * dW``.
- Quantities are called ``z.1 a.1 ... loss da.L dz.L dW.L db.L ... W_new.1 b_new.1 ... loss_new``.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from .errors import InvalidInput, shortened
from .rules import ACTIVATIONS, require_rule
from .whole import require_whole

LARGEST_COUNT = 10**12
"""Of a width or a batch. No machine holds more, and every estimate from it is still a finite float."""


def require_count(what: str, value: object) -> int:
    """`value` as an int from 1 to `LARGEST_COUNT`; raise `InvalidInput` if it is none."""
    count = require_whole(what, value, 1)
    if count > LARGEST_COUNT:
        raise InvalidInput(f"{what} is {shortened(repr(value))}: expected at most {LARGEST_COUNT:,}")
    return count


@dataclass(frozen=True)
class Dense:
    """A fully connected layer: ``z = a_prev @ W.T + b``, ``a = activation(z)``.

    Raises
    ------
    InvalidInput
        If `units` is not a whole number of at least 1, or the activation is unknown.
    """

    units: int
    activation: str = "sigmoid"
    bias: bool = True

    def __post_init__(self) -> None:
        units = require_count("the width of a layer (units)", self.units)
        object.__setattr__(self, "units", units)
        require_rule("activation", self.activation, ACTIVATIONS)
        if not isinstance(self.bias, bool):
            raise InvalidInput(f"bias is {self.bias!r}: expected true or false")


@dataclass(frozen=True)
class Quantity:
    """One tensor on the way, by name: ``kind`` is ``z``, ``dW``, ``loss`` ...; layer 0 means none."""

    kind: str
    layer: int
    shape: tuple[int, ...]

    @property
    def name(self) -> str:
        return f"{self.kind}.{self.layer}" if self.layer else self.kind


@dataclass(frozen=True)
class Network:
    """An input width and the dense layers that follow.

    Raises
    ------
    InvalidInput
        If a width is not a whole number of at least 1, or there is no layer.
    """

    inputs: int
    layers: tuple[Dense, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", require_count("the input width", self.inputs))
        if not isinstance(self.layers, Iterable):
            raise InvalidInput(
                f"layers is {self.layers!r}: expected a list of Dense(units, activation, bias)"
            )
        object.__setattr__(self, "layers", tuple(self.layers))
        if not self.layers:
            raise InvalidInput("a network needs at least one layer after its inputs, as in 784-10")
        for layer in self.layers:
            if not isinstance(layer, Dense):
                raise InvalidInput(f"a layer is {layer!r}: expected Dense(units, activation, bias)")

    @classmethod
    def from_widths(cls, text: str) -> Self:
        """Read ``"784-100-10"``: the input width, then each layer's, all sigmoid with bias."""
        widths = [_width(part, text) for part in re.split(r"(?<=[^-])-", text.strip())]
        if len(widths) < 2:
            raise InvalidInput(
                f"network {shortened(repr(text))} has one width: expected inputs and layers, as in 784-100-10"
            )
        return cls(widths[0], tuple(Dense(units) for units in widths[1:]))

    @property
    def widths(self) -> tuple[int, ...]:
        return (self.inputs, *(layer.units for layer in self.layers))

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """Shape ``(O, I)`` of each layer's W."""
        return tuple((o, i) for i, o in zip(self.widths, self.widths[1:], strict=False))

    @property
    def parameter_count(self) -> int:
        return sum(o * i + o * layer.bias for (o, i), layer in zip(self.shapes, self.layers, strict=True))

    def quantities(self, batch_size: int) -> tuple[Quantity, ...]:
        """Every compared tensor of one training step, in the order in which data flows."""
        numbered = list(enumerate(zip(self.layers, self.shapes, strict=True), start=1))
        flow = []
        for n, (layer, _) in numbered:
            flow += [Quantity(kind, n, (batch_size, layer.units)) for kind in ("z", "a")]
        flow.append(Quantity("loss", 0, ()))
        for n, (layer, shape) in reversed(numbered):
            flow += [Quantity(kind, n, (batch_size, layer.units)) for kind in ("da", "dz")]
            flow += _parameter_quantities(("dW", "db"), n, layer, shape)
        for n, (layer, shape) in numbered:
            flow += _parameter_quantities(("W_new", "b_new"), n, layer, shape)
        flow.append(Quantity("loss_new", 0, ()))
        return tuple(flow)

    def __str__(self) -> str:
        """``784-100-10``, with what departs from a sigmoid with bias in brackets."""
        return "-".join([str(self.inputs), *(_layer_text(layer) for layer in self.layers)])


def _width(part: str, text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,13}", part.strip()) or not 1 <= int(part) <= LARGEST_COUNT:
        raise InvalidInput(
            f"network {shortened(repr(text))}: the width {shortened(repr(part.strip()))} is not "
            f"a whole number from 1 to {LARGEST_COUNT:,}; expected widths joined by '-', as in 784-100-10"
        )
    return int(part)


def _parameter_quantities(
    kinds: Iterable[str], number: int, layer: Dense, shape: tuple[int, int]
) -> list[Quantity]:
    matrix, vector = kinds
    found = [Quantity(matrix, number, shape)]
    return [*found, Quantity(vector, number, shape[:1])] if layer.bias else found


def _layer_text(layer: Dense) -> str:
    notes = [layer.activation] * (layer.activation != "sigmoid") + ["no bias"] * (not layer.bias)
    return f"{layer.units}({', '.join(notes)})" if notes else str(layer.units)
