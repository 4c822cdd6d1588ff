"""Networks in TOML files: the record that every other way gives, the schema, and what is refused."""

import contextlib
import json
import time
import tomllib
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossgrad import Dense, InvalidInput, Network
from crossgrad.cli.app import run
from crossgrad.networks.catalogue import find_entry
from crossgrad.networks.files import TOML_LIMIT
from crossgrad.networks.network_files import load_network, network_schema

from .published import hold, schema

GOOD = {
    "least": ("inputs = 1\n[[layers]]\nunits = 1", Network.from_widths("1-1")),
    "defaults": (
        "inputs = 784\n[[layers]]\nunits = 100\n[[layers]]\nunits = 10",
        Network.from_widths("784-100-10"),
    ),
    "spelt-out": (
        'inputs = 2 # pixels\n[[layers]]\nunits = 3\nactivation = "sigmoid"\nbias = true',
        Network.from_widths("2-3"),
    ),
    "inline": (
        "layers = [{ units = 3 }, { units = 1_000 }]\r\ninputs = 0x10",
        Network.from_widths("16-3-1000"),
    ),
    "no-bias": (
        "inputs = 2\n[[layers]]\nunits = 3\nbias = false\n[[layers]]\nunits = 1",
        Network(2, (Dense(3, bias=False), Dense(1))),
    ),
}

LAYER = "[[layers]]\nunits = 3\n"
BAD = {
    "empty": ("", ["inputs: is missing", "layers: is missing"]),
    "key": (
        f"input = 2\ninputs = 2\n{LAYER}",
        ["input: unknown key, did you mean inputs? known are inputs"],
    ),
    "layer-key": (
        f"inputs = 2\n{LAYER}width = 4",
        ["layers[0].width: unknown key, known are units, activation, bias"],
    ),
    "quoted-key": (f'inputs = 2\n"a.b\\u001b" = 1\n{LAYER}', [r"'a.b\x1b': unknown key"]),
    "no-units": ("inputs = 2\n[[layers]]", ["layers[0].units: is missing"]),
    "zero": (f"inputs = 0\n{LAYER}", ["inputs: ", "greater than or equal to 1, got 0"]),
    "negative": ("inputs = 2\n[[layers]]\nunits = -3", ["layers[0].units: ", "got -3"]),
    "huge": (
        f"inputs = 1{400 * '0'}\n{LAYER}",
        ["inputs: ", "less than or equal to 1000000000000, got 1000"],
    ),
    "fraction": (f"inputs = 2.5\n{LAYER}", ["inputs: ", "valid integer, got 2.5"]),
    "infinite": (f"inputs = inf\n{LAYER}", ["inputs: ", "got inf"]),
    "text": (f'inputs = "2"\n{LAYER}', ["inputs: ", "valid integer, got '2'"]),
    "long-text": (f'inputs = "{10_000 * "x"}"\n{LAYER}', ["got 'xxxxxxxxxxxx...xxxxxxxxxxxxx'"]),
    "truth": (f"inputs = true\n{LAYER}", ["inputs: ", "valid integer, got True"]),
    "units-truth": ("inputs = 2\n[[layers]]\nunits = true", ["layers[0].units: ", "got True"]),
    "bias-number": (f"inputs = 2\n{LAYER}bias = 1", ["layers[0].bias: ", "valid boolean, got 1"]),
    "activation": (
        f'inputs = 2\n{LAYER}{LAYER}activation = "sigmod"',
        ["layers[1].activation: unknown activation 'sigmod': did you mean sigmoid?"],
    ),
    "activation-number": (f"inputs = 2\n{LAYER}activation = 1", ["layers[0].activation: ", "got 1"]),
    "no-layer": ("inputs = 2\nlayers = []", ["layers: ", "at least 1 item"]),
    "layers-number": ("inputs = 2\nlayers = 3", ["layers: ", "got 3"]),
    "layer-number": ("inputs = 2\nlayers = [3]", ["layers[0]: expected a table of units, ", "got 3"]),
    "one-table": ("inputs = 2\n[layers]\nunits = 3", ["layers: ", "write [[layers]] above each"]),
    "each-one": ("inputs = 0\n[[layers]]\nunits = 0\nbias = 0", ["inputs: ", "[0].units: ", "[0].bias: "]),
    "too-many": (f"inputs = 2\nlayers = [{25 * '{},'}]", ["layers[19].units: is missing", "and 5 more"]),
}


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str | bytes], Path]:
    def written(content: str | bytes) -> Path:
        path = tmp_path / "network.toml"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return written


def refusal(path: Path) -> str:
    with pytest.raises(InvalidInput) as caught:
        load_network(path)
    message = str(caught.value)
    assert str(path) in message
    return message


@pytest.mark.parametrize(("text", "network"), GOOD.values(), ids=GOOD)
def test_file_is_the_same_record(write: Any, text: str, network: Network) -> None:
    assert load_network(write(text)) == network


def test_a_mark_of_the_byte_order_is_no_toml_and_no_matter(write: Any) -> None:
    text, network = GOOD["defaults"]
    assert load_network(write("\ufeff" + text)) == network


def test_file_is_a_network_of_the_command_line(write: Any) -> None:
    entry = find_entry(str(write(GOOD["defaults"][0])))
    assert (entry.name, entry.network) == ("network", find_entry("784-100-10").network)


@pytest.mark.parametrize(("text", "said"), BAD.values(), ids=BAD)
def test_file_is_refused(write: Any, text: str, said: list[str]) -> None:
    message = refusal(write(text))
    for fragment in said:
        assert fragment in message


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("inputs: 784", "is no TOML file: Expected '='"),
        ("inputs = 2\ninputs = 2", "is no TOML file: Cannot overwrite a value"),
        (b"inputs = 2 # \xff", "is no TOML file: 'utf-8' codec can't decode byte 0xff"),
        ("inputs = 2".encode("utf-16"), "is no TOML file: 'utf-8' codec"),
        (bytes(100), "is no TOML file"),
        (f"inputs = 1{5000 * '0'}", "is no TOML file: Exceeds the limit"),
        ("a = " + 5000 * "[", "is no TOML file"),
        (TOML_LIMIT * b" " + b"\n", "has 32,769 bytes: expected a network's TOML file, at most 32,768"),
    ],
    ids=["yaml", "key-twice", "latin-1", "utf-16", "zeros", "endless-number", "nested", "oversized"],
)
def test_other_content_is_refused(write: Any, content: str | bytes, said: str) -> None:
    assert said in refusal(write(content))


def test_missing_file_is_refused(tmp_path: Path) -> None:
    assert "cannot read" in refusal(tmp_path / "missing.toml")


def test_a_file_without_its_ending_is_told(write: Any) -> None:
    path = write("inputs = 2\nlayers = [{units = 1}]\n")
    with pytest.raises(InvalidInput, match=r"a file is given with its ending, .*network\.toml"):
        find_entry(path.with_suffix(""))


def test_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "folder.toml"
    folder.mkdir()
    assert "is no regular file: expected a network's TOML file" in refusal(folder)


@pytest.mark.parametrize(
    "name", ["\0.toml", "\ud800.toml", f"{5000 * 'n'}.toml"], ids=["nul", "surrogate", "long"]
)
def test_impossible_name_is_refused(name: str) -> None:
    assert "cannot read" in refusal(Path(name))


def test_bad_file_ends_with_exit_code_2(write: Any, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(BAD["layer-key"][0])
    assert run(["check", str(path), "-b", "numpy"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        f"error: {path} does not describe a network:",
        "  layers[0].width: unknown key, known are units, activation, bias",
    ]


# The published schema

PUBLISHED = files("crossgrad.schemas").joinpath("network.schema.json").read_text(encoding="utf-8")


def test_published_schema_is_the_models() -> None:
    assert json.dumps(network_schema(), indent=2) + "\n" == PUBLISHED


@pytest.mark.parametrize("text", [text for text, _ in GOOD.values()], ids=GOOD)
def test_schema_takes_what_is_read(text: str) -> None:
    hold(tomllib.loads(text), "network")


@pytest.mark.parametrize("text", [text for text, _ in BAD.values()], ids=BAD)
def test_schema_refuses_what_is_refused(text: str) -> None:
    assert not schema("network").is_valid(tomllib.loads(text))


# Anything at all

PIECES = [
    "inputs",
    "layers",
    "[[layers]]",
    "units",
    "bias",
    "activation",
    '"sigmoid"',
    "true",
    "3",
    "-1",
    "2.5",
]
ALMOST_TOML = st.lists(st.sampled_from([*PIECES, " = ", "\n", "[", "]", "{", "}", ","])).map("".join)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("any") / "any.toml"


@given(content=st.binary() | (ALMOST_TOML | st.text()).map(str.encode))
def test_any_bytes_are_a_network_or_refused(scratch: Path, content: bytes) -> None:
    scratch.write_bytes(content)
    with contextlib.suppress(InvalidInput):
        assert isinstance(load_network(scratch), Network)


@pytest.mark.parametrize(
    "text", ["a." * (TOML_LIMIT // 2 - 2) + "a=1", "a=" + "[" * (TOML_LIMIT - 2)], ids=["dots", "nested"]
)
def test_the_worst_file_is_refused_in_time(write: Any, text: str) -> None:
    """A mebibyte of dots took tomllib longer than anybody waits."""
    started = time.perf_counter()
    refusal(write(text))
    assert time.perf_counter() - started < 30
