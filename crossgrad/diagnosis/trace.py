"""Diagnosis of an engine: the step at which the error enters, explained on the engine's own inputs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain

import numpy as np

from ..arithmetic import Uncertain
from ..networks.cases import Case
from ..networks.dtypes import Array
from ..place import replayed
from ..steps import Steps
from ..words import also
from .conventions import find_convention
from .explain import Found, alike, explain
from .explanation import Explanation
from .measure import BEYOND_NOISE, SURE, strayed
from .precision import bits_from_errors, find_kept, of_bits, said
from .record import (
    APPROXIMATE_ACTIVATION,
    BIAS_NOT_SUMMED,
    ELEMENTS,
    INPUT_CHANGED,
    Diagnosis,
)
from .samples import Part, bias_alone, find_samples
from .site import Site
from .stale import find_stale
from .updates import STEPS, as_step


@dataclass(frozen=True)
class TraceEvidence:
    """A whole trace, each quantity beside its replay."""

    case: Case
    got: Mapping[str, Array]
    wrong: Sequence[str]
    enters_at: str
    _found: dict[str, list[Found]] = field(default_factory=dict)

    @cached_property
    def steps(self) -> Steps:
        return Steps(self.case)

    @cached_property
    def right(self) -> dict[str, Uncertain]:
        """The replay; of a float64 case it has rounding errors of its own."""
        with np.errstate(all="ignore"):
            found = replayed(self.case, self.got)
        own = 2.0 if self.case.dtype == "float64" else 1.0
        return {name: Uncertain(t.value, own * t.variance) for name, t in found.items()}

    @cached_property
    def local(self) -> list[str]:
        """Quantities that disagree with their replay, in data-flow order: where errors enter.

        Beside what is not finite a right one may, where it overflows in one order and in another not.
        """
        finite = all(np.isfinite(array).all() for array in self.got.values())
        names = [q.name for q in self.case.quantities if finite or q.name in self.wrong]
        return [name for name in names if not strayed(self.got[name], self.right[name]) <= 1]

    @property
    def start(self) -> str:
        """The first place; not the one named before if what is not finite misled it."""
        finite = all(np.isfinite(array).all() for array in self.got.values())
        return (
            self.enters_at if not self.local or (finite and self.enters_at in self.local) else self.local[0]
        )

    def explained(self, name: str) -> list[Found]:
        """All explanations of one quantity, with those that look at several quantities."""
        if name not in self._found:
            part = self.part(name)
            more = chain(_samples(self, part), _stale(self, part))
            found = explain(*(as_step(*part) if part.site.kind in STEPS else part), more)
            self._found[name] = [_doubted(self, part, f) for f in found]
        return self._found[name]

    def part(self, name: str) -> Part:
        return Part(Site.of(self.steps, name, self._given), self.got[name], self.right[name])

    def _given(self, name: str) -> Uncertain:
        value = self.got[name]
        return Uncertain(value, self.steps.arithmetic.rounding(value))


def diagnose_trace(
    case: Case, got: Mapping[str, Array], wrong: Sequence[str], enters_at: str
) -> list[Diagnosis]:
    """Explain the error of an engine that delivered every quantity."""
    evidence = TraceEvidence(case, got, wrong, enters_at)
    found = [*_precision(evidence), *_convention(evidence)]
    if not np.isfinite(got[evidence.start]).all():
        return found + [d for d in _explanations(evidence) if d.cause == ELEMENTS]
    return found + _explanations(evidence)


def _explanations(evidence: TraceEvidence) -> list[Diagnosis]:
    found = []
    for name in _places(evidence):
        for here in evidence.explained(name):
            found.append(_diagnosis(name, here, here.text + _elsewhere(evidence, name, here)))
    return found


def _places(evidence: TraceEvidence) -> list[str]:
    """Where to look: at the start; with a wrong loss also at its derivative, which shows more."""
    derivative = f"da.{len(evidence.case.network.layers)}"
    if evidence.start == "loss" and derivative in evidence.local:
        return ["loss", derivative]
    return [evidence.start]


def _samples(evidence: TraceEvidence, part: Part) -> Iterator[Explanation]:
    """Miscounted samples, alike in all gradients that are wrong or in those of this layer."""
    if part.site.kind not in ("dW", "db"):
        return
    everywhere = [evidence.part(n) for n in evidence.local if n.partition(".")[0] in ("dW", "db")]
    layer = [p for p in everywhere if p.site.layer == part.site.layer]
    for group in [everywhere, layer] if len(layer) < len(everywhere) else [layer]:
        only_bias = all(p.site.kind == "db" for p in group)
        for fault in find_samples(group):
            dW = evidence.part(f"dW.{part.site.layer}")
            yield (bias_alone(fault, dW) if only_bias else fault).explain(part.site)


def _stale(evidence: TraceEvidence, part: Part) -> Iterator[Explanation]:
    """Something left from an earlier step, where both gradients or both parameters of a layer are wrong."""
    matrix, vector = ("W_new", "b_new") if part.site.kind in STEPS else ("dW", "db")
    layers = [n for n, (_, b) in enumerate(evidence.steps.parameters, start=1) if b is not None]
    wrong = {
        n: [f"{kind}.{n}" for kind in (matrix, vector) if f"{kind}.{n}" in evidence.local] for n in layers
    }
    both = [n for n in layers if len(wrong[n]) == 2]
    layer = part.site.layer if part.site.layer in both else both[0] if both else None
    if layer is not None:
        odd = any(len(names) == 1 for names in wrong.values())
        yield from find_stale(part, [evidence.part(name) for name in wrong[layer]], odd)


def _doubted(evidence: TraceEvidence, part: Part, found: Found) -> Found:
    """Less sure of what other quantities speak against."""
    cause, sure = found.cause, found.confidence
    if cause == APPROXIMATE_ACTIVATION and any(
        not n.startswith("a.") and n != "loss_new" for n in evidence.local
    ):
        sure *= 0.8
    partner = f"dW.{part.site.layer}"
    if cause == INPUT_CHANGED and sure < SURE and f"db.{part.site.layer}" in evidence.local:
        sure *= 0.6
    if cause == BIAS_NOT_SUMMED and partner in evidence.local:
        sure *= 0.8
    return found._replace(confidence=sure)


def _elsewhere(evidence: TraceEvidence, start: str, here: Found) -> str:
    """Where else the same explains everything."""
    kind = start.partition(".")[0]
    others = [n for n in evidence.local if n != start and n.partition(".")[0] == kind]
    if here.confidence < SURE:
        return ""
    return also([n for n in others if _holds(here, evidence.explained(n))])


def _holds(explanation: Found, found: Sequence[Found]) -> bool:
    return any(f.confidence >= SURE and alike(f, explanation) for f in found)


def _diagnosis(name: str, found: Found, text: str) -> Diagnosis:
    kind, _, layer = name.partition(".")
    subject = f"the step from {kind[0]}.{layer} to {name}" if kind in STEPS else name
    return Diagnosis(found.cause, f"{subject} {text}", name, found.value, found.confidence)


def _precision(evidence: TraceEvidence) -> Iterator[Diagnosis]:
    """Fewer bits than the dtype has, judged by all places where errors enter."""
    case, start, local = evidence.case, evidence.start, evidence.local
    if not local:
        return
    bits = find_kept(evidence.got, local, case)
    got, right = evidence.got[start], evidence.right[start]
    if bits is not None:
        cause, text = said(case, bits, f"{start}{_and_others(local)} kept in")
        sure = 1.0 if strayed(got, of_bits(got, right, bits)) <= 1 else BEYOND_NOISE
        yield Diagnosis(cause, text, start, float(bits), sure)
    if all(name.startswith("a.") or name == "loss_new" for name in local):
        return  # a function of z that is a little off is an approximation, however it is made
    estimate = bits_from_errors(evidence.got, evidence.right, local, case)
    if estimate is not None:
        cause, text = said(case, estimate[0], f"{start}{_and_others(local)} computed with")
        yield Diagnosis(cause, text, start, estimate[0], estimate[1])


def _and_others(local: Sequence[str]) -> str:
    others = len(local) - 1
    return f" and {others} other quantities are" if others > 1 else " is"


def _convention(evidence: TraceEvidence) -> Iterator[Diagnosis]:
    """The loss and its derivative of another convention, and nothing else wrong by itself."""
    names = ("loss", f"da.{len(evidence.case.network.layers)}")
    if set(names) <= set(evidence.local) <= {*names, "loss_new"}:
        yield from find_convention(evidence.case, [evidence.part(n)[1:] for n in names], names)
