"""Functions in, a report out."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..networks.errors import InvalidInput
from ..words import listed
from .arguments import Arguments, read_arguments
from .blaming import find_wrong
from .function import Function
from .hidden import with_hidden
from .judging import ITSELF, LeafComparison, judge_functions
from .matching import Rename, Transpose
from .measuring import Measured, measure, pooled
from .options import read_rename, read_repeats, read_seed, read_transpose, require_known
from .report import FunctionReport
from .runs import Runner

REPEATS = 8
"""Reruns with random roundings."""

MORE = 5
"""Times as many, before anything is called wrong that so few may have made wrong."""

NARROWLY = 10.0
"""Times the noise allowed, up to which that may be; and any distance of a function from itself.

A kink that rounding takes one run in five across is met by none of eight in one case of six.
"""


def compare_gradients(
    *functions: Function,
    args: Sequence[Any],
    argnums: int | Sequence[int] = 0,
    rename: Rename = None,
    transpose: Transpose = (),
    dtype: str | None = None,
    repeats: int = REPEATS,
    seed: int = 0,
) -> FunctionReport:
    """Run functions on the same numbers and compare their gradients, leaf by leaf.

    There is no tolerance: the rounding noise that is allowed is measured on the
    functions themselves, rerun in float64 with a random error at every operation
    that the framework shows.

    Parameters
    ----------
    functions
        Two or more, from any mix of frameworks, made by `crossgrad.loss` and `crossgrad.gradient`.
    args
        The arguments, as NumPy arrays in nested dicts, lists, tuples, dataclasses or JAX trees;
        arrays of torch and JAX are taken too. Each function gets them as its framework's own.
    argnums
        The arguments that are differentiated by: a number, or several.
    rename
        Names of leaves and what they are called in `args`, as in ``{"dense/kernel": "fc1.weight"}``,
        for functions with another structure; ``"auto"`` takes what seems likeliest.
    transpose
        Those whose axes are in another order: a name or several, for a reversal, or a mapping from names
        to axes.
    dtype
        ``float32``, ``float64`` ...: what floats in `args` are converted to. Default: they stay as they are.
    repeats, seed
        Number of reruns by which noise is measured, and the seed of their draws. There are five times as
        many where something would be called wrong that so few may have made wrong.

    Raises
    ------
    InvalidInput
        If the arguments, or what a function returns, cannot be compared; the message names the leaf.
    BackendUnavailable
        If a framework is not installed.
    FunctionFailed
        If a function raised.

    Examples
    --------
    >>> import numpy as np, crossgrad
    >>> by_hand = crossgrad.gradient(lambda w, x: (((w * x) ** 2).sum(), 2 * w * x**2), "numpy", "by hand")
    >>> wrong = crossgrad.gradient(lambda w, x: (((w * x) ** 2).sum(), w * x**2), "numpy", "wrong")
    >>> args = (np.array([1.0, 2.0], np.float32), np.array([3.0, 4.0], np.float32))
    >>> crossgrad.compare_gradients(by_hand, wrong, args=args).blames[0].function
    'wrong'
    """
    _require_functions(functions)
    repeats, seed = read_repeats(repeats), read_seed(seed)
    rename, transpose = read_rename(rename), read_transpose(transpose)
    arguments = read_arguments(args, argnums, dtype)
    runners = [Runner(function, arguments, rename, transpose, dtype) for function in functions]
    with np.errstate(all="ignore"):  # what overflows is judged
        found = measure(runners, arguments, repeats, seed)
        require_known(rename, transpose, (name for runner in runners for name in runner.names))
        comparisons = judge_functions(found, pooled(found), arguments.format)
        if any(map(_is_narrow, comparisons)):
            repeats *= MORE
            found = measure(runners, arguments, repeats, seed)
            comparisons = judge_functions(found, pooled(found), arguments.format)
        return _report(found, comparisons, arguments, repeats, seed)


def assert_gradients_agree(
    *functions: Function,
    args: Sequence[Any],
    allow_undecidable: bool = False,
    allow_nonfinite: bool = False,
    **options: Any,
) -> FunctionReport:
    """As `compare_gradients`; raises `GradientsDisagree`, an AssertionError, unless they agree.

    Parameters
    ----------
    allow_undecidable
        Pass where noise is as large as a gradient, so that a wrong one would go unnoticed.
    allow_nonfinite
        Pass where all functions have NaN or infinity, as those of any two functions would.
    options
        Those of `compare_gradients`.
    """
    report = compare_gradients(*functions, args=args, **options)
    report.raise_if_disagree(allow_undecidable=allow_undecidable, allow_nonfinite=allow_nonfinite)
    return report


def _is_narrow(found: LeafComparison) -> bool:
    """Whether it is wrong, and might not be with more reruns."""
    over = found.judgement.over_floor
    return found.is_wrong and over is not None and (found.against == ITSELF or over <= NARROWLY)


def _report(
    found: Sequence[Measured],
    comparisons: tuple[LeafComparison, ...],
    arguments: Arguments,
    repeats: int,
    seed: int,
) -> FunctionReport:
    finding = find_wrong(found, comparisons, arguments)
    if finding.convention:
        comparisons = tuple(c.as_convention() for c in comparisons)
    comparisons = with_hidden(found, comparisons, arguments)
    notes = [note for m in found for note in (m.runner.guessed, m.note) if note is not None]
    if zeros := _zero_in_all(found):
        notes.append(f"zero in all functions, so that no factor of it was checked: {listed(zeros)}")
    return FunctionReport(
        tuple(m.name for m in found),
        arguments.format.name,
        comparisons,
        finding.blames,
        finding.remarks,
        tuple(notes),
        repeats,
        seed,
    )


def _zero_in_all(found: Sequence[Measured]) -> list[str]:
    """The gradients of which there is nothing but zeros, in float64 either."""
    names = found[0].got.gradients
    return [name for name in names if not any(np.any(m.best.get(name, 0)) for m in found)]


def _require_functions(functions: Sequence[Any]) -> None:
    for function in functions:
        if not isinstance(function, Function):
            raise InvalidInput(
                f"{function!r} does not say what it is: wrap it, as in crossgrad.loss(f, 'torch') for a "
                "scalar loss or crossgrad.gradient(f, 'numpy') for (loss, gradients)"
            )
    if len(functions) < 2:
        raise InvalidInput(f"{len(functions)} function given: a comparison needs two or more")
    names = [function.name for function in functions]
    for name in names:
        if names.count(name) > 1:
            raise InvalidInput(
                f"two functions are called {name!r}: give them names, as in loss(f, 'torch', 'mine')"
            )
