"""One step of a training step at one layer: which quantity it makes, and what it makes it of."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..arithmetic import Uncertain
from ..networks.cases import Case
from ..networks.dtypes import Array
from ..steps import Steps

ValueOf = Callable[[str], Uncertain]


@dataclass(frozen=True)
class Site:
    """The step that makes the quantity ``kind.layer``.

    Parameters
    ----------
    value_of
        Gives a quantity that went into it by name: what the engine itself used, or
        what a run of the mathematics holds.
    """

    steps: Steps
    kind: str
    layer: int
    value_of: ValueOf

    @classmethod
    def of(cls, steps: Steps, name: str, value_of: ValueOf) -> "Site":
        kind, _, layer = name.partition(".")
        return cls(steps, kind, int(layer or 0), value_of)

    @property
    def name(self) -> str:
        return f"{self.kind}.{self.layer}" if self.layer else self.kind

    @property
    def case(self) -> Case:
        return self.steps.case

    @property
    def depth(self) -> int:
        return len(self.steps.parameters)

    @property
    def W(self) -> Array:
        return self.steps.parameters[self.layer - 1][0]

    @property
    def b(self) -> Array | None:
        return self.steps.parameters[self.layer - 1][1]

    @property
    def W_above(self) -> Array:
        return self.steps.parameters[self.layer][0]

    def here(self, kind: str) -> Uncertain:
        """The quantity of this kind in the same layer."""
        return self.value_of(f"{kind}.{self.layer}")

    def above(self, kind: str) -> Uncertain:
        return self.value_of(f"{kind}.{self.layer + 1}")

    def below(self, kind: str) -> Uncertain:
        """``a`` or ``z`` of the layer below; x under the first layer."""
        if self.layer > 1:
            return self.value_of(f"{kind}.{self.layer - 1}")
        return Uncertain(self.steps.x, np.zeros_like(self.steps.x))

    def weight_gradient(self, dz: Uncertain, a_prev: Uncertain) -> Uncertain:
        return self.steps.weight_gradient(dz, a_prev, self._alone)

    def bias_gradient(self, dz: Uncertain) -> Uncertain:
        return self.steps.bias_gradient(dz, self._alone)

    def output(self) -> Uncertain:
        """``a`` of the last layer."""
        return self.value_of(f"a.{self.depth}")

    @property
    def _alone(self) -> Array:
        return np.ones((self.case.batch_size, 1))


def right_step(site: Site) -> Uncertain:
    """What the step ought to make of its inputs: z, a, loss, da, dz, dW or db."""
    steps = site.steps
    match site.kind:
        case "z":
            return steps.affine(site.below("a"), site.W, site.b)
        case "a":
            return steps.activate(site.here("z"), steps.rules[site.layer - 1])
        case "loss":
            return steps.loss(site.output())
        case "da" if site.layer == site.depth:
            return steps.loss_backward(site.output())
        case "da":
            return steps.pull_back(site.above("dz"), site.W_above)
        case "dz":
            return steps.through_activation(site.here("da"), site.here("a"), steps.rules[site.layer - 1])
        case "dW":
            return site.weight_gradient(site.here("dz"), site.below("a"))
        case "db":
            return site.bias_gradient(site.here("dz"))
    raise ValueError(f"no step makes {site.name}")
