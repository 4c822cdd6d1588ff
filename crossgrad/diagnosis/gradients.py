"""Diagnosis of a candidate: only its loss, dW and db are there, so faults further up are run and compared.

First each wrong gradient is explained on the right inputs, as if the fault
were there; an explanation counts if it holds for every wrong gradient. Then
whole runs with one wrong formula, the likeliest first, within a bound on cost.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice

import numpy as np

from ..floor import Floor, Steps, Uncertain
from ..networks.cases import Case
from ..networks.dtypes import Array
from .conventions import find_convention
from .explain import Found, alike, explain
from .explanation import Explanation
from .measure import SURE, confidence, fit, strayed
from .passes import backward_hypotheses, forward_hypotheses, run
from .precision import bits_from_errors, find_kept, of_bits, said
from .record import DETACHED, ELEMENTS, FACTOR, SAMPLE_DROPPED, SIGN, STALE_GRADIENT, Diagnosis
from .samples import Part, SampleFault, bias_alone, find_samples
from .site import Site
from .words import listed

MOST_RUNS = 60
MOST_OPERATIONS = 4e9
"""Multiplications that all runs together may cost: a second or two."""

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
    if evidence.gradients:
        found += [*_precision(evidence), *_in_all(evidence)]
        if all(d.confidence < SURE for d in found):
            found += [*_of_runs(evidence), *_by_elimination(evidence)]
    return found


def _of_loss(evidence: GradientEvidence) -> Iterator[Diagnosis]:
    """The loss alone, or with all gradients in another convention."""
    if "loss" not in evidence.wrong:
        return
    if not evidence.gradients:
        for found in explain(*evidence.part("loss")):
            e = found.explanation
            yield Diagnosis(
                e.cause, f"loss {e.text}; the gradients are right", "loss", e.value, found.confidence
            )
        return
    names = ["loss", *(n for n in evidence.got if n.partition(".")[0] in ("dW", "db"))]
    yield from find_convention(evidence.case, [evidence.part(n)[1:] for n in names], names)


def _in_all(evidence: GradientEvidence) -> Iterator[Diagnosis]:
    """Explanations of the first wrong gradient that hold for all of them."""
    parts = {name: evidence.part(name) for name in evidence.gradients}
    faults = list(find_samples(list(parts.values())))
    if all(part.site.kind == "db" for part in parts.values()):
        faults = [bias_alone(fault, evidence.part(f"dW.{evidence.layer}")) for fault in faults]
    each = {
        name: explain(*part, [fault.explain(part.site) for fault in faults]) for name, part in parts.items()
    }
    for first in each[evidence.gradients[0]]:
        sure = min(_confidence_in(first.explanation, found) for found in each.values())
        if first.explanation.cause == ELEMENTS and sure < SURE:
            sure = max(sure, _spoilt_unit(evidence, each))
        if first.explanation.cause == SAMPLE_DROPPED and _one_unit_down(evidence):
            sure *= 0.8
        if "loss" in evidence.wrong:
            sure *= _with_loss(evidence, first.explanation, faults)
        e = first.explanation
        yield Diagnosis(e.cause, _said(evidence, e), _place(evidence, e), e.value, sure)


def _confidence_in(explanation: Explanation, found: Sequence[Found]) -> float:
    same = [f.confidence for f in found if alike(f.explanation, explanation)]
    return max(same, default=0.0)


def _spoilt_unit(evidence: GradientEvidence, each: Mapping[str, list[Found]]) -> float:
    """A wrong element of dz: a few elements wrong in its layer; what lies below inherits it."""
    here = [each[n] for n in evidence.gradients if int(n.partition(".")[2]) == evidence.layer]
    below = len(here) < len(evidence.gradients)
    sure = [
        max((f.confidence for f in found if f.explanation.cause == ELEMENTS), default=0.0) for found in here
    ]
    return 0.85 * min(sure) if below else 0.0


def _one_unit_down(evidence: GradientEvidence) -> bool:
    """One sample's dz wrong in a layer of one unit looks like a sample dropped from there down."""
    below = [n for n in evidence.gradients if int(n.partition(".")[2]) < evidence.layer]
    widths = evidence.case.network.widths
    return bool(below) and evidence.layer < len(widths) - 1 and widths[evidence.layer] == 1


def _with_loss(evidence: GradientEvidence, explanation: Explanation, faults: Sequence[SampleFault]) -> float:
    """How far an explanation of the gradients leaves a wrong loss unexplained."""
    part = evidence.part("loss")
    loss = explain(*part, [fault.explain(part.site) for fault in faults])
    return 1.0 if _confidence_in(explanation, loss) >= SURE else 0.6


def _place(evidence: GradientEvidence, explanation: Explanation) -> str:
    """A factor in all gradients from a layer down enters above them; other faults at the first gradient."""
    inherited = explanation.cause in (FACTOR, SIGN, DETACHED)
    return evidence.enters_at if inherited else evidence.gradients[0]


def _said(evidence: GradientEvidence, explanation: Explanation) -> str:
    names = evidence.gradients
    return f"{names[0]} {explanation.text}" + (f"; so are {listed(names[1:])}" if len(names) > 1 else "")


def _of_runs(evidence: GradientEvidence) -> Iterator[Diagnosis]:
    """Run one hypothesis after the other until one leaves nothing but rounding noise."""
    case = evidence.case
    operations = 8.0 * case.network.parameter_count * case.batch_size
    affordable = min(MOST_RUNS, int(MOST_OPERATIONS / operations))
    forward = "loss" in evidence.wrong
    orders = [forward_hypotheses(case), backward_hypotheses(case, evidence.layer)]
    hypotheses = chain(*(orders if forward else reversed(orders)))
    for hypothesis in islice(hypotheses, affordable):
        with np.errstate(all="ignore"):
            predicted = run(hypothesis, evidence.steps, evidence.known)
            delivered = [
                n for n in predicted if n in evidence.got and not _overflown(evidence, predicted[n], n)
            ]
            sure = confidence(fit(evidence.got[n], evidence.known[n], predicted[n]) for n in delivered)
        if sure > 0:
            yield Diagnosis(hypothesis.cause, hypothesis.text, hypothesis.place, hypothesis.value, sure)
        if sure >= SURE:
            return


def _overflown(evidence: GradientEvidence, predicted: Uncertain, name: str) -> bool:
    """Whether a gradient is beyond the dtype's range, as predicted: there is nothing to compare."""
    within = np.abs(predicted.value) <= 2.0 ** (evidence.case.format.max_exponent - 1)
    return not np.isfinite(evidence.got[name]).all() and not within.all()


def _by_elimination(evidence: GradientEvidence) -> Iterator[Diagnosis]:
    every = {q.name for q in evidence.case.quantities if q.kind in ("dW", "db")}
    if "loss" not in evidence.wrong and every == set(evidence.gradients):
        text = "every gradient is wrong, the loss is right: perhaps accumulated from an earlier step"
        yield Diagnosis(STALE_GRADIENT, text, evidence.gradients[0], None, GUESS)


def _precision(evidence: GradientEvidence) -> Iterator[Diagnosis]:
    case, got, names = evidence.case, evidence.got, evidence.gradients
    first, subject = names[0], listed(names) + (" are" if len(names) > 1 else " is")
    bits = find_kept(got, names, case)
    if bits is not None:
        cause, text = said(case, bits, f"{subject} kept in")
        sure = 1.0 if strayed(got[first], of_bits(got[first], evidence.known[first], bits)) <= 1 else GUESS
        yield Diagnosis(cause, text, first, float(bits), sure)
    estimate = bits_from_errors(got, evidence.known, names, case)
    if estimate is not None:
        cause, text = said(case, estimate[0], f"{subject} computed with")
        yield Diagnosis(cause, text, evidence.enters_at, estimate[0], estimate[1])
