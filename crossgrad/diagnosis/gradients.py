"""Diagnosis of a candidate: only its loss, dW and db are there, so faults further up are run and compared.

First each wrong gradient is explained on the right inputs, as if the fault
were there; an explanation counts if it holds for every wrong gradient. Then
whole runs with one wrong formula, the likeliest first, within a bound on cost.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice

import numpy as np

from ..arithmetic import Uncertain
from ..floor import Floor
from ..networks.cases import Case
from ..networks.dtypes import Array
from ..networks.parameters import by_name
from ..steps import Steps
from ..words import also, listed
from .conventions import find_convention
from .decay import find_decay
from .explain import Found, alike, explain
from .measure import CONVINCING, SURE, WORTH_NAMING, confidence, fit
from .passes import backward_hypotheses, forward_hypotheses, run
from .precision import bits_from_errors, find_kept, said
from .record import (
    DETACHED,
    FACTOR,
    PERMUTATION,
    SAMPLE_DROPPED,
    SIGN,
    STALE_GRADIENT,
    UNRECOGNISED,
    Diagnosis,
)
from .samples import Part, SampleFault, bias_alone, find_samples
from .scale import Factor
from .site import Site
from .spoilt import changed_element, missed_element

MOST_RUNS = 120
MOST_OPERATIONS = 2e10
"""Multiplications that all runs together may cost: a second or two."""

SMALL = 0.02
"""Relative error up to which fewer bits are the likeliest cause of errors without a pattern."""

TINY = 2.0**-1000
"""No variance is zero: errors are measured in it."""

INHERITED = (FACTOR, SIGN, DETACHED)
"""Causes that all the gradients below a fault have from it."""

GUESS = 0.35
"""Confidence in what only has the place in its favour: below what is put before `unrecognised`."""


@dataclass(frozen=True)
class GradientEvidence:
    """Loss, dW and db, beside the right values."""

    case: Case
    got: Mapping[str, Array]
    wrong: Sequence[str]
    enters_at: str
    floor: Floor

    @cached_property
    def steps(self) -> Steps:
        return Steps(self.case)

    @cached_property
    def known(self) -> dict[str, Uncertain]:
        """Every quantity as it should be; of a float64 case it has rounding errors of its own."""
        own = 2.0 if self.case.dtype == "float64" else 1.0
        return {
            name: Uncertain(value, own * np.square(self.floor.sigma[name]))
            for name, value in self.floor.value.items()
        }

    @cached_property
    def gradients(self) -> list[str]:
        """Wrong gradients, from the last layer down."""
        return [n for n in self.wrong if n in self.got and n.partition(".")[0] in ("dW", "db")]

    @property
    def all_wrong(self) -> bool:
        """Whether every gradient is."""
        return {q.name for q in self.case.quantities if q.kind in ("dW", "db")} == set(self.gradients)

    @property
    def layer(self) -> int:
        return int(self.gradients[0].partition(".")[2])

    def part(self, name: str) -> Part:
        site = Site.of(self.steps, name, self.known.__getitem__)
        return Part(site, self.got[name], self.known[name])


def diagnose_gradients(
    case: Case, got: Mapping[str, Array], wrong: Sequence[str], enters_at: str, floor: Floor
) -> list[Diagnosis]:
    """Explain the errors of a candidate that delivered the loss and gradients."""
    evidence = GradientEvidence(case, got, wrong, enters_at, floor)
    found = list(_of_loss(evidence))
    ways = (_precision, _elsewhere, _decay, _in_all, _of_runs, _by_elimination)
    for way in ways if evidence.gradients else ():
        if all(d.confidence < SURE for d in found):
            found += way(evidence)
    return found


def _of_loss(evidence: GradientEvidence) -> Iterator[Diagnosis]:
    """The loss alone, or with all gradients in another convention."""
    if "loss" not in evidence.wrong:
        return
    if not evidence.gradients:
        for e in explain(*evidence.part("loss")):
            yield Diagnosis(e.cause, f"loss {e.text}; the gradients are right", "loss", e.value, e.confidence)
        return
    names = ["loss", *(n for n in evidence.got if n.partition(".")[0] in ("dW", "db"))]
    yield from find_convention(evidence.case, [evidence.part(n)[1:] for n in names], names)


def _elsewhere(evidence: GradientEvidence) -> Iterator[Diagnosis]:
    """Right numbers in the wrong places: other layers' gradients, or the parameters after the step."""
    depth = len(evidence.case.parameters)
    before = by_name(evidence.case.widened().parameters)
    exact = {name: np.square(evidence.case.format.eps * array) + TINY for name, array in before.items()}
    given = {name: Uncertain(array, exact[name]) for name, array in before.items()}
    known = evidence.known | given
    names = [name for name in evidence.got if name != "loss"]

    def seen_as(other: Callable[[str, int], str]) -> float:
        predicted = {name: other(name[:2], int(name[3:])) for name in names}
        got = [(evidence.got[name], known[name], known.get(of)) for name, of in predicted.items()]
        if any(there is None or there.value.shape != array.shape for array, _, there in got):
            return 0.0
        return confidence(fit(array, here, there) for array, here, there in got if there is not None)

    if depth > 1:
        text = "the gradients come with the last layer first: expected the first layer's first"
        backwards = seen_as(lambda kind, n: f"{kind}.{depth + 1 - n}")
        yield Diagnosis(PERMUTATION, text, names[0], None, backwards)
    for form, text in (("{}.{}", ""), ("{}_new.{}", " after the step, W - lr dW,")):
        told = f"{listed(names)} are the parameters{text} and no gradients"
        yield Diagnosis(UNRECOGNISED, told, names[0], None, seen_as(_parameter_of(form)))


def _decay(evidence: GradientEvidence) -> Iterator[Diagnosis]:
    return find_decay(evidence.case, evidence.got, evidence.known, evidence.wrong)


def _parameter_of(form: str) -> Callable[[str, int], str]:
    """The parameter whose gradient is ``dW`` or ``db`` of a layer."""
    return lambda kind, n: form.format(kind[1], n)


def _in_all(evidence: GradientEvidence) -> Iterator[Diagnosis]:
    """Explanations of the first wrong gradient that hold for all of them."""
    parts = {name: evidence.part(name) for name in evidence.gradients}
    faults = list(find_samples(list(parts.values())))
    if all(part.site.kind == "db" for part in parts.values()):
        faults = [bias_alone(fault, evidence.part(f"dW.{evidence.layer}")) for fault in faults]
    each: dict[str, list[Found]] = {}
    factor = _one_factor(list(parts.values()))
    for name, part in parts.items():
        proposed = (fault.explain(part.site) for fault in faults)
        each[name] = explain(*part, chain(proposed, [factor.explain(part.right)] if factor else ()))
        if all(found.confidence < WORTH_NAMING for found in each[name]):
            return
    for e in each[evidence.gradients[0]]:
        sure = min(_confidence_in(e, found) for found in each.values())
        if e.cause == SAMPLE_DROPPED and _one_unit_down(evidence):
            sure *= 0.8
        names = evidence.gradients
        if "loss" in evidence.wrong and not _explains_loss(evidence, e, faults):
            sure *= 0.6
        elif "loss" in evidence.wrong and evidence.all_wrong and e.cause in (FACTOR, SIGN):
            names = ["loss", *names]
        yield Diagnosis(e.cause, _said(names, e), _place(evidence, names, e), e.value, sure)


def _one_factor(parts: Sequence[Part]) -> Factor | None:
    """The factor of all gradients together: it says more than one fitted to the few elements of a db."""

    def together(arrays: Iterator[Array]) -> Array:
        return np.concatenate([array.ravel() for array in arrays])

    value, variance = together(p.right.value for p in parts), together(p.right.variance for p in parts)
    return Factor.of(parts[0].site, together(p.got for p in parts), Uncertain(value, variance))


def _confidence_in(explanation: Found, found: Sequence[Found]) -> float:
    same = [f.confidence for f in found if alike(f, explanation)]
    return max(same, default=0.0)


def _one_unit_down(evidence: GradientEvidence) -> bool:
    """One sample's dz wrong in a layer of one unit looks like a sample dropped from there down."""
    below = [n for n in evidence.gradients if int(n.partition(".")[2]) < evidence.layer]
    widths = evidence.case.network.widths
    return bool(below) and evidence.layer < len(widths) - 1 and widths[evidence.layer] == 1


def _explains_loss(evidence: GradientEvidence, explanation: Found, faults: Sequence[SampleFault]) -> bool:
    """Whether an explanation of the gradients is one of the wrong loss too."""
    part = evidence.part("loss")
    loss = explain(*part, (fault.explain(part.site) for fault in faults))
    enough = WORTH_NAMING if explanation.cause == FACTOR else SURE  # one that is alike tells
    return _confidence_in(explanation, loss) >= enough


def _place(evidence: GradientEvidence, names: Sequence[str], explanation: Found) -> str:
    """A factor in all gradients from a layer down enters above them; other faults at the first of `names`."""
    inherited = explanation.cause in INHERITED and names[0] != "loss"
    return evidence.enters_at if inherited else names[0]


def _said(names: Sequence[str], explanation: Found) -> str:
    first, *others = names
    return f"{first} {explanation.text}{also(others)}"


def _of_runs(evidence: GradientEvidence) -> Iterator[Diagnosis]:
    """Run one hypothesis after the other until one leaves nothing but rounding noise."""
    case = evidence.case
    orders = [forward_hypotheses(case), backward_hypotheses(evidence.layer)]
    here = [evidence.part(n) for n in evidence.gradients if int(n.partition(".")[2]) == evidence.layer]
    hypotheses = chain(
        missed_element(here),
        *(orders if "loss" in evidence.wrong else reversed(orders)),
        changed_element(here),
    )
    with np.errstate(all="ignore"):
        tried = ((h, run(h, evidence.steps, evidence.known)) for h in hypotheses)
        possible = ((h, predicted) for h, predicted in tried if predicted is not None)
        for hypothesis, predicted in islice(possible, _affordable_runs(case)):
            sure = hypothesis.certainty * _confidence_in_run(evidence, predicted)
            if sure > 0:
                yield Diagnosis(hypothesis.cause, hypothesis.text, hypothesis.place, hypothesis.value, sure)
            if sure >= SURE:
                return


def _affordable_runs(case: Case) -> int:
    operations = 8.0 * case.network.parameter_count * case.batch_size
    return min(MOST_RUNS, int(MOST_OPERATIONS / operations))


def _confidence_in_run(evidence: GradientEvidence, predicted: Mapping[str, Uncertain]) -> float:
    return confidence(
        fit(evidence.got[name], evidence.known[name], tensor)
        for name, tensor in predicted.items()
        if name in evidence.got and not _overflown(evidence, tensor, name)
    )


def _overflown(evidence: GradientEvidence, predicted: Uncertain, name: str) -> bool:
    """Whether a gradient is beyond the dtype's range, as predicted: there is nothing to compare."""
    within = np.abs(predicted.value) <= 2.0 ** (evidence.case.format.max_exponent - 1)
    return not np.isfinite(evidence.got[name]).all() and not within.all()


def _by_elimination(evidence: GradientEvidence) -> Iterator[Diagnosis]:
    finite = all(np.isfinite(evidence.got[name]).all() for name in evidence.gradients)
    if finite and "loss" not in evidence.wrong and evidence.all_wrong:
        text = "every gradient is wrong, the loss is right: perhaps accumulated from an earlier step"
        yield Diagnosis(STALE_GRADIENT, text, evidence.gradients[0], None, GUESS)


def _precision(evidence: GradientEvidence) -> Iterator[Diagnosis]:
    case, got, names = evidence.case, evidence.got, evidence.gradients
    first, subject = names[0], listed(names) + (" are" if len(names) > 1 else " is")
    bits = find_kept(got, names, case)
    if bits is not None:
        cause, text = said(case, bits, f"{subject} kept in")
        own_error = _largest_relative_error(evidence) <= 2.0 ** (4 - bits)
        sure = 0.95 if own_error else 0.6
        yield Diagnosis(cause, text, first, float(bits), sure)
    estimate = bits_from_errors(got, evidence.known, names, case)
    if estimate is not None:
        cause, text = said(case, estimate[0], f"{subject} as far off as")
        text += ": a guess from the size of the errors alone"
        small = _largest_relative_error(evidence) <= SMALL and estimate[1] >= GUESS
        sure = (CONVINCING if small else 0.4) + 0.1 * estimate[1]
        yield Diagnosis(cause, text, evidence.enters_at, estimate[0], sure)


def _largest_relative_error(evidence: GradientEvidence) -> float:
    """Of the wrong gradients, by norm."""
    with np.errstate(all="ignore"):
        return max(
            float(
                np.linalg.norm(evidence.got[n] - evidence.known[n].value)
                / np.linalg.norm(evidence.known[n].value)
            )
            for n in evidence.gradients
        )
