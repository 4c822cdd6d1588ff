"""Plans: case n depends on the plan and n alone, shards part it, files and options mean the same."""

import contextlib
import json
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossgrad import InvalidInput
from crossgrad.sweep.plan import GridPlan, Plan, RandomPlan, Shard
from crossgrad.sweep.plan_files import load_plan, read_plan, require_affordable_plan
from crossgrad.sweep.ranges import bounds
from crossgrad.sweep.schemas import published

COUNTS = st.tuples(st.integers(1, 300), st.integers(1, 300)).map(
    lambda pair: "..".join(map(str, sorted(pair)))
)


def read(**options: Any) -> Plan:
    return read_plan({key.replace("_", "-"): value for key, value in options.items()}, "the test")


PLANS = st.builds(
    read,
    cases=st.integers(1, 40),
    depth=st.integers(1, 4),
    width=COUNTS,
    batch=COUNTS,
    dtype=st.sampled_from([["float32"], ["float64", "float16"]]),
    weight_scale=st.sampled_from(["0.1..12", "2.5", 1]),
    seed=st.integers(0, 1000),
    seeds_per_shape=st.integers(1, 5),
) | st.builds(
    read,
    networks=st.lists(st.sampled_from(["3-2", "4-4-1", "1-1"]), min_size=1, max_size=3),
    batch=st.lists(st.integers(1, 9), min_size=1, max_size=3),
    loss=st.sampled_from([["mse"], ["mse", "mse-sum"]]),
    weight_scale=st.lists(st.sampled_from([0.5, 1.0, 2.0]), min_size=1, max_size=3),
    seeds_per_shape=st.integers(1, 4),
)


@given(plan=PLANS)
def test_no_case_is_twice_in_a_plan(plan: Plan) -> None:
    cases = [plan.case(number) for number in Shard().numbers(plan)]
    assert len(cases) == len({str(case) for case in cases}) == plan.total == Shard().total(plan)


@given(plan=PLANS, count=st.integers(1, 7))
def test_shards_part_a_plan(plan: Plan, count: int) -> None:
    shards = [Shard(index, count) for index in range(1, count + 1)]
    numbers = [list(shard.numbers(plan)) for shard in shards]
    assert sorted(n for part in numbers for n in part) == list(range(plan.total))
    assert [len(part) for part in numbers] == [shard.total(plan) for shard in shards]


@given(plan=PLANS)
def test_cases_of_a_shape_follow_each_other(plan: Plan) -> None:
    for number in Shard().numbers(plan):
        one, first = plan.case(number), plan.case(number - number % plan.group_size)
        assert (one.widths, one.batch, one.dtype, one.loss) == (
            first.widths,
            first.batch,
            first.dtype,
            first.loss,
        )


@given(plan=PLANS)
def test_plan_reads_back(plan: Plan) -> None:
    assert read_plan(plan.model_dump(), "the test") == plan
    assert read_plan(json.loads(plan.model_dump_json()), "the test") == plan


def test_longer_sweep_extends_a_shorter_one() -> None:
    short, long = read(cases=10), read(cases=1000)
    assert [short.case(n) for n in range(10)] == [long.case(n) for n in range(10)]


@settings(max_examples=30)
@given(depth=COUNTS, width=COUNTS, batch=COUNTS, seed=st.integers(0, 10**9))
def test_draws_are_within_their_ranges(depth: str, width: str, batch: str, seed: int) -> None:
    depth = depth if bounds(depth)[1] <= 30 else "1..3"
    plan = read(depth=depth, width=width, batch=batch, seed=seed, weight_scale="0.123456..0.1234561")
    for number in range(5):
        case = plan.case(number)
        assert bounds(depth)[0] <= case.depth <= bounds(depth)[1]
        assert all(bounds(width)[0] <= w <= bounds(width)[1] for w in case.widths)
        assert bounds(batch)[0] <= case.batch <= bounds(batch)[1]
        assert 0.123456 <= case.weight_scale <= 0.1234561


def test_stream_is_what_it_was() -> None:
    """Ids of published runs must stay those of their plans."""
    plan = read(cases=3, width="1..64", batch="1..16")
    assert [str(plan.case(n)) for n in range(3)] == [
        "3-1-1-29-45-12_b7_float32_mse_w0.859_s0",
        "10-28-54-1-2-26-1-20-13-1_b1_float32_mse_w5.81_s1",
        "5-12_b1_float32_mse_w1.2_s2",
    ]


def test_widths_are_log_uniform() -> None:
    plan = read(cases=400, depth=1, width="1..1024")
    narrow = sum(plan.case(number).widths[0] < 32 for number in range(400))
    assert 160 < narrow < 240  # half of the binades; 4 standard deviations


def test_grid_is_every_combination() -> None:
    plan = read(networks=["3-2", "4-1"], batch=[1, 2], weight_scale=[0.5, 2.0], seed=7, seeds_per_shape=2)
    cases = [plan.case(n) for n in range(plan.total)]
    assert len({(c.widths, c.batch, c.weight_scale, c.seed) for c in cases}) == 16 == plan.total
    assert {c.seed for c in cases} == {7, 8}


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "key": (
        {"widht": 3},
        "widht: unknown key, did you mean width? known are cases, depth, width, batch, dtype, loss",
    ),
    "grid-number": ({"networks": ["3-2"], "batch": 4}, "batch: expected a list in brackets, got 4"),
    "grid-key": ({"networks": ["3-2"], "depth": 3}, "depth: unknown key, known are networks, batch"),
    "network": ({"networks": ["3"]}, "networks[0]: network '3' has one width"),
    "no-network": ({"networks": []}, "networks: list should have at least 1 item"),
    "backwards": ({"depth": "12..1"}, "depth: expected a whole number or a range of them such as 1..12"),
    "zero": ({"batch": "0..3"}, "batch: expected a whole number"),
    "fraction": ({"width": 1.5}, "width: expected a whole number or a range of them"),
    "truth": ({"width": True}, "got True"),
    "words": ({"width": "wide"}, "got 'wide'"),
    "scale": ({"weight-scale": "0..1"}, "weight-scale: expected a number or a range such as 0.1..12"),
    "nan": ({"weight-scale": float("nan")}, "got nan"),
    "dtype": ({"dtype": ["f32"]}, "dtype[0]: unknown dtype 'f32'"),
    "dtypes": ({"dtype": []}, "dtype: list should have at least 1 item"),
    "loss": ({"loss": ["mae"]}, "loss[0]: unknown loss 'mae'"),
    "cases": ({"cases": 0}, "cases: input should be greater than or equal to 1, got 0"),
    "seed": ({"seed": -1}, "seed: input should be greater than or equal to 0"),
    "grid-total": (
        {"networks": ["3-2"], "batch": list(range(1, 102)), "seeds-per-shape": 10**5},
        "describes 10,100,000 cases: expected at most 10,000,000",
    ),
}


@pytest.mark.parametrize(("document", "said"), BAD.values(), ids=BAD)
def test_plan_is_refused(document: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_plan(document, "the test")
    assert said in str(caught.value)


@pytest.mark.parametrize("text", ["", "1", "1/0", "0/1", "3/2", "1/2/3", "a/b", "-1/2", "1/99999999", "1 /2"])
def test_shard_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="expected I/N with I from 1 to N"):
        Shard.parse(text)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"width": 10**9}, "--allow-large"),
        ({"batch": 10**9}, "--allow-large"),
        ({"depth": 300}, "needs an id of"),
        ({"depth": 10**12}, "needs an id of"),
    ],
)
def test_largest_case_is_refused_before_any_runs(options: dict[str, int], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        require_affordable_plan(read(**options))
    if said == "--allow-large":
        require_affordable_plan(read(**options), allow_large=True)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str | bytes], Path]:
    def written(content: str | bytes) -> Path:
        path = tmp_path / "sweep.toml"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return written


def test_file_and_options_are_the_same_plan(write: Any) -> None:
    path = write('cases = 7\nwidth = "1..8"\nweight-scale = 2\nseeds-per-shape = 3\ndtype = ["float64"]')
    options = {"cases": 7, "width": "1..8", "weight-scale": "2", "seeds-per-shape": 3, "dtype": ["float64"]}
    assert load_plan(path, {}) == load_plan(None, options)
    assert isinstance(load_plan(path, {}), RandomPlan)


def test_options_come_before_the_file(write: Any) -> None:
    path = write('cases = 7\nwidth = "1..8"')
    assert load_plan(path, {"cases": 9}) == load_plan(None, {"cases": 9, "width": "1..8"})


def test_networks_make_a_grid(write: Any) -> None:
    assert isinstance(load_plan(write('networks = ["3-2"]'), {}), GridPlan)
    with pytest.raises(InvalidInput, match="with the command line's --cases does not describe a grid"):
        load_plan(write('networks = ["3-2"]'), {"cases": 3})


@pytest.mark.parametrize("content", ["", "#", "cases 7", b"\xff", "a = " + 5000 * "[", 2**20 * b" " + b"\n"])
def test_other_content_is_refused(write: Any, content: str | bytes) -> None:
    with pytest.raises(InvalidInput, match=r"sweep\.toml"):
        load_plan(write(content), {})


@given(content=st.binary() | st.text("networks=[]\"3-2,\ncasd1.' ").map(str.encode))
def test_any_bytes_are_a_plan_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_bytes(content)
    with contextlib.suppress(InvalidInput):
        assert isinstance(load_plan(path, {}), RandomPlan | GridPlan)


# The published schemas


@pytest.mark.parametrize("name", published())
def test_published_schema_is_the_models(name: str) -> None:
    """If not: ``python -m crossgrad.sweep.schemas`` writes it anew."""
    text = files("crossgrad.schemas").joinpath(name).read_text(encoding="utf-8")
    assert text == published()[name]
    jsonschema.Draft202012Validator.check_schema(json.loads(text))


@given(plan=PLANS)
@settings(max_examples=30)
def test_schema_takes_what_is_a_plan(plan: Plan) -> None:
    jsonschema.validate(plan.model_dump(), json.loads(published()["sweep.schema.json"]))


SEEN_BY_SCHEMA = [name for name in BAD if name not in ("backwards", "nan", "grid-total", "zero", "scale")]


@pytest.mark.parametrize("name", SEEN_BY_SCHEMA)
def test_schema_refuses_what_is_refused(name: str) -> None:
    validator = jsonschema.Draft202012Validator(json.loads(published()["sweep.schema.json"]))
    assert not validator.is_valid(BAD[name][0])
