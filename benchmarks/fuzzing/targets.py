"""What crossgrad reads, each as a function of bytes that says whether they were taken.

The only outcomes are a result or a refusal: anything else is raised, as it
came or as an `AssertionError`, and is a finding.
"""

import io
import json
import shutil
import unicodedata
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from crossgrad import checking, engines, execution, judging, selftest, traces
from crossgrad.cli.app import run
from crossgrad.networks import memory
from crossgrad.networks.dtypes import find_dtype
from crossgrad.networks.errors import InvalidInput
from crossgrad.networks.network_files import load_network
from crossgrad.networks.parameter_files import load_parameters
from crossgrad.networks.spec import Dense, Network

from .watch import watching

UNPRINTABLE = {"Cc", "Cf", "Co", "Cn", "Zl", "Zp"}
"""Categories of Unicode that a terminal may obey; surrogates, Cs, are left to the stream's error handler."""

LONGEST_MESSAGE = 20_000
MEMORY = 2**24
"""Bytes that commands believe to have: whatever is drawn is small."""

NETWORK = Network(3, (Dense(2), Dense(1, bias=False)))


@dataclass(frozen=True)
class Target:
    """Something that reads bytes.

    Parameters
    ----------
    read
        Called with the bytes and an empty folder; true if they were taken, false if refused.
    seeds
        Inputs to begin with: what is right, so that mutations come close to it.
    words
        Pieces that the inputs are made of.
    prepared
        Entered once around all calls of `read`.
    """

    read: Callable[[bytes, Path], bool]
    seeds: tuple[bytes, ...]
    words: tuple[bytes, ...]
    prepared: Callable[[], AbstractContextManager[Any]] = field(default=ExitStack)


def assert_shown_well(message: str) -> None:
    """A message says something, has no traceback, is not endless, and is harmless to a terminal."""
    assert message.strip(), "refused without a word"
    assert "Traceback (most recent call last)" not in message, message[-2000:]
    assert len(message) <= LONGEST_MESSAGE, f"a message of {len(message)} characters"
    # Of the user's own words typer escapes control characters only; crossgrad's own messages go further.
    harmful = UNPRINTABLE if message.startswith("error: ") else {"Cc"}
    found = {c for c in message if unicodedata.category(c) in harmful and c != "\n"}
    assert not found, f"unprintable in what is shown: {found!r}"


def _read_file(load: Callable[[Path], object], name: str, data: bytes, folder: Path) -> bool:
    path = folder / name
    path.write_bytes(data)
    try:
        with watching(folder):
            load(path)
    except InvalidInput as problem:
        refusal = str(problem)
    else:
        return True
    assert 0 < len(refusal.strip()) <= LONGEST_MESSAGE, f"a message of {len(refusal)} characters"
    return False


def _load_network(path: Path) -> None:
    assert isinstance(load_network(path), Network)


def _load_parameters(path: Path) -> None:
    for (W, b), layer, shape in zip(
        load_parameters(path, NETWORK), NETWORK.layers, NETWORK.shapes, strict=True
    ):
        assert W.shape == shape
        assert (None if b is None else b.shape) == (shape[:1] if layer.bias else None)
        assert np.isfinite(W).all()


def _command(data: bytes, folder: Path) -> bool:
    """Run a command line, its arguments apart by NUL, as far as an engine would start."""
    arguments = data.decode(errors="surrogateescape").split("\0")
    if any("completion" in argument for argument in arguments):
        return False  # the shell's, not crossgrad's: it writes to the user's profile, as it is asked to
    out, err = io.StringIO(), io.StringIO()
    with watching(folder, arguments), redirect_stdout(out), redirect_stderr(err):
        code = run(arguments)
    assert code in (0, 1, 2, 3), f"exit code {code}"
    if code == 2 or err.getvalue():
        assert_shown_well(err.getvalue() + out.getvalue())
    return code != 2


def _pretend(name: str) -> engines.Seen:
    return engines.Seen(problem=f"{name} is not run by the fuzzer")


def _in_process(backends: Any, devices: Any, candidates: Any, *more: Any) -> execution.Executor:
    return execution.InProcess(backends, devices, candidates)


def _stop_selftest(seed: int, dtype: str, *, small: bool = True) -> None:
    raise InvalidInput(f"taken: {find_dtype(dtype).name}")


def _no_engine_runs() -> AbstractContextManager[Any]:
    """Commands parse, read and draw, and find every engine missing."""
    stack = ExitStack()
    select = partial(engines.select_engines, see=_pretend)
    for home, name, stand_in in (
        *((home, "select_engines", select) for home in (engines, execution, traces)),
        (checking, "open_executor", _in_process),
        (judging, "judge_all", lambda *given: ()),
        (selftest, "random_case", _stop_selftest),
        (memory, "available_bytes", lambda: MEMORY),
        (shutil, "which", lambda name: None),  # doctor would ask nvidia-smi
    ):
        stack.enter_context(patch.object(home, name, stand_in))
    return stack


def safetensors_file(tensors: Iterable[tuple[str, str, list[int], bytes]], **more: object) -> bytes:
    """A file by hand, of (name, type, shape, bytes): the library would not write what is wrong."""
    header: dict[str, object] = dict(more)
    body = b""
    for name, kind, shape, content in tensors:
        header[name] = {
            "dtype": kind,
            "shape": shape,
            "data_offsets": [len(body), len(body) + len(content)],
        }
        body += content
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def _tensors(kind: str, name: str) -> list[tuple[str, str, list[int], bytes]]:
    storage = find_dtype(name).storage
    named = {"W.1": (2, 3), "b.1": (2,), "W.2": (1, 2)}
    return [(n, kind, list(shape), np.ones(shape, storage).tobytes()) for n, shape in named.items()]


def _command_lines(*lines: str) -> tuple[bytes, ...]:
    return tuple("\0".join(line.split()).encode() for line in lines)


def _words(text: str) -> tuple[bytes, ...]:
    return tuple(word.encode() for word in text.split())


TARGETS = {
    "network": Target(
        partial(_read_file, _load_network, "network.toml"),
        seeds=(
            b'inputs = 784\n[[layers]]\nunits=9\nactivation = "sigmoid"\nbias = true\n[[layers]]\nunits=1\n',
            b'inputs=2\nlayers=[{units=3, bias=false}, {units=1,activation="sigmoid"}]\n',
        ),
        words=_words('inputs [[layers]] units activation "sigmoid" bias false = 1e400 -1 \\u0000'),
    ),
    "parameters": Target(
        partial(_read_file, _load_parameters, "parameters.safetensors"),
        seeds=(
            safetensors_file(_tensors("F32", "float32")),
            safetensors_file(_tensors("F64", "float64"), __metadata__={"format": "np"}),
            safetensors_file(_tensors("F16", "float16")),
        ),
        words=_words(
            '"W.1" "b.1" "W.2" "dtype": "F32" "F8_E4M3" "BOOL" "shape": "data_offsets": "__metadata__":'
        )
        + _words("18446744073709551615 [0,0] \\u0000"),
    ),
    "cli": Target(
        _command,
        seeds=_command_lines(
            "check 2-3-1 -b numpy --dtype float32 --loss mse --seed 7 --batch-size 4 --learning-rate 0.5",
            "check article digits -d cpu --format json -o out.json --details -q",
            "check n.toml --params p.safetensors --oracle arb --allow-large",
            "trace 2-3 -b torch:eager --dtype float64 --format json",
            "reduce 3-4-2 -b numpy:manual -d cpu --dtype bfloat16 -o script.py --mnist folder",
            "selftest --cases 1 --seed 3 --dtype float16 -b numpy --large",
            "doctor --deep",
            "--version",
            "check --help",
        ),
        words=_words(
            "check trace reduce selftest doctor --dtype float32 --seed --batch-size --learning-rate nan"
        )
        + _words("1e400 --params --mnist /dev/zero --device cuda:1 --backend torch:func --oracle wide --loss")
        + _words("half-mse --format json --output ../x -- -1 [/bold] 99999999999999999999 \x1b[2J \u202e"),
        prepared=_no_engine_runs,
    ),
}
