"""What is held against what, in which dtypes, and what is expected of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import crossgrad
from crossgrad.verdict import SEVERITY, WRONG

DTYPES = ("float32", "float64")


SHIFT = "the gradient of the keys' bias is zero: it moves all scores of a query alike, which softmax ignores"
"""Why attention with a bias cannot be decided in all."""


@dataclass(frozen=True)
class Judged:
    """What crossgrad said.

    Parameters
    ----------
    over_floor, worst
        The largest error over the rounding noise allowed, and the quantity that has it; None where
        numbers are not finite.
    blamed
        Who was called wrong.
    said
        The report, if anything was not in order.
    """

    verdict: str
    over_floor: float | None
    worst: str
    blamed: tuple[str, ...] = ()
    said: str = ""


@dataclass(frozen=True)
class Scenario:
    """One comparison with a package.

    Parameters
    ----------
    package
        The distribution.
    run
        Compares in a dtype.
    differs
        Why the two are no equals, and must be told apart; empty where they must agree.
    vanishes
        Why a gradient is zero, so that its noise is all there is, and nothing can be decided.
    dtypes
        Those in which this is so.
    """

    package: str
    model: str
    run: Callable[[str], Judged]
    differs: str = ""
    vanishes: str = ""
    dtypes: Sequence[str] = DTYPES

    @property
    def expected(self) -> str:
        return "disagree" if self.differs else "undecidable" if self.vanishes else "agree"

    def is_met_by(self, verdict: str) -> bool:
        """Whether a verdict is the expected one: that what differs is a convention is disagreement too."""
        return verdict in WRONG if self.differs else verdict == self.expected


def compared(*functions: Any, args: Sequence[Any], argnums: Any = 0) -> Callable[[str], Judged]:
    """Compare gradient functions of which nothing is known, on `args` rounded to the dtype."""

    def run(dtype: str) -> Judged:
        report = crossgrad.compare_gradients(*functions, args=args, argnums=argnums, dtype=dtype)
        pairs = [(c.quantity, c.judgement) for c in report.comparisons]
        blamed = tuple(blame.function for blame in report.blames)
        return _judged(report.verdict, pairs, blamed, str(report))

    return run


def checked(network: Any, params: Any, batch: Any, gradients: Any, backend: str) -> Callable[[str], Judged]:
    """Check the package's gradient of a network as a candidate beside every engine that is installed."""

    def run(dtype: str) -> Judged:
        report = crossgrad.check(
            network,
            params=params,
            batch=batch,
            candidates={"package": gradients},
            candidate_backend=backend,
            devices=["cpu"],
            dtypes=[dtype],
        )
        mine = [c for c in report.comparisons if c.engine.label.startswith("package")]
        blamed = tuple(str(blame.engine.label) for case in report.cases for blame in case.blames)
        try:
            report.raise_if_disagree()
            said = ""
        except AssertionError as error:
            said = str(error)
        return _judged(report.verdict, [(c.quantity, c.judgement) for c in mine], blamed, said)

    return run


def drawn(tree: Any, seed: int = 0, scale: float = 0.5) -> Any:
    """The same tree with normal numbers in float64 in the place of its arrays."""
    import jax

    draw = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: draw.normal(0.0, scale, np.shape(leaf)), tree)


def data(*shape: int, seed: int = 1) -> Any:
    """Normal numbers in float64."""
    return np.random.default_rng(seed).normal(0.0, 1.0, shape)


def _judged(verdict: str, pairs: Sequence[Any], blamed: tuple[str, ...], said: str) -> Judged:
    if not pairs:
        return Judged(verdict, None, "-", blamed, said)
    worst, judgement = max(
        pairs, key=lambda pair: (SEVERITY.index(pair[1].verdict), pair[1].over_floor or 0.0)
    )
    over = judgement.over_floor
    finite = over if over is not None and np.isfinite(over) else None
    return Judged(verdict, finite, worst, blamed, "" if verdict == "agree" else said)
