"""Ids of cases: each is one case, and the case can be made again from it, bit for bit."""

import contextlib
import shlex

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossgrad import InvalidInput
from crossgrad.cli.app import run
from crossgrad.networks.dtypes import DTYPES
from crossgrad.networks.rules import LOSSES
from crossgrad.networks.spec import LARGEST_COUNT
from crossgrad.sweep.ids import EXAMPLE, LARGEST_SEED, LONGEST_ID, CaseId

from .conftest import make_case

IDS = st.builds(
    CaseId,
    st.lists(st.integers(1, LARGEST_COUNT), min_size=2, max_size=10).map(tuple),
    st.integers(1, LARGEST_COUNT),
    st.sampled_from(sorted(DTYPES)),
    st.sampled_from(sorted(LOSSES)),
    st.floats(1e-6, 1e6),
    st.integers(0, LARGEST_SEED),
)


@given(case=IDS)
def test_id_reads_back(case: CaseId) -> None:
    text = str(case)
    assert CaseId.parse(text) == case
    assert shlex.quote(text) == text
    assert text.isprintable()
    assert len(text) <= LONGEST_ID


@given(text=st.text() | st.text("0123456789-_bwsfloatmhe.", max_size=60))
def test_any_text_is_an_id_or_refused(text: str) -> None:
    with contextlib.suppress(InvalidInput):
        assert str(CaseId.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", f"expected an id such as {EXAMPLE}"),
        ("64-100-10", "expected an id such as"),
        ("3_b1_float32_mse_w1_s0", "expected inputs and at least one layer"),
        ("3-0_b1_float32_mse_w1_s0", "expected a whole number of at least 1"),
        ("3-2_b0_float32_mse_w1_s0", "the batch size is 0"),
        ("3-2_b01_float32_mse_w1_s0", "written 3-2_b1_float32_mse_w1_s0, as a case has one id only"),
        ("3-2_b1_float32_mse_w1.0_s0", "written 3-2_b1_float32_mse_w1_s0"),
        ("3-2_b1_float23_mse_w1_s0", "did you mean float32"),
        ("3-2_b1_float32_msee_w1_s0", "unknown loss 'msee'"),
        ("3-2_b1_float32_mse_w0_s0", "weight scale 0.0: expected 1e-06 to 1e+06"),
        ("3-2_b1_float32_mse_w1e999_s0", "weight scale inf"),
        ("3-2_b1_float32_mse_w1.2.3_s0", "expected an id such as"),
        (f"3-2_b1_float32_mse_w1_s{LARGEST_SEED + 1}", "expected a whole number from 0 to"),
        ("3-2_b1_float32_mse_w1_s0\n", "expected an id such as"),
        ("٣-2_b1_float32_mse_w1_s0", "expected an id such as"),
        ("1-" * 200 + "1_b1_float32_mse_w1_s0", "expected an id such as"),
    ],
)
def test_other_text_is_refused(text: str, said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        CaseId.parse(text)
    assert said in str(caught.value)


def test_network_too_deep_for_an_id_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"needs an id of .* characters, at most 255"):
        CaseId((100,) * 80, 1, "float32", "mse", 1.0, 0)


@settings(max_examples=20)
@given(seed=st.integers(0, LARGEST_SEED), dtype=st.sampled_from(["float16", "float32", "float64"]))
def test_case_of_scale_one_is_the_drawn_case(seed: int, dtype: str) -> None:
    case = CaseId((3, 4, 2), 5, dtype, "half-mse", 1.0, seed).case()
    expected = make_case("3-4-2", dtype, seed=seed, batch_size=5, loss="half-mse")
    assert (case.loss, case.seed, case.dtype) == (expected.loss, expected.seed, expected.dtype)
    assert case.learning_rate == expected.learning_rate
    assert case.batch.x.tobytes() == expected.batch.x.tobytes()
    assert case.batch.y.tobytes() == expected.batch.y.tobytes()
    for (W, b), (expected_W, expected_b) in zip(case.parameters, expected.parameters, strict=True):
        assert (W.tobytes(), b.tobytes()) == (expected_W.tobytes(), expected_b.tobytes())


def test_weights_are_scaled_before_they_are_rounded() -> None:
    once, wide = (CaseId((3, 2), 1, d, "mse", 1.37, 0).case() for d in ("float32", "float64"))
    drawn = make_case("3-2", "float64", batch_size=1).parameters[0]
    assert np.array_equal(wide.parameters[0].W, 1.37 * drawn.W)
    assert np.array_equal(once.parameters[0].W, (1.37 * drawn.W).astype(np.float32))
    assert np.array_equal(wide.parameters[0].b, drawn.b)


def test_case_beyond_its_dtype_is_refused() -> None:
    with pytest.raises(InvalidInput, match="too large for float16"):
        CaseId.parse("3-2_b1_float16_mse_w1000000_s0").case()


def test_check_runs_the_case(capsys: pytest.CaptureFixture[str]) -> None:
    ids = ["3-4-2_b3_float32_mse_w1.5_s4", "2-1_b1_float64_mse-sum_w1_s0"]
    arguments = [part for case_id in ids for part in ("--case", case_id)]
    assert run(["check", *arguments, "-b", "numpy", "--no-isolate"]) == 0
    shown = capsys.readouterr().out
    assert "3-4-2_b3_float32_mse_w1.5_s4 · 3-4-2 · mse · batch 3 · lr 0.1 · seed 4 · float32" in shown
    assert "2 cases" in shown


@pytest.mark.parametrize("command", ["check", "reduce"])
def test_an_id_says_all_of_a_case(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [command, "3-2", "--case", EXAMPLE, "-b", "numpy", "--seed", "3", "--dtype", "float32"]
    assert run(arguments) == 2
    assert "leave out NETWORK, --dtype, --seed" in capsys.readouterr().err


def test_reduce_takes_an_id(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["reduce", "--case", "3-2_b1_float32_mse_w1_s0", "-b", "numpy"]) == 0
    assert "nothing to reduce: numpy:manual agrees on 3-2_b1_float32_mse_w1_s0" in capsys.readouterr().out
    assert run(["reduce", "-b", "numpy"]) == 2


def test_large_case_is_refused_before_it_is_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", "--case", "1000000000-1000000000_b1_float32_mse_w1_s0", "-b", "numpy"]) == 2
    assert "--allow-large" in capsys.readouterr().err
