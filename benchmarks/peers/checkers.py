"""Every checker of the comparison, and which of them this machine has."""

from .checker import Checker, installed_version
from .closeness import (
    Allclose,
    AssertAllclose,
    Chex,
    DifferentiationInterfaceTest,
    EpsilonsOfLargest,
    Gradbench,
    Polygraphy,
    TorchAssertClose,
)
from .finite_differences import CheckGrads, Gradcheck, GradcheckFast
from .ours import Crossgrad, CrossgradOnGradients

CHECKERS: tuple[Checker, ...] = (
    Crossgrad(),
    CrossgradOnGradients(),
    EpsilonsOfLargest(),
    AssertAllclose(),
    Allclose(),
    Chex(),
    TorchAssertClose(),
    DifferentiationInterfaceTest(),
    Polygraphy(),
    Gradbench(),
    Gradcheck(),
    GradcheckFast(),
    CheckGrads(),
)


def installed_checkers() -> tuple[Checker, ...]:
    return tuple(c for c in CHECKERS if c.package is None or installed_version(c.package) is not None)
