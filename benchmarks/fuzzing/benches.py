"""What a benchmark left: its results, read, compared, shown and saved again."""

from pathlib import Path

from crossgrad.bench.baseline import Baseline, over_baseline
from crossgrad.bench.compare import compare, comparison_json, comparison_text
from crossgrad.bench.curves import curves_of
from crossgrad.bench.results import Limit, Problem, Results, Row, Settings, Yardstick, read_results
from crossgrad.bench.rules import Rule
from crossgrad.bench.saved import SIZE_LIMIT
from crossgrad.bench.statistics import noise_notes
from crossgrad.bench.text import results_csv, results_markdown, results_text
from crossgrad.networks.files import read_whole

from .target import Target, assert_harmless, assert_shown_well, emptied, refuses, words

_SUBJECT = {"network": "784-100-10", "batch_size": 32, "dtype": "float32"}
_ENGINE = {"backend": "torch", "variant": "eager", "device": "cpu"}
SAMPLES = (1e-3, 1.1e-3, 1e-3, 1.2e-3, 1e-3, 1.1e-3)
RESULTS = Results(
    began="2026-01-01T00:00:00+00:00",
    environment={"cpu": "a processor", "cores": 2, "backends": {"torch": {"version": "2"}}},
    settings=Settings(min_time=1.0, rounds=6, threads=1),
    limits=(
        Limit(**_SUBJECT, device="cpu", products="numpy:manual@cpu", forward=1e-4, step=3e-4, bandwidth=1e9),
    ),
    yardsticks=(
        Yardstick(
            **_SUBJECT, device="cpu", engine="numpy:manual@cpu", forward=SAMPLES, step=SAMPLES, copied=SAMPLES
        ),
    ),
    rows=(
        Row(**_SUBJECT, **_ENGINE, phase="compile", median=0.5, parts={"trace": 0.1}),
        Row(
            **_SUBJECT, **_ENGINE, phase="step", median=1e-3, iqr=1e-4, low=1e-3, high=1.2e-3, rounds=6,
            limit_share=0.3, gflops=9.5, gbps=1.5, verdict="agree", memory=4096, samples=SAMPLES,
        ),
    ),
    problems=(Problem(**_SUBJECT, **_ENGINE, phase="update", status="crashed", message="a message"),),
    notes=("a note",),
)  # fmt: skip


BASELINE = Baseline("numpy", "manual", None)
HELD = over_baseline(
    RESULTS.model_copy(
        update={
            "rows": (
                *RESULTS.rows,
                RESULTS.rows[1].model_copy(update={"backend": "numpy", "variant": "manual"}),
            )
        }
    ),
    BASELINE,
    Rule(0.05),
)


def _results(data: bytes, folder: Path) -> bool:
    (emptied(folder) / "results.json").write_bytes(data)
    return not refuses(_read, folder)


def _read(folder: Path) -> None:
    path = folder / "results.json"
    found = read_results(read_whole(path, SIZE_LIMIT, "a benchmark's results"), str(path))
    again = read_results(found.to_json(), "what was read")  # without an environment's NaN and infinities
    for field in ("rows", "limits", "yardsticks", "problems"):
        assert getattr(again, field) == getattr(found, field)
    assert read_results(again.to_json(), "what was read again") == again
    held = over_baseline(found, BASELINE, Rule(0.05))
    assert read_results(held.to_json(), "what was held").baseline == held.baseline
    assert_harmless(results_text(held))
    for note in noise_notes(found.rows):
        assert note
    for shown in (results_text(found), results_markdown(found), results_csv(found)):
        assert_harmless(shown)
    for compared in (compare(RESULTS, found), compare(found, RESULTS), compare(found, found)):
        assert_shown_well(comparison_text(compared)[-10_000:])
        assert_harmless(comparison_json(compared))
    refuses(lambda folder: curves_of(found), folder)


BENCHES = Target(
    _results,
    seeds=(
        RESULTS.to_json().encode(),
        HELD.to_json().encode(),
        RESULTS.model_copy(update={"rows": RESULTS.rows[1:], "problems": ()}).to_json().encode(),
    ),
    words=words('"samples": "median": "limit_share": "environment": {"a": [] null true NaN 1e308 1e400 -1')
    + words(
        "5e-324 0 yardsticks copied \\u0000 \\ud800 \\u001b[2J crossgrad.bench/1 step update 1-1 rounds "
        "baseline median>5%"
    ),
)
