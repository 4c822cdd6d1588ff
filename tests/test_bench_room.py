"""Who does not fit into memory beside the others loses its rows; the estimate is near the truth."""

import os
from itertools import pairwise
from math import prod
from pathlib import Path

import pytest

from crossgrad.bench import lanes, room
from crossgrad.bench.lanes import Lanes
from crossgrad.bench.room import EACH, held_bytes, lack_of_room, require_room
from crossgrad.cli.app import run
from crossgrad.networks import memory
from crossgrad.networks.catalogue import build_case, find_entry
from crossgrad.networks.spec import Dense, Network
from crossgrad.workers.limits import Limits

from .test_bench import bench, item, paced, paced_folder  # noqa: F401 - fixtures

HUGE = Network(8192, (Dense(8192),) * 3)
HELD = Path("/proc/self/oom_score_adj").exists()
"""Whether this system says what a process holds."""


def test_every_engine_counts_and_a_device_has_its_own_memory() -> None:
    needed = [held_bytes(HUGE, 128, "float32", on_cpu=count) for count in range(1, 5)]
    each = needed[1] - needed[0]
    assert [more - less for less, more in pairwise(needed)] == [each] * 3
    on_device = held_bytes(HUGE, 128, "float32", on_cpu=1, on_device=1) - needed[0]
    assert 4 * HUGE.parameter_count <= on_device < each / 5


def test_200_million_parameters_fit_into_24_gib_with_three_engines_and_not_with_four() -> None:
    """Of which some is the system's, and the engines' libraries'."""
    needed = [held_bytes(HUGE, 128, "float32", on_cpu=count) for count in (3, 4)]
    assert needed[0] < 22 * 2**30 < needed[1]


@pytest.mark.parametrize("width", [8, 1024])
def test_a_wider_oracle_counts_where_it_judges(width: int) -> None:
    """Of large networks it does not, in a benchmark."""
    network = Network(width, (Dense(width),) * 3)
    more = held_bytes(network, 512, "float64", 1) - 2 * held_bytes(network, 512, "float32", 1)
    assert (more > 0) == (width == 8)


def test_where_not_even_one_engine_fits_it_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    needed = held_bytes(HUGE, 128, "float32", on_cpu=1)
    monkeypatch.setattr(memory, "available_bytes", lambda: needed)
    require_room(HUGE, 128, "float32")
    monkeypatch.setattr(memory, "available_bytes", lambda: needed - 1)
    wide = ["bench", "--widths", "8192", "--batch-size", "128", "-d", "cpu", "--allow-large"]
    assert run([*wide, "-b", "jax"]) == 2
    assert "needs about 10.1 GiB for 1 engine, and 10.1 GiB are available" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("fitting", "timed"), [(1, ["numpy"]), (2, ["numpy", "paced"]), (9, ["numpy", "paced"])]
)
@pytest.mark.usefixtures("paced")
def test_an_engine_that_does_not_fit_beside_the_others_loses_its_rows(
    fitting: int, timed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "ALWAYS_THERE", 0)
    there = item()
    available = held_bytes(there.network, there.batch_size, there.dtype, on_cpu=fitting)
    monkeypatch.setattr(lanes, "available_bytes", lambda: available)
    found = bench("numpy", "paced:right")
    assert list(dict.fromkeys(row.backend for row in found.rows)) == timed
    told = [(problem.backend, problem.status, problem.message) for problem in found.problems]
    wanted = "2 engines would hold about 0.0 GiB, and 0.0 GiB were available: measure fewer together"
    assert told == ([("paced", "out-of-memory", wanted)] if fitting == 1 else [])


@pytest.mark.usefixtures("paced")
def test_a_yardstick_that_does_not_fit_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "ALWAYS_THERE", 0)
    there = item()
    available = held_bytes(there.network, there.batch_size, there.dtype, on_cpu=1)
    monkeypatch.setattr(lanes, "available_bytes", lambda: available)
    found = bench("paced:right")
    assert found.problems == ()
    assert any(
        "numpy:manual@cpu at 6-5-4 (batch 3, float32): a yardstick less, as 2 engines would hold" in note
        for note in found.notes
    )


@pytest.mark.parametrize(("available", "lacks"), [(None, False), (2**40 - 1, True), (2**40, False)])
def test_there_is_no_room_from_the_first_byte_too_many(available: int | None, lacks: bool) -> None:
    assert (lack_of_room(2**40, available, engines=3) is not None) == lacks


@pytest.mark.skipif(not HELD, reason="this system does not say what a process holds")
@pytest.mark.parametrize("name", ["numpy", "torch", "jax"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_estimate_is_near_what_an_engine_holds(name: str, dtype: str) -> None:
    pytest.importorskip(name)
    network = Network(2048, (Dense(2048),) * 2)
    with Lanes([name], ["cpu"], Limits()) as loaded:
        engine = loaded.engines[0]
        status = Path(f"/proc/{engine.lane.places[0].worker.pid}/status")
        sizes = []
        for held in (Network(2, (Dense(2),)), network):
            case = build_case(find_entry(held), dtype=dtype, batch_size=128)
            loaded.hold(engine, case, products=True)
            sizes.append(memory_of(status))
    item = 4 if dtype == "float32" else 8
    quantities = item * sum(prod(quantity.shape) for quantity in network.quantities(128))
    assert EACH / 2 < (sizes[1] - sizes[0]) / quantities < 2 * EACH


def memory_of(status: Path) -> int:
    found = [line for line in status.read_text().splitlines() if line.startswith("VmRSS")]
    return int(found[0].split()[1]) * 1024


@pytest.mark.skipif(not HELD, reason="Linux alone can be told whom to end first")
def test_where_memory_runs_out_an_engine_is_ended_first() -> None:
    with Lanes(["numpy"], ["cpu"], Limits()) as loaded:
        worker = loaded.engines[0].lane.places[0].worker
        assert worker is not None
        theirs = int(Path(f"/proc/{worker.pid}/oom_score_adj").read_text())
    ours = int(Path(f"/proc/{os.getpid()}/oom_score_adj").read_text())
    assert theirs == min(ours + 500, 1000)
