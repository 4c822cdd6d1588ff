"""Which cases a sweep runs: a random stream, or a grid.

Case number n is a function of the plan and n alone, `cases` left aside: a
longer sweep extends a shorter one. Counts and scales are drawn log-uniformly,
so that a width of 1 to 2 is as frequent as one of 512 to 1024. Cases of one
shape follow each other, as engines compile once a shape; such a group is what
a shard takes or leaves.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Annotated, Self, TypeVar

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from ..networks.dtypes import DTYPES, find_dtype
from ..networks.errors import InvalidInput
from ..networks.rules import LOSSES, require_rule
from ..networks.spec import LARGEST_COUNT, Network
from .ids import LARGEST_SCALE, CaseId
from .ranges import Counts, Scales, bounds, draw_count, draw_scale

T = TypeVar("T")

MOST_CASES = 10**7
"""Of a plan; also how far apart the seeds of two random streams begin, so that they share none."""


def _known_dtype(name: str) -> str:
    return find_dtype(name).name


def _known_loss(name: str) -> str:
    return require_rule("loss", name, LOSSES)


def _widths(text: str) -> str:
    return "-".join(map(str, Network.from_widths(text).widths))


def _once(items: list[T]) -> list[T]:
    return list(dict.fromkeys(items))


_Dtype = Annotated[str, AfterValidator(_known_dtype), Field(json_schema_extra={"enum": list(DTYPES)})]
_Loss = Annotated[str, AfterValidator(_known_loss), Field(json_schema_extra={"enum": list(LOSSES)})]
_Widths = Annotated[
    str, AfterValidator(_widths), Field(json_schema_extra={"pattern": "^[0-9]{1,13}(-[0-9]{1,13})+$"})
]
_Batch = Annotated[int, Field(ge=1, le=LARGEST_COUNT)]
_Scale = Annotated[float, Field(ge=1 / LARGEST_SCALE, le=LARGEST_SCALE)]


class _Plan(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        alias_generator=lambda name: name.replace("_", "-"),
        serialize_by_alias=True,
    )


class RandomPlan(_Plan):
    """A random stream of cases."""

    cases: int = Field(100, ge=1, le=MOST_CASES, description="How many.")
    depth: Counts = Field("1..12", description="Layers: a number or a range.")
    width: Counts = Field("1..1024", description="Inputs, and units of each layer.")
    batch: Counts = Field("1..64", description="Samples.")
    dtype: Annotated[list[_Dtype], AfterValidator(_once)] = Field(
        ["float32"], min_length=1, description="Number formats, one drawn a shape."
    )
    loss: Annotated[list[_Loss], AfterValidator(_once)] = Field(
        ["mse"], min_length=1, description="Losses, one drawn a shape."
    )
    weight_scale: Scales = Field("0.1..12", description="Multiplies weights drawn from N(0, 1/I).")
    seed: int = Field(0, ge=0, le=10**9, description="Of the stream.")
    seeds_per_shape: int = Field(1, ge=1, le=MOST_CASES, description="Cases of each shape.")

    @property
    def total(self) -> int:
        return self.cases

    @property
    def group_size(self) -> int:
        """Cases of one shape that follow each other."""
        return self.seeds_per_shape

    def case(self, number: int) -> CaseId:
        """Case `number`, from 0."""
        rng = np.random.default_rng([self.seed, number // self.group_size, 0])
        depth = draw_count(rng, self.depth)
        widths = tuple(draw_count(rng, self.width) for _ in range(depth + 1))
        batch = draw_count(rng, self.batch)
        dtype, loss = (names[rng.integers(len(names))] for names in (self.dtype, self.loss))
        scale = draw_scale(np.random.default_rng([self.seed, number, 1]), self.weight_scale)
        return CaseId(widths, batch, dtype, loss, scale, self.seed * MOST_CASES + number)

    def largest(self) -> Iterator[CaseId]:
        """The largest case that may be drawn."""
        depth, width, batch = (int(bounds(text)[1]) for text in (self.depth, self.width, self.batch))
        yield CaseId(_repeated(width, depth), batch, self.dtype[0], self.loss[0], 1.0, 0)


class GridPlan(_Plan):
    """Every combination of networks, batch sizes, dtypes, losses and weight scales, with some seeds."""

    networks: Annotated[list[_Widths], AfterValidator(_once)] = Field(
        min_length=1, description="Widths, as in 784-100-10; this key makes a plan a grid."
    )
    batch: Annotated[list[_Batch], AfterValidator(_once)] = Field(
        [32], min_length=1, description="Numbers of samples."
    )
    dtype: Annotated[list[_Dtype], AfterValidator(_once)] = Field(
        ["float32"], min_length=1, description="Number formats."
    )
    loss: Annotated[list[_Loss], AfterValidator(_once)] = Field(["mse"], min_length=1, description="Losses.")
    weight_scale: Annotated[list[_Scale], AfterValidator(_once)] = Field(
        [1.0], min_length=1, description="Multiplies weights drawn from N(0, 1/I)."
    )
    seed: int = Field(0, ge=0, le=10**9, description="The first.")
    seeds_per_shape: int = Field(
        1, ge=1, le=MOST_CASES, description="Seeds of each combination, from the first on."
    )

    @property
    def total(self) -> int:
        return prod(len(axis) for axis in self._shapes) * self.group_size

    @property
    def group_size(self) -> int:
        """Cases of one shape that follow each other."""
        return len(self.weight_scale) * self.seeds_per_shape

    @property
    def _shapes(self) -> Sequence[Sequence[object]]:
        return self.networks, self.dtype, self.loss, self.batch

    def case(self, number: int) -> CaseId:
        """Case `number`, from 0."""
        group, member = divmod(number, self.group_size)
        network, dtype, loss, batch = np.unravel_index(group, [len(axis) for axis in self._shapes])
        scale, seed = divmod(member, self.seeds_per_shape)
        return CaseId(
            _parsed(self.networks[network]),
            self.batch[batch],
            self.dtype[dtype],
            self.loss[loss],
            self.weight_scale[scale],
            self.seed + seed,
        )

    def largest(self) -> Iterator[CaseId]:
        """The largest case of each network."""
        for network in self.networks:
            yield CaseId(_parsed(network), max(self.batch), self.dtype[0], self.loss[0], 1.0, 0)


Plan = RandomPlan | GridPlan


@dataclass(frozen=True)
class Shard:
    """Part `index` of `count`, from 1: every count-th group of cases of one shape."""

    index: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.index <= self.count <= MOST_CASES:
            raise InvalidInput(f"shard {self}: expected I/N with I from 1 to N, as in 1/8")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``I/N``."""
        found = re.fullmatch(r"([0-9]{1,8})/([0-9]{1,8})", text)
        if found is None:
            raise InvalidInput(f"shard {text!r}: expected I/N with I from 1 to N, as in 1/8")
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def numbers(self, plan: Plan) -> Iterator[int]:
        """The numbers of this shard's cases, in order."""
        size = plan.group_size
        for first in range((self.index - 1) * size, plan.total, self.count * size):
            yield from range(first, min(first + size, plan.total))

    def total(self, plan: Plan) -> int:
        """How many cases the shard has."""
        whole, rest = divmod(plan.total, plan.group_size)
        mine = len(range(self.index - 1, whole, self.count)) * plan.group_size
        return mine + (rest if whole % self.count == self.index - 1 else 0)


def _repeated(width: int, depth: int) -> tuple[int, ...]:
    """Widths of the largest network; as many as the longest id could not hold are not made."""
    return (width,) * (min(depth, 1000) + 1)


def _parsed(network: str) -> tuple[int, ...]:
    return tuple(int(width) for width in network.split("-"))
