"""Anything at all as input: the only outcomes are a result or a refusal, and nothing else happens.

The targets are those of ``benchmarks/fuzz.py``, which goes on for longer. Here
hypothesis makes what is almost right, which random bytes seldom are.
"""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"

Read = Callable[[bytes], bool]
"""Read an input; true if it was taken, false if it was refused."""

fuzzed = settings(
    deadline=timedelta(seconds=10),
    max_examples=100,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture(scope="module")
def targets() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        return import_module("fuzzing.targets")


@pytest.fixture
def reader(targets: Any, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Read]:
    pytest.importorskip({"parameters": "safetensors", "onnx": "onnx"}.get(request.param, "crossgrad"))
    target = targets.TARGETS[request.param]
    with target.prepared():
        yield lambda data: target.read(data, tmp_path)


@pytest.fixture
def seeds(targets: Any, request: pytest.FixtureRequest) -> tuple[bytes, ...]:
    return targets.TARGETS[request.node.callspec.params["reader"]].seeds


def reading(target: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("reader", [target], indirect=True)


FILES = ["network", "parameters", "onnx", "mnist", "sweep", "ids", "run", "records", "bench"]


@pytest.mark.parametrize("reader", FILES, indirect=True)
@settings(fuzzed, max_examples=60)
@given(data=st.binary(max_size=300))
def test_any_bytes(reader: Read, data: bytes) -> None:
    reader(data)


@pytest.mark.parametrize("reader", FILES, indirect=True)
@fuzzed
@given(data=st.data())
def test_mutated_seeds(reader: Read, seeds: tuple[bytes, ...], data: st.DataObject) -> None:
    reader(mutated(data, data.draw(st.sampled_from(seeds))))


@pytest.mark.parametrize("reader", [*FILES, "cli"], indirect=True)
def test_seeds_are_mostly_taken(reader: Read, seeds: tuple[bytes, ...]) -> None:
    """Else mutations of them would all end at the first check."""
    assert sum(map(reader, seeds)) >= len(seeds) / 2


# Networks

SCALARS = (
    st.integers(-3, 10)
    | st.integers()
    | st.floats()
    | st.booleans()
    | st.text(max_size=8)
    | st.sampled_from(["sigmoid", "sigmiod", "1979-05-27", "\x1b[2J"])
)
KEYS = st.sampled_from(["inputs", "layers", "units", "activation", "bias"]) | st.text(max_size=5)
TABLES = st.dictionaries(KEYS, SCALARS, max_size=4)
DOCUMENTS = st.fixed_dictionaries(
    {}, optional={"inputs": SCALARS, "layers": st.lists(TABLES, max_size=3) | SCALARS, "more": TABLES}
)
LAYERS = st.fixed_dictionaries(
    {"units": st.integers(1, 10**6)},
    optional={"activation": st.just("sigmoid"), "bias": st.booleans()},
)
NETWORKS = st.fixed_dictionaries(
    {"inputs": st.integers(1, 10**6), "layers": st.lists(LAYERS, min_size=1, max_size=4)}
)


def toml(value: Any) -> str:
    """A value as TOML, inline; JSON's strings are TOML's but for DEL, and for halves of pairs."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(str(key))} = {toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value)


def toml_file(document: dict[str, Any]) -> bytes:
    text = "".join(f"{toml(key)} = {toml(value)}\n" for key, value in document.items())
    return text.encode(errors="surrogatepass")


@reading("network")
@fuzzed
@given(document=DOCUMENTS)
def test_documents_that_are_almost_networks(reader: Read, document: dict[str, Any]) -> None:
    reader(toml_file(document))


@reading("network")
@fuzzed
@given(document=NETWORKS)
def test_networks_are_taken(reader: Read, document: dict[str, Any]) -> None:
    assert reader(toml_file(document))


@reading("network")
@fuzzed
@given(document=NETWORKS, data=st.data())
def test_mutated_networks(reader: Read, document: dict[str, Any], data: st.DataObject) -> None:
    reader(mutated(data, toml_file(document)))


def mutated(data: st.DataObject, content: bytes) -> bytes:
    """Some bytes of `content` replaced, left out or put in."""
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content)))
        end = data.draw(st.integers(start, min(len(content), start + 9)))
        content = content[:start] + data.draw(st.binary(max_size=9)) + content[end:]
    return content


# Parameters

NAMES = st.sampled_from(["W.1", "b.1", "W.2", "b.2", "W.0", "__metadata__", "\x1b[2J\n"]) | st.text(
    max_size=5
)
SIZES = st.integers(0, 4) | st.sampled_from([-1, 2**31, 2**63, 2**64, 1e300, "2", None])
ENTRIES = st.fixed_dictionaries(
    {},
    optional={
        "dtype": st.sampled_from(["F32", "F64", "F16", "BF16", "I8", "BOOL", "F8_E4M3", "F4", "", 3]),
        "shape": st.lists(SIZES, max_size=4) | SIZES,
        "data_offsets": st.lists(SIZES, max_size=3) | SIZES,
    },
)


def with_header(header: str, body: bytes, length: int | None = None) -> bytes:
    text = header.encode(errors="surrogatepass")
    return (len(text) if length is None else length).to_bytes(8, "little") + text + body


@reading("parameters")
@fuzzed
@given(
    header=st.dictionaries(NAMES, ENTRIES | st.text(max_size=3), max_size=5),
    body=st.binary(max_size=64),
    length=st.none() | st.integers(0, 2**64 - 1),
)
def test_headers_that_are_almost_right(
    reader: Read, header: dict[str, Any], body: bytes, length: int | None
) -> None:
    reader(with_header(json.dumps(header), body, length))


# Command lines

HOSTILE = st.sampled_from(
    [
        *(
            "",
            "-",
            "--",
            "..",
            "/",
            "/dev/null/x",
            "\x1b[2J",
            "\u202e",
            "[/]",
            "{}",
            "%s",
            "\udcff",
            "n" * 300,
        ),
        *(
            "0",
            "-1",
            "1e400",
            "nan",
            "1" * 5000,
            "2-" * 500,
            "2-3²",
            "article",
            "x.toml",
            "torch:",
            ":",
            "cuda:x",
        ),
        *("=1+1", "$(touch x)", "`touch x`", "'; import os", "\r\n", "𝟙-𝟚"),
    ]
)
VALUES = HOSTILE | st.text(st.characters(exclude_characters="\0"), max_size=8)
FLAGS = ["--details", "-q", "--allow-large", "--help", "--deep", "--large", "--version"]
VALUED = [
    *("-b", "--backend", "-d", "--device", "--dtype", "--loss", "--batch-size", "--learning-rate", "--seed"),
    *("--oracle", "--mnist", "--params", "--format", "-o", "--output", "--cases", "--candidate", "--timeout"),
    *("--memory-limit", "--case", "--depth", "--width", "--shard", "--resume", "--jobs", "--max-failures"),
    *("--candidate-backend", "--batch"),
]
WORDS = st.sampled_from(FLAGS).map(lambda flag: [flag]) | st.tuples(st.sampled_from(VALUED), VALUES).map(list)
COMMANDS = st.sampled_from(["check", "trace", "reduce", "selftest", "doctor", "sweep"])
LINES = st.tuples(COMMANDS, st.lists(VALUES, max_size=2), st.lists(WORDS, max_size=3)).map(
    lambda drawn: [drawn[0], *drawn[1], *(word for words in drawn[2] for word in words)]
)


def as_bytes(arguments: list[str]) -> bytes:
    return "\0".join(arguments).encode(errors="surrogatepass")


@reading("cli")
@fuzzed
@given(arguments=LINES | st.lists(VALUES, max_size=4))
def test_command_lines(reader: Read, arguments: list[str]) -> None:
    reader(as_bytes(arguments))


@reading("cli")
@fuzzed
@given(
    option=st.sampled_from(VALUED),
    value=VALUES,
    command=st.sampled_from(["check 2-3", "trace 2-3", "reduce 2-3 -b numpy", "selftest --cases 1", "sweep"]),
)
def test_one_hostile_value_among_good_ones(reader: Read, command: str, option: str, value: str) -> None:
    reader(as_bytes([*command.split(), option, value]))


@reading("cli")
@fuzzed
@given(name=VALUES, backend=st.sampled_from(["numpy", "torch", "jax"]))
def test_new_candidates_of_any_name(reader: Read, name: str, backend: str) -> None:
    reader(as_bytes(["new-candidate", f"{name}.py", "--candidate-backend", backend]))


# The watch


def test_the_watch_sees_what_it_is_for(targets: Any, tmp_path: Path) -> None:
    watch = import_module("fuzzing.watch")
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    (outside / "there").mkdir(parents=True)
    with watch.watching(inside, ["--output=" + str(outside / "named")]):
        (inside / "file").write_text("")
        with pytest.raises(OSError, match="Read-only"):
            (outside / "named").write_text("")
        for escape in (
            lambda: (outside / "file").write_text(""),
            lambda: (inside / ".." / "outside" / "file").write_text(""),
            lambda: (outside / "there").rmdir(),
            lambda: import_module("subprocess").run(["true"]),
            lambda: import_module("os").system("true"),
        ):
            with pytest.raises(watch.Escaped):
                escape()
    (outside / "file").write_text("")
