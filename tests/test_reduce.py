"""``crossgrad reduce``: what is left is small, wrong in the same way, and shown by a script of its own."""

import ast
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossgrad.backends.base import Backend, Program, Trace
from crossgrad.cli.app import run
from crossgrad.engines import Engine, EngineId
from crossgrad.mutants import MUTANTS, Mutant, run_hooked, run_mutant
from crossgrad.networks.cases import Case
from crossgrad.networks.errors import InvalidInput
from crossgrad.reduction import judged, reduce_case, same_fault, wrong_among
from crossgrad.scripts import script
from crossgrad.smaller import SAMPLES, arrays, bits, keeping, rounded, size, with_arrays, without_layers
from crossgrad.verdict import Judgement

from .conftest import load_or_skip, make_case
from .test_plugins import add_distribution, crossgrad

FAULTY = Path(__file__).parent / "faulty" / "crossgrad_faulty.py"


def shapes(case: Case) -> tuple[str, int]:
    return str(case.network), case.batch_size


def squares(case: Case) -> list[bool]:
    return [o == i for o, i in case.network.shapes]


PREDICATES: dict[str, tuple[Callable[[Case], bool], set[tuple[str, int]]]] = {
    "always": (lambda case: True, {("1-1", 1)}),
    "more than one sample": (lambda case: case.batch_size > 1, {("1-1", 2)}),
    "five samples": (lambda case: case.batch_size >= 5, {("1-1", 5)}),
    "not square": (lambda case: not all(squares(case)), {("1-2", 1), ("2-1", 1)}),
    "square": (lambda case: any(squares(case)) and max(case.network.widths) > 1, {("2-2", 1), ("1-1-2", 1)}),
    "batch as wide": (lambda case: case.batch_size == case.network.widths[-1] > 1, {("1-2", 2)}),
    "three layers": (lambda case: len(case.parameters) >= 3, {("1-1-1-1", 1)}),
    "narrowing": (lambda case: any(o < i for o, i in case.network.shapes), {("2-1", 1)}),
    "negative weight": (lambda case: any((W < 0).any() for W, _ in case.parameters), {("1-1", 1)}),
    "eleven outputs": (lambda case: case.network.widths[-1] >= 11, {("1-11", 1)}),
}
"""By name: whether a case is wrong, and the smallest cases that are, as network and batch."""


@pytest.mark.parametrize(
    ("name", "network"),
    [
        (name, network)
        for name, (still_wrong, _) in PREDICATES.items()
        for network in ("7-6-5-5-3-12", "12-12-12-12", "64-100-20-12")
        if still_wrong(make_case(network, batch_size=12))
    ],
)
def test_planted_conditions_come_down_to_the_smallest_case(name: str, network: str) -> None:
    still_wrong, smallest = PREDICATES[name]
    case = make_case(network, batch_size=12)
    assert still_wrong(case)
    found = reduce_case(case, still_wrong)
    assert still_wrong(found.case)
    assert shapes(found.case) in smallest
    assert found.tried <= 120
    assert found.case.name == f"{network}-reduced"
    numbers = np.concatenate([array.ravel() for array in arrays(found.case).values()])
    assert set(numbers) <= {-1.0, 0.0, 1.0}
    assert ((numbers < 0).sum() == 1) == (name == "negative weight")


def test_one_needed_element_is_found_wherever_it_is() -> None:
    case = make_case("20-30-10", batch_size=8)
    weights = case.parameters[1].W.copy()
    weights[6, 17] = 50.3
    case = with_arrays(case, {"W.2": weights})
    found = reduce_case(case, lambda c: any((W > 40).any() for W, _ in c.parameters))
    assert shapes(found.case) == ("1-1", 1)
    assert bits(found.case.parameters[0].W) < bits(np.array(50.3))


def test_the_original_is_returned_if_nothing_smaller_is_wrong() -> None:
    case = make_case("7-6-5", batch_size=4)
    found = reduce_case(case, lambda c: False)
    assert found.case is case
    assert found.steps == ()
    assert 0 < found.tried <= 400


@pytest.mark.parametrize("budget", [0, 1, 5, 17])
def test_the_budget_is_kept(budget: int) -> None:
    asked = 0

    def still_wrong(case: Case) -> bool:
        nonlocal asked
        asked += 1
        return case.network.widths[0] >= 5

    found = reduce_case(make_case("9-8-7", batch_size=6), still_wrong, budget=budget)
    assert asked == found.tried == budget
    assert found.case.network.widths[0] >= 5


def test_what_cannot_be_judged_is_not_wrong() -> None:
    def unjudged(case: Case) -> bool:
        if case.batch_size < 3:
            raise InvalidInput("too few samples")
        return True

    assert shapes(reduce_case(make_case("5-4-3", batch_size=9), unjudged).case) == ("1-1", 3)

    def broken(case: Case) -> bool:
        raise RuntimeError("a fault of the judge")

    with pytest.raises(RuntimeError, match="a fault of the judge"):
        reduce_case(make_case("5-4-3"), broken)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    widths = draw(st.lists(st.integers(1, 9), min_size=2, max_size=6))
    return make_case(
        "-".join(map(str, widths)),
        draw(st.sampled_from(["float16", "float32", "float64"])),
        batch_size=draw(st.integers(1, 9)),
        seed=draw(st.integers(0, 99)),
        loss=draw(st.sampled_from(["mse", "mse-sum", "half-mse"])),
    )


@st.composite
def conditions(draw: st.DrawFn) -> Callable[[Case], bool]:
    """True of a case as large and as uneven as drawn."""
    layers, width, samples = draw(st.integers(1, 3)), draw(st.integers(1, 4)), draw(st.integers(1, 4))
    threshold, residue = draw(st.floats(-2, 2)), draw(st.sampled_from([1, 1, 2]))

    def condition(case: Case) -> bool:
        return (
            len(case.parameters) >= layers
            and max(case.network.widths) >= width
            and case.batch_size >= samples
            and sum(case.network.widths) % residue == 0
            and bool((case.batch.x > threshold).any())
        )

    return condition


@settings(max_examples=25, deadline=None)
@given(case=cases(), condition=conditions())
def test_what_is_left_is_wrong_and_smaller_and_the_same_each_time(
    case: Case, condition: Callable[[Case], bool]
) -> None:
    accepted = [case]

    def still_wrong(candidate: Case) -> bool:
        wrong = condition(candidate)
        if wrong:
            accepted.append(candidate)
        return wrong

    found = reduce_case(case, still_wrong)
    assert found.tried <= 400
    assert len(found.steps) == len(accepted) - 1
    assert all(size(after) < size(before) for before, after in pairwise(accepted))
    assert found.case is case or condition(found.case)
    assert size(found.case) == size(accepted[-1])
    assert (found.case.dtype, found.case.loss, found.case.seed) == (case.dtype, case.loss, case.seed)
    again = reduce_case(case, condition)
    assert (again.tried, again.steps) == (found.tried, found.steps)
    for name, array in arrays(found.case).items():
        np.testing.assert_array_equal(arrays(again.case)[name], array, strict=True)


def test_bits() -> None:
    numbers = [0.0, 1.0, -1.0, 2.0, 0.5, 3.0, 0.375, 0.1]
    assert [bits(np.array(v)) for v in numbers] == [1, 1, 2, 2, 2, 2, 5, 52 + 55]
    assert bits(np.array(numbers)) == 1 + 1 + 2 + 2 + 2 + 2 + 5 + 107
    np.testing.assert_array_equal(rounded(np.array([0.37, -5.3, 0.0, 1e-310]), 2)[:3], [0.375, -6, 0])


def test_cuts_are_slices_of_the_case() -> None:
    case = make_case("5-4-3-2", batch_size=6)
    cut = keeping(case, 1, [1, 3])
    np.testing.assert_array_equal(cut.parameters[0].W, case.parameters[0].W[[1, 3]])
    np.testing.assert_array_equal(cut.parameters[0].b, case.parameters[0].b[[1, 3]])
    np.testing.assert_array_equal(cut.parameters[1].W, case.parameters[1].W[:, [1, 3]])
    np.testing.assert_array_equal(keeping(case, SAMPLES, [4]).batch.y, case.batch.y[[4]])
    np.testing.assert_array_equal(keeping(case, 3, [1]).batch.y, case.batch.y[:, [1]])
    assert str(without_layers(case, 1, 2).network) == "3-2"
    assert str(without_layers(case, 2, 2).network) == "5-3-2"
    assert str(without_layers(case, 2, 3).network) == "5-2"
    widening = without_layers(make_case("5-2-9-3"), 2, 2)
    assert str(widening.network) == "5-2-3"


class MutantBackend(Backend):
    """An engine with the fault of a mutant, and without it where the mutant does not apply."""

    name = "mutant"
    variants = ("default",)

    def __init__(self, mutant: Mutant) -> None:
        self.mutant = mutant

    def devices(self) -> tuple[str, ...]:
        return ("cpu",)

    def prepare(self, case: Case, variant: str, device: str) -> Program:
        return MutantProgram(case, self.mutant)


class MutantProgram(Program):
    def __init__(self, case: Case, mutant: Mutant) -> None:
        self.case, self.mutant = case, mutant

    def put(self, parameters: Any, batch: Any) -> None:
        pass

    def step(self, values: Any) -> Trace:
        return run_mutant(self.mutant, self.case) if self.mutant.applies(self.case) else run_hooked(self.case)

    def gradients(self, result: Trace) -> dict[str, Any]:
        return {n: q for n, q in result.quantities.items() if n.partition(".")[0] in ("loss", "dW", "db")}

    def trace(self, values: Any) -> Trace:
        return self.step(values)


SMALLEST = {
    "loss-derivative-doubled": ("1-1", 1),
    "loss-derivative-over-elements": ("1-2", 2),
    "dW-transposed": ("2-2", 1),
    "W-transposed-in-da": ("1-2-2", 1),
    "derivative-missing-in-lower-layers": ("1-1-1-1", 1),
    "units-permuted-in-db": ("1-2", 1),
    "last-sample-dropped": ("1-1", 2),
    "dW-wrong-at-16": ("17-1", 1),
    "update-of-layer-below": ("1-1-1", 1),
    "products-in-bfloat16": ("1-1", 1),
    "gradients-stored-in-bfloat16": ("1-1", 1),
}


@pytest.mark.parametrize("name", SMALLEST)
def test_mutants_come_down_to_the_smallest_case(name: str) -> None:
    (mutant,) = (m for m in MUTANTS if m.name == name)
    engine = Engine(EngineId("mutant", name, "cpu"), MutantBackend(mutant))
    case = make_case("20-24-24-24-10", batch_size=10)
    _, comparisons = judged(case, engine)
    found = reduce_case(case, same_fault(engine, "auto", comparisons))
    assert shapes(found.case) == SMALLEST[name]
    before, after = (wrong_among(found) for found in (comparisons, judged(found.case, engine)[1]))
    assert before[0].quantity.partition(".")[0] == after[0].quantity.partition(".")[0]


@pytest.mark.parametrize(("verdict", "expected"), [("undecidable", True), ("agree", False)])
def test_a_fault_that_noise_hid_may_show_earlier(verdict: str, expected: bool) -> None:
    """With dW wrong first, that dz is wrong in a smaller case is the same fault only if dz was in doubt."""
    (mutant,) = (m for m in MUTANTS if m.name == "loss-derivative-doubled")
    engine = Engine(EngineId("mutant", mutant.name, "cpu"), MutantBackend(mutant))
    case = make_case("3-2", batch_size=2)
    _, comparisons = judged(case, engine)
    assert wrong_among(comparisons)[0].quantity == "da.1"
    found = Judgement(verdict, index=(0, 0))
    hidden = [replace(c, judgement=found) if c.quantity in ("da.1", "dz.1") else c for c in comparisons]
    assert same_fault(engine, "auto", comparisons)(case)
    assert same_fault(engine, "auto", hidden)(case) is expected


def script_values(text: str) -> Mapping[str, Any]:
    """The dictionary `values` of a script, without running it."""
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "values":
            return ast.literal_eval(node.value)
    raise AssertionError("the script has no values")


def run_script(text: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    file = folder / "script.py"
    file.write_text(text, encoding="utf-8")
    return subprocess.run(
        [sys.executable, str(file)],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )


@pytest.mark.parametrize(
    ("backend", "variant", "dtype"),
    [
        ("numpy", "manual", "float16"),
        ("numpy", "manual", "float64"),
        ("torch", "eager", "float32"),
        ("torch", "func", "bfloat16"),
        ("jax", "jit", "float64"),
        ("jax", "forward", "float32"),
    ],
)
def test_the_script_of_a_right_engine_exits_with_0(
    backend: str, variant: str, dtype: str, tmp_path: Path
) -> None:
    load_or_skip(backend)
    case = make_case("3-4-2", dtype, batch_size=3, loss="half-mse")
    text = script(case, EngineId(backend, variant, "cpu"))
    assert "import crossgrad" not in text
    done = run_script(text, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    first, *quantities, last = done.stdout.splitlines()
    assert f"numpy {np.__version__}" in first
    assert {line.partition(":")[0] for line in quantities} == {"loss", "dW1", "db1", "dW2", "db2"}
    assert all(": right; its largest difference" in line for line in quantities)
    assert last == "no disagreement"


@pytest.mark.parametrize("spoilt", ["-v", "v * np.nan", "v * 1.0001"])
def test_the_script_of_a_wrong_engine_exits_with_1(spoilt: str, tmp_path: Path) -> None:
    text = script(make_case("3-2", batch_size=2), EngineId("numpy", "manual", "cpu"))
    wrong = text.replace("found(), False", f"{{name: {spoilt} for name, v in found().items()}}, False")
    assert wrong != text
    done = run_script(wrong, tmp_path)
    assert (done.returncode, done.stderr) == (1, "")
    assert "dW1: WRONG; its largest difference is" in done.stdout
    assert done.stdout.splitlines()[-1] == "numpy:manual@cpu is wrong"


@settings(max_examples=40, deadline=None)
@given(case=cases(), scale=st.sampled_from([1e-40, 1e-6, 1.0, 1e4]), engine=st.sampled_from(["torch", "jax"]))
def test_scripts_hold_the_exact_numbers(case: Case, scale: float, engine: str) -> None:
    x = np.asarray(case.batch.x, np.float64) * scale
    x[0, 0] = -0.0
    case = with_arrays(case, {"x": x})
    text = script(case, EngineId(engine, {"torch": "eager", "jax": "jit"}[engine], "cpu"))
    compile(text, "script.py", "exec")
    values = script_values(text)
    for name, array in arrays(case).items():
        written = np.array(values[name.replace(".", "")], np.float64)
        assert written.tobytes() == array.astype(np.float64).tobytes()


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the faulty plug-in."""
    folder = tmp_path_factory.mktemp("plugins")
    places = {"faulty": "crossgrad_faulty:FaultyBackend"}
    return add_distribution(folder, "crossgrad_faulty", places, {"crossgrad_faulty": FAULTY.read_text()})


def test_reduce_from_end_to_end(plugins: Path, tmp_path: Path) -> None:
    file = tmp_path / "bug.py"
    done = crossgrad(plugins, "reduce", "6-6-6-4", "-b", "faulty:no-batch-mean", "-o", str(file))
    assert (done.returncode, done.stderr) == (1, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "faulty:no-batch-mean@cpu is wrong on 6-6-6-4 float32"
    assert lines[1] == "original: 6-6-6-4, batch 32, 112 parameters"
    assert lines[2].startswith("reduced:  1-1, batch 2, 2 parameters (")
    assert any(line.strip().startswith("dW.1[0, 0]: got 0.57493") for line in lines)
    shown = run_script(file.read_text(), tmp_path, PYTHONPATH=str(plugins))
    assert (shown.returncode, shown.stderr) == (1, "")
    assert "dW.1: disagree" in shown.stdout
    assert shown.stdout.splitlines()[-1] == "faulty:no-batch-mean@cpu is wrong"
    right = run_script(file.read_text().replace("no-batch-mean", "none"), tmp_path, PYTHONPATH=str(plugins))
    assert (right.returncode, right.stderr) == (0, "")


def test_stdout_is_a_script(plugins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.syspath_prepend(plugins)
    assert run(["reduce", "4-4-4", "-b", "faulty:nan", "--seed", "3", "--dtype", "float64"]) == 1
    written = capsys.readouterr()
    assert written.err == ""
    assert written.out.startswith("# faulty:nan@cpu is wrong on 4-4-4 float64\n")
    assert "dW.1[0, 0]: got nan, expected 0.28" in written.out
    shown = run_script(written.out, tmp_path, PYTHONPATH=str(plugins))
    assert (shown.returncode, shown.stderr) == (1, "")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["article", "-b", "numpy"], 0, "nothing to reduce: numpy:manual agrees on article float32"),
        (["3-2", "-b", "faulty:none"], 0, "nothing to reduce: faulty:none agrees on 3-2 float32"),
        (["3-2", "-b", "faulty:raises"], 3, "faulty:raises@cpu: failed: RuntimeError: planted failure"),
        (["3-2", "-b", "numpy", "-d", "cuda"], 3, "numpy:manual@cuda: missing: numpy runs on cpu only"),
        (["3-2", "-b", "numpy", "--dtype", "tf32"], 3, "numpy does not compute in tf32"),
        (["3-2", "-b", "numby"], 2, "did you mean numpy"),
        (["3-2", "-b", "numpy", "--oracle", "none"], 2, "reduce needs an oracle"),
        (["3-2", "-b", "numpy", "--oracle", "delphi"], 2, "unknown oracle 'delphi'"),
        (["3-2", "-b", "numpy", "--dtype", "float23"], 2, "unknown dtype 'float23'"),
        (["3-2"], 2, "--backend"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
def test_exit_codes(
    arguments: list[str], code: int, said: str, plugins: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(plugins)
    assert run(["reduce", *arguments]) == code
    written = capsys.readouterr()
    assert said in written.out + written.err


def spoil(monkeypatch: pytest.MonkeyPatch, method: str, spoilt: Callable[..., Any]) -> None:
    from crossgrad.backends.numpy.engine import NumpyProgram

    right = getattr(NumpyProgram, method)
    monkeypatch.setattr(NumpyProgram, method, lambda *args: spoilt(right(*args)))


def test_a_fault_of_the_engine_alone_is_told_apart_by_the_script(
    tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NumPy is right where crossgrad's engine is wrong: the script exits with 0 and says what that means."""
    spoil(monkeypatch, "gradients", lambda found: found | {"dW.2": found["dW.2"] * np.float32(1.5)})
    file = tmp_path / "bug.py"
    assert run(["reduce", "5-4-3", "-b", "numpy", "-o", str(file)]) == 1
    assert "reduced:  1-1-1, batch 1, 4 parameters" in capsys.readouterr().out
    assert "import crossgrad" not in file.read_text()
    assert "the fault is not in numpy but in crossgrad's engine" in file.read_text().replace("\n# ", " ")
    assert run_script(file.read_text(), tmp_path).returncode == 0


def test_a_fault_beside_the_gradients_is_left_to_crossgrad(
    tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, "_updated", lambda new: new + np.float32(1))
    file = tmp_path / "bug.py"
    assert run(["reduce", "5-4-3", "-b", "numpy", "-o", str(file)]) == 1
    assert "W_new.1[0, 0]: got" in capsys.readouterr().out
    text = file.read_text()
    assert "\nimport crossgrad\n" in text
    assert "neither loss nor gradient is wrong, but W_new.1" in text.replace("\n# ", " ")
    compile(text, "bug.py", "exec")
