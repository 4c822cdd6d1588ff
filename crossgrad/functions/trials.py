"""The comparison of functions tests itself: mutants must be found, right functions must agree.

The mutants and the random networks are those of ``crossgrad/selftest.py``,
which also says which faults count: here, those that show in the loss or in a
gradient of parameters. Each mutant is given as a gradient function of which
nothing is known, beside a loss in PyTorch.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..mutants import MUTANTS, Mutant, random_case, run_mutant
from ..networks.batches import Batch
from ..networks.cases import Case
from ..networks.dtypes import find_dtype
from ..networks.parameters import DenseParameters
from ..run import CANDIDATE_KINDS
from ..selftest import Ground, dtypes_of, share, shift_of, went_wrong
from ..verdict import UNDECIDABLE, WRONG
from .arguments import LOSS_NAME, Arguments, read_arguments
from .blaming import find_wrong
from .comparing import REPEATS
from .function import Function, gradient, loss
from .judging import LeafComparison, judge_functions
from .measuring import Measured, measure, pooled
from .own_loss import differentiates_its_own_loss
from .runs import Runner
from .textbook import jax_loss, numpy_gradient, torch_loss

SCHEMA = "crossgrad.functions-selftest/1"
MUTANT = "mutant"


@dataclass(frozen=True)
class FunctionTrial:
    """One mutant in one case, against a right function.

    Parameters
    ----------
    shift
        How far the fault moves loss and gradients, over the floor: it counts if that is above 1.
    blamed
        The functions that were called wrong, of the mutant and one that is right.
    blamed_of_more
        The same beside all that are right.
    own_loss
        Whether the mutant's gradient is that of the loss that it returns: beside one
        function it is another function, not a wrong gradient.
    """

    seed: int
    dtype: str
    mutant: str
    shift: float
    detected: bool
    blamed: tuple[str, ...]
    blamed_of_more: tuple[str, ...]
    own_loss: bool

    @property
    def counts(self) -> bool:
        return not self.shift <= 1


@dataclass(frozen=True)
class CorrectPair:
    """Right functions in one case: the quantities that were called wrong."""

    seed: int
    dtype: str
    functions: tuple[str, ...]
    wrong: tuple[str, ...]
    quantities: int
    undecidable: int
    largest_share: float


def try_functions(
    cases: int,
    seed: int,
    dtypes: Sequence[str],
    *,
    small: bool = True,
    jax_cases: int = 0,
    mutants: Iterable[Mutant] = MUTANTS,
    progress: Callable[[str, int, int], None] | None = None,
) -> tuple[list[FunctionTrial], list[CorrectPair]]:
    """Try every mutant, and right functions, on `cases` random cases a dtype, drawn from `seed` on.

    Parameters
    ----------
    jax_cases
        Of the first so many, a function in JAX too, which is slow to start on a new shape.
    mutants
        Without any, right functions alone are tried.
    """
    trials: list[FunctionTrial] = []
    correct: list[CorrectPair] = []
    own_losses = {mutant: differentiates_its_own_loss(mutant) for mutant in mutants}
    dtypes = [find_dtype(dtype).name for dtype in dtypes]
    for number, (dtype, offset) in enumerate((d, n) for d in dtypes for n in range(cases)):
        if progress is not None:
            progress(f"{dtype} seed {seed + offset}", number, cases * len(dtypes))
        case = random_case(seed + offset, dtype, small=small)
        arguments = _arguments(case)
        partners = _measured(_right(case, with_jax=offset < jax_cases), arguments)
        correct.append(_correct(case, partners, arguments))
        if own_losses:
            trials += _trials(case, own_losses, partners, arguments)
    return trials, correct


def summary(trials: Sequence[FunctionTrial], correct: Sequence[CorrectPair]) -> dict[str, Any]:
    """The figures by dtype, each with its interval, and every trial that went wrong."""
    by_dtype = {dtype: _figures(trials, correct, dtype) for dtype in dtypes_of(trials, correct)}
    alarms = [({"functions": list(c.functions)}, c) for c in correct]
    return {"schema": SCHEMA, "dtypes": by_dtype, **went_wrong(trials, alarms)}


def _figures(trials: Sequence[FunctionTrial], correct: Sequence[CorrectPair], dtype: str) -> dict[str, Any]:
    counted = [t for t in trials if t.dtype == dtype and t.counts]
    seen = [t for t in counted if t.detected]
    wrong = [t for t in seen if not t.own_loss]
    runs = [c for c in correct if c.dtype == dtype]
    return {
        "mutants": sum(t.dtype == dtype for t in trials),
        "counted": len(counted),
        "detected": share(len(seen), len(counted)),
        "blamed_of_two": share(sum(t.blamed == (MUTANT,) for t in seen), len(seen)),
        "own_losses": share(len(seen) - len(wrong), len(seen)),
        "blamed_where_one_is_right": share(sum(t.blamed == (MUTANT,) for t in wrong), len(wrong)),
        "wrongly_blamed_of_two": share(sum(bool(set(t.blamed) - {MUTANT}) for t in seen), len(seen)),
        "blamed_of_more": share(sum(t.blamed_of_more == (MUTANT,) for t in seen), len(seen)),
        "correct": len(runs),
        "false_alarms": share(sum(bool(c.wrong) for c in runs), len(runs)),
        "undecidable": share(sum(c.undecidable for c in runs), sum(c.quantities for c in runs)),
        "largest_share_of_floor": max((c.largest_share for c in runs), default=0.0),
    }


def _arguments(case: Case) -> Arguments:
    parameters = [tuple(pair) for pair in case.parameters]
    return read_arguments((parameters, case.batch.x, case.batch.y), 0)


def _right(case: Case, *, with_jax: bool) -> list[Function]:
    """Right functions; NumPy's products of bfloat16 are float32, so that there it stays out."""
    functions = [loss(torch_loss(case), "torch", "torch")]
    if case.dtype != "bfloat16":
        functions.append(gradient(numpy_gradient(case), "numpy", "numpy"))
    if with_jax or case.dtype == "bfloat16":
        functions.append(loss(jax_loss(case), "jax", "jax"))
    return functions


def _measured(functions: Sequence[Function], arguments: Arguments) -> list[Measured]:
    runners = [Runner(function, arguments, None, (), None) for function in functions]
    return measure(runners, arguments, REPEATS, seed=0)


def _judged(found: Sequence[Measured], arguments: Arguments) -> tuple[LeafComparison, ...]:
    return judge_functions(found, pooled(found), arguments.format)


def _correct(case: Case, found: Sequence[Measured], arguments: Arguments) -> CorrectPair:
    compared = _judged(found, arguments)
    return CorrectPair(
        case.seed,
        case.dtype,
        tuple(m.name for m in found),
        tuple(f"{c.quantity}: {c.function} against {c.against}" for c in compared if c.verdict in WRONG),
        len(compared),
        sum(c.verdict == UNDECIDABLE for c in compared),
        max((c.judgement.over_floor or 0.0 for c in compared), default=0.0),
    )


def _trials(
    case: Case, own_losses: Mapping[Mutant, bool], partners: Sequence[Measured], arguments: Arguments
) -> list[FunctionTrial]:
    ground = Ground.of(case)
    kinds = {q.name for q in case.quantities if q.kind in CANDIDATE_KINDS}
    found = []
    for mutant, own_loss in own_losses.items():
        if not mutant.applies(case):
            continue
        _, shift = shift_of(ground, mutant, kinds)
        with np.errstate(all="ignore"):
            (mine,) = _measured([gradient(mutant_function(case, mutant), "numpy", MUTANT)], arguments)
            compared = _judged([mine, partners[0]], arguments)
            blamed, blamed_of_more = (_blamed([mine, *some], arguments) for some in (partners[:1], partners))
        detected = any(c.verdict in WRONG for c in compared)
        found.append(
            FunctionTrial(
                case.seed, case.dtype, mutant.name, shift, detected, blamed, blamed_of_more, own_loss
            )
        )
    return found


def _blamed(found: Sequence[Measured], arguments: Arguments) -> tuple[str, ...]:
    blames = find_wrong(found, _judged(found, arguments), arguments).blames
    return tuple(blame.function for blame in blames)


def mutant_function(case: Case, mutant: Mutant) -> Callable[..., Any]:
    """A mutant as a gradient function of NumPy arrays, in whatever format these have."""

    def gradients(params: Any, x: Any, y: Any) -> Any:
        at = replace(
            case,
            parameters=tuple(
                DenseParameters(np.asarray(W), None if b is None else np.asarray(b)) for W, b in params
            ),
            batch=Batch(np.asarray(x), np.asarray(y)),
            dtype=str(x.dtype),
        )
        found = run_mutant(mutant, at).quantities
        return found[LOSS_NAME], [(found[f"dW.{n}"], found.get(f"db.{n}")) for n in range(1, len(params) + 1)]

    return gradients
