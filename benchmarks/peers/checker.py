"""What a checker of gradients is, ours or a peer's, so that one driver can judge with all of them."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version

from crossgrad.backends.registry import load
from crossgrad.networks.cases import Case
from crossgrad.networks.dtypes import DTYPES, Array

Quantities = Mapping[str, Array]
"""What a training step gave, by name, in the case's dtype."""

Accepts = Callable[[Quantities], bool]
"""Whether a checker takes what a training step gave for right."""

REAL, REIMPLEMENTED = "real", "re-implemented"

LOSS_AND_GRADIENTS = frozenset({"loss", "dW", "db"})
GRADIENTS = frozenset({"dW", "db"})

RIGHT_ENGINE = ("torch", "eager")
"""What a peer that compares two results holds a run against: torch's eager autograd in the same dtype."""

OTHER_RIGHT_ENGINE = ("numpy", "manual")
"""The same where torch itself is to be judged."""


class Checker(ABC):
    """One way to tell right gradients from wrong ones.

    `prepare` finds what runs of a case are judged by: another engine's result,
    the truth, a compiled function. What it returns judges one run and is timed
    apart from it.
    """

    name: str
    made: str = REAL
    package: str | None = None
    """The distribution that it comes from, None for what is re-implemented here."""

    rule: str
    """What it does, in a line, with the source of a formula that is re-implemented."""

    sees: frozenset[str] = LOSS_AND_GRADIENTS
    """Kinds of quantities that it looks at."""

    names_engine: bool = False
    """Whether it says which side is wrong, not only that two differ."""

    names_place: bool = False
    """Whether it says at which quantity the error enters."""

    dtypes: frozenset[str] = frozenset(DTYPES)
    largest: float = float("inf")
    """Most parameters of a case that it is tried on."""

    one_in: int = 1
    """It is tried on one mutant in so many, in turns."""

    def takes(self, case: Case) -> bool:
        return case.dtype in self.dtypes and case.network.parameter_count <= self.largest

    @abstractmethod
    def prepare(self, case: Case, against: tuple[str, str]) -> Accepts:
        """What judges runs of `case`; `against` is the right engine that a run is held against."""

    def version(self) -> str | None:
        return None if self.package is None else installed_version(self.package)


def installed_version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def engine_gradients(case: Case, engine: tuple[str, str]) -> Quantities:
    """Loss and gradients of an engine on the CPU."""
    backend, variant = engine
    program = load(backend).prepare(case, variant, "cpu")
    result = program.step(program.put(case.parameters, case.batch))
    program.synchronize()
    return program.gradients(result)


def gradient_names(case: Case) -> list[str]:
    """``dW.1 db.1 dW.2 ...``: the gradients in the order of a case's parameters."""
    return [
        f"{kind}.{number}"
        for number, pair in enumerate(case.parameters, start=1)
        for kind, parameter in zip(("dW", "db"), pair, strict=True)
        if parameter is not None
    ]
