"""What a check found: frozen records, and their JSON form (``schemas/report.schema.json``)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from typing import Any

from .compare import Blame, Comparison
from .diagnosis import Diagnosis
from .engines import EngineId
from .escape import terminal
from .findings import FAILED, ORDER, describe, describe_blame, worst_verdict
from .run import Run
from .verdict import WRONG, Judgement

SCHEMA = "crossgrad.report/2"


class GradientsDisagree(AssertionError):
    """A report that is not in order was required to be."""


@dataclass(frozen=True)
class CaseReport:
    """One case: what ran, what was compared, and what is not in order beside the comparisons.

    Parameters
    ----------
    oracle
        Name of the judge; ``none`` where engines were compared with each other.
    blames
        The engines that the oracle found wrong, and where the error enters.
    problems
        Reasons for the verdict ``failed``: engines that broke or that were
        asked for and are missing, or nothing that could be decided.
    judge_seconds
        What the oracle, the comparisons and the diagnosis took.
    """

    name: str
    network: str
    loss: str
    batch_size: int
    learning_rate: float
    seed: int
    dtype: str
    oracle: str
    runs: tuple[Run, ...]
    comparisons: tuple[Comparison, ...]
    blames: tuple[Blame, ...]
    problems: tuple[str, ...]
    judge_seconds: float = 0.0

    @property
    def verdict(self) -> str:
        worst = worst_verdict(self.comparisons)
        return worst if worst in WRONG or not self.problems else FAILED

    def comparisons_of(self, engine: EngineId) -> list[Comparison]:
        """Those in which `engine` takes part, on either side."""
        return [c for c in self.comparisons if engine == c.engine or c.against == str(engine)]

    @property
    def untold(self) -> list[Run]:
        """Runs with a message that is not among the problems: of its own, or of what was asked for."""
        return [run for run in self.runs if run.message and not any(_tells(p, run) for p in self.problems)]

    @property
    def title(self) -> str:
        return f"{self.name} {self.dtype}"


def _tells(problem: str, run: Run) -> bool:
    """Whether a problem is that of a run, and not of another that failed in the same words."""
    asked = tuple(f"{name} was asked for: " for name in (run.engine.label, run.engine.device))
    told = problem.startswith(asked) and str(run.message) in problem
    return told or problem == f"{run.engine}: {run.message}"


@dataclass(frozen=True)
class Report:
    """The outcome of a check; `verdict` is the worst of its cases'."""

    cases: tuple[CaseReport, ...]
    environment: Mapping[str, Any]
    seconds: Mapping[str, float]
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """What ``crossgrad check`` prints, at a prompt and in a notebook too."""
        from .text import closing_line, report_text  # heavy

        return report_text(self, to_file=True) + closing_line(self)

    @cached_property
    def verdict(self) -> str:
        return max((case.verdict for case in self.cases), key=ORDER.index, default=FAILED)

    @property
    def ok(self) -> bool:
        """Whether all that was asked for ran, nothing is wrong, and every case decided something."""
        return self.verdict not in {*WRONG, FAILED}

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        return tuple(comparison for case in self.cases for comparison in case.comparisons)

    def raise_if_disagree(self) -> None:
        """Raise `GradientsDisagree`, listing field by field what is not in order, unless `ok`."""
        if not self.ok:
            raise GradientsDisagree("\n".join(map(terminal, self._complaints())))

    def _complaints(self) -> list[str]:
        lines = [f"verdict: {self.verdict}"]
        for case in self.cases:
            lines += [f"{case.title}: {problem}" for problem in case.problems]
            lines += [f"{case.title}: {describe_blame(b)}" for b in case.blames]
            wrong = [c for c in case.comparisons if c.verdict in WRONG]
            lines += [f"{case.title}: {c.quantity}: {describe(c)}" for c in wrong]
        return lines

    def to_dict(self) -> dict[str, Any]:
        """The report as plain data, in the form of the published schema."""
        return {
            "schema": SCHEMA,
            "verdict": self.verdict,
            "environment": dict(self.environment),
            "seconds": dict(self.seconds),
            "notes": list(self.notes),
            "cases": [_case_dict(case) for case in self.cases],
        }

    def to_json(self) -> str:
        """The report as JSON text. Infinities and NaN are the strings "Infinity", "-Infinity", "NaN"."""
        return json.dumps(self.to_dict(), indent=1, allow_nan=False, default=str)


def plain_number(value: float | None) -> float | str | None:
    """A number as strict JSON can hold it."""
    if value is None or isfinite(value):
        return value
    return "NaN" if value != value else ("Infinity" if value > 0 else "-Infinity")


def _case_dict(case: CaseReport) -> dict[str, Any]:
    return {
        "name": case.name,
        "network": case.network,
        "loss": case.loss,
        "batch_size": case.batch_size,
        "learning_rate": case.learning_rate,
        "seed": case.seed,
        "dtype": case.dtype,
        "verdict": case.verdict,
        "oracle": case.oracle,
        "problems": list(case.problems),
        "blames": [
            {
                **_engine_dict(b.engine),
                "enters_at": b.enters_at,
                "diagnoses": [_diagnosis_dict(d) for d in b.diagnoses],
            }
            for b in case.blames
        ],
        "runs": [_engine_dict(run.engine) | _run_dict(run) for run in case.runs],
        "comparisons": [
            {
                "quantity": c.quantity,
                **_engine_dict(c.engine),
                "against": c.against,
                **_judgement_dict(c.judgement),
            }
            for c in case.comparisons
        ],
    }


def _diagnosis_dict(found: Diagnosis) -> dict[str, Any]:
    return {
        "cause": found.cause,
        "text": found.text,
        "quantity": found.quantity,
        "value": plain_number(found.value),
        "confidence": plain_number(found.confidence),
    }


def _engine_dict(engine: EngineId) -> dict[str, Any]:
    return {"backend": engine.backend, "variant": engine.variant, "device": engine.device}


def _run_dict(run: Run) -> dict[str, Any]:
    return {
        "status": run.status,
        "message": run.message,
        "stderr": run.stderr,
        "seconds": dict(run.seconds),
    }


def _judgement_dict(found: Judgement) -> dict[str, Any]:
    return {
        "verdict": found.verdict,
        "reason": found.reason,
        "max_abs_error": plain_number(found.max_abs_error),
        "max_ulp": plain_number(found.max_ulp),
        "over_floor": plain_number(found.over_floor),
        "digits": plain_number(found.digits),
        "scale": plain_number(found.scale),
        "index": None if found.index is None else list(found.index),
        "got": plain_number(found.got),
        "expected": plain_number(found.expected),
        "floor": plain_number(found.floor),
        "decidable_in": found.decidable_in,
    }
