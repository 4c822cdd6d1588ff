"""Parameters in safetensors files: every bit comes back, and a file that is not right is refused."""

import contextlib
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossgrad import Dense, DenseParameters, InvalidInput, Network, load_parameters, save_parameters
from crossgrad.cli.app import run
from crossgrad.networks.dtypes import find_dtype
from crossgrad.networks.parameters import draw_parameters

pytest.importorskip("safetensors")

NETWORK = Network(3, (Dense(4), Dense(2, bias=False), Dense(1)))
SMALL = Network.from_widths("2-1")

Tensor = tuple[str, str, Sequence[int], bytes]
"""Name, type, shape and bytes of a tensor."""

W: Tensor = ("W.1", "F32", [1, 2], np.float32([1, 2]).tobytes())
B: Tensor = ("b.1", "F32", [1], np.float32([3]).tobytes())


def with_header(header: str, data: bytes) -> bytes:
    return len(header.encode()).to_bytes(8, "little") + header.encode() + data


def packed(*tensors: Tensor) -> bytes:
    """A safetensors file by hand: the library would not write most of what is refused here."""
    entries, data = [], b""
    for name, kind, shape, content in tensors:
        offsets = [len(data), len(data) + len(content)]
        description = {"dtype": kind, "shape": list(shape), "data_offsets": offsets}
        entries.append(f"{json.dumps(name)}: {json.dumps(description)}")
        data += content
    return with_header("{" + ", ".join(entries) + "}", data)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "parameters.safetensors"


@pytest.fixture
def refusal(file: Path) -> Callable[[bytes], str]:
    """What is said about a file of 2-1 with the given content."""

    def refused(content: bytes) -> str:
        file.write_bytes(content)
        with pytest.raises(InvalidInput) as caught:
            load_parameters(file, SMALL)
        return str(caught.value)

    return refused


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_every_bit_comes_back(file: Path, dtype: str) -> None:
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes")
    form = find_dtype(dtype)
    saved = [
        DenseParameters(
            layer.W.astype(form.storage), None if layer.b is None else layer.b.astype(form.storage)
        )
        for layer in draw_parameters(NETWORK, seed=0)
    ]
    largest = (2 - form.eps) * 2.0**form.max_exponent
    saved[0].W[0] = [-0.0, form.smallest_subnormal, -largest]

    save_parameters(file, tuple(saved))
    loaded = load_parameters(file, NETWORK)

    assert [layer.b is None for layer in loaded] == [False, True, False]
    for before, after in zip(saved, loaded, strict=True):
        for one, other in zip(before, after, strict=True):
            if one is not None and other is not None:
                assert other.dtype == ("float32" if dtype == "bfloat16" else dtype)
                assert other.astype(form.storage).tobytes() == one.tobytes()


@pytest.mark.parametrize("kind", ["F16", "BF16", "F32", "F64"])
def test_every_real_type_is_read(file: Path, kind: str) -> None:
    if kind == "BF16":
        pytest.importorskip("ml_dtypes")
    name = {"F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64"}[kind]
    storage = find_dtype(name).storage
    file.write_bytes(packed(("W.1", kind, [1, 2], np.array([1.5, -2], storage).tobytes()), B))
    ((weights, bias),) = load_parameters(file, SMALL)
    assert weights.dtype == storage
    np.testing.assert_array_equal(weights.astype(float), [[1.5, -2]])
    np.testing.assert_array_equal(bias, [3])


def test_strided_arrays_are_saved_as_they_read(file: Path) -> None:
    weights = np.arange(6.0).reshape(2, 3).T
    save_parameters(file, (DenseParameters(weights, np.zeros(6)[::2]),))
    np.testing.assert_array_equal(load_parameters(file, Network.from_widths("2-3"))[0].W, weights)


GOOD = packed(W, B)
HEADER = int.from_bytes(GOOD[:8], "little")


@pytest.mark.parametrize(
    "kept",
    [0, 4, 8, 9, 8 + HEADER // 2, 8 + HEADER - 1, 8 + HEADER, 8 + HEADER + 8, len(GOOD) - 1],
    ids=[
        "empty",
        "in-length",
        "after-length",
        "in-header-first-byte",
        "in-header",
        "in-header-last-byte",
        "after-header",
        "between-tensors",
        "last-byte",
    ],
)
def test_truncated_file_is_refused(refusal: Any, file: Path, kept: int) -> None:
    assert f"{file} is no intact safetensors file" in refusal(GOOD[:kept])


def test_no_shorter_file_is_taken(refusal: Any) -> None:
    for kept in range(len(GOOD)):
        assert "intact" in refusal(GOOD[:kept])


def test_appended_bytes_are_refused(refusal: Any) -> None:
    assert "intact" in refusal(GOOD + b"\0")


BODY = GOOD[8 + HEADER :]
TEXT = GOOD[8 : 8 + HEADER].decode()


@pytest.mark.parametrize(
    "content",
    [
        b"PK\x03\x04" + bytes(200),
        b"\x80\x04\x95" + bytes(200),
        bytes(8) + GOOD[8:],
        (2**40).to_bytes(8, "little") + GOOD[8:],
        (2**64 - 1).to_bytes(8, "little") + GOOD[8:],
        with_header("[" + TEXT[1:-1] + "]", BODY),
        with_header(TEXT.replace('"F32"', "F32"), BODY),
        with_header(TEXT.replace("[1, 2]", "[1.0, 2]"), BODY),
        with_header(TEXT.replace("[1, 2]", "[-1, 2]"), BODY),
        with_header(TEXT.replace("[1, 2]", "[1, 3]"), BODY),
        with_header(TEXT.replace("[1, 2]", f"[{2**63}, {2**63}]"), BODY),
        with_header(TEXT.replace("[0, 8]", "[0, 9]"), BODY),
        with_header(TEXT.replace("[8, 12]", "[4, 8]"), BODY[:8]),
        with_header(TEXT.replace("[8, 12]", "[8, 1000000]"), BODY),
        with_header(TEXT.replace('"F32"', '"F33"'), BODY),
        with_header(2000 * '{"a":' + 2000 * "}", BODY),
        with_header("{}", b"more"),
    ],
    ids=[
        "zip",
        "pickle",
        "header-length-0",
        "header-length-giant",
        "header-length-largest",
        "header-list",
        "header-no-json",
        "shape-fraction",
        "shape-negative",
        "shape-wrong-for-data",
        "shape-overflows",
        "offsets-wrong-for-shape",
        "offsets-overlap",
        "offsets-beyond-the-end",
        "type-unknown",
        "header-nested",
        "no-tensor-but-data",
    ],
)
def test_corrupted_file_is_refused(refusal: Any, file: Path, content: bytes) -> None:
    assert f"{file} is no intact safetensors file" in refusal(content)


FITS_BADLY = {
    "tensor-missing": ((W,), ["does not hold the parameters of network 2-1: missing b.1; unexpected none"]),
    "no-tensor": ((), ["missing W.1, b.1"]),
    "path-as-name": ((W, B, ("../../x", "F32", [], bytes(4))), ["missing none; unexpected '../../x'"]),
    "framework-names": (
        (("0.weight", *W[1:]), ("0.bias", *B[1:])),
        ["missing W.1, b.1; unexpected '0.bias', '0.weight'"],
    ),
    "control-characters": ((W, B, ("\x1b[2J\n", "F32", [], bytes(4))), [r"unexpected '\x1b[2J\n'"]),
    "layer-too-many": ((W, B, ("W.2", "F32", [1, 1], bytes(4))), ["unexpected 'W.2'"]),
    "transposed": (
        (("W.1", "F32", [2, 1], bytes(8)), ("b.1", "F32", [1, 1], bytes(4))),
        ["W.1: expected (1, 2), got (2, 1) (looks transposed", "b.1: expected (1,), got (1, 1)"],
    ),
    "scalar": ((("W.1", "F32", [], bytes(4)), B), ["W.1: expected (1, 2), got ()"]),
    "no-element": ((("W.1", "F32", [0, 2], b""), B), ["W.1: expected (1, 2), got (0, 2)"]),
    "dimensions": ((("W.1", "F32", [1] * 100 + [2], bytes(8)), B), ["'W.1' has an impossible shape"]),
    "dimension": ((("W.1", "F32", [0, 2**62], b""), B), ["W.1"]),
    "nan": (
        (("W.1", "F32", [1, 2], np.float32([1, np.nan]).tobytes()), B),
        ["W.1: expected finite numbers, got nan at [0, 1]"],
    ),
    "infinite": ((W, ("b.1", "F64", [1], np.float64([-np.inf]).tobytes())), ["b.1: ", "got -inf at [0]"]),
}


@pytest.mark.parametrize(("tensors", "said"), FITS_BADLY.values(), ids=FITS_BADLY)
def test_tensors_that_do_not_fit_are_listed(
    refusal: Any, tensors: tuple[Tensor, ...], said: list[str]
) -> None:
    message = refusal(packed(*tensors))
    for fragment in said:
        assert fragment in message


OTHER_TYPES = {"I32": 32, "I64": 64, "U8": 8, "BOOL": 8, "C64": 64, "F8_E4M3": 8, "F8_E5M2": 8, "F4": 4}
"""Bits of each type that safetensors knows, and parameters are not."""


@pytest.mark.parametrize(("kind", "bits"), OTHER_TYPES.items(), ids=OTHER_TYPES)
def test_other_types_are_refused(refusal: Any, kind: str, bits: int) -> None:
    message = refusal(packed(("W.1", kind, [1, 2], bytes(2 * bits // 8)), B))
    assert f"tensor 'W.1' is of type {kind}: expected one of F16, BF16, F32, F64" in message


def test_tensor_named_twice_is_refused(refusal: Any) -> None:
    """Both descriptions are valid, and the library keeps the last: here the weights hide behind others."""
    twice = TEXT.replace('"b.1"', '"W.1": {"dtype": "F32", "shape": [2, 1], "data_offsets": [0, 8]}, "b.1"')
    assert "names 'W.1' twice in its header" in refusal(with_header(twice, BODY))


def test_a_header_of_many_names_is_refused_at_once(refusal: Any) -> None:
    """They were counted one by one against all once: some 500 times as long as it takes to read them."""
    many = {f"t{n}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for n in range(15_000)}
    header = json.dumps(many)
    began = time.process_time()
    json.loads(header)
    read = time.process_time()
    message = refusal(with_header(header, b""))
    assert time.process_time() - read < 100 * (read - began)
    assert "missing W.1, b.1; unexpected 't0', 't1'" in message
    assert len(message) < 500


def test_a_long_name_is_shortened(refusal: Any) -> None:
    name = 10_000 * "n"
    for kind in ("F32", "I8"):
        assert len(refusal(packed((name, kind, [], bytes(4 if kind == "F32" else 1))))) < 500


def test_oversized_file_is_refused_unread(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open(file, "wb") as sparse:
        sparse.truncate(2**40)
    monkeypatch.setattr(Path, "read_bytes", lambda _: pytest.fail("the file was read"))
    with pytest.raises(
        InvalidInput, match=r"has 1,099,511,627,776 bytes: expected the parameters of network 2-1"
    ):
        load_parameters(file, SMALL)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("missing", "No such file or directory"),
        (".", "is no regular file"),
        ("/dev/zero", "is no regular file"),
        ("\0", "embedded null"),
    ],
    ids=["missing", "folder", "device", "nul"],
)
def test_path_that_is_no_file_is_refused(tmp_path: Path, name: str, said: str) -> None:
    if name == "/dev/zero" and not Path(name).exists():
        pytest.skip("no /dev/zero here")
    with pytest.raises(InvalidInput, match=said):
        load_parameters(tmp_path / name, SMALL)


@pytest.mark.parametrize("name", [".", "no/such/folder.safetensors"], ids=["folder", "missing-folder"])
def test_unwritable_file_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match="cannot write"):
        save_parameters(tmp_path / name, draw_parameters(SMALL, seed=0))


def test_bad_file_ends_with_exit_code_2(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_bytes(GOOD[:-1])
    assert run(["check", "2-1", "-b", "numpy", "--params", str(file)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error: {file} is no intact safetensors file")


def test_parameters_of_the_file_are_those_that_run(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_bytes(GOOD)
    assert (
        run(["trace", "2-1", "-b", "numpy", "--params", str(file), "--learning-rate=0", "--format=json"]) == 0
    )
    (engine,) = json.loads(capsys.readouterr().out)["engines"]
    assert engine["quantities"]["W_new.1"]["values"] == [[1, 2]]
    assert engine["quantities"]["b_new.1"]["values"] == [3]


# Anything at all


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("any") / "any.safetensors"


def taken_or_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with contextlib.suppress(InvalidInput):
        ((weights, bias),) = load_parameters(path, SMALL)
        assert weights.shape == (1, 2)
        assert bias is not None
        assert np.isfinite(weights.astype(float)).all()


@given(content=st.binary() | st.binary().map(lambda data: len(data).to_bytes(8, "little") + data))
def test_any_bytes_are_parameters_or_refused(scratch: Path, content: bytes) -> None:
    taken_or_refused(scratch, content)


@given(at=st.integers(0, len(GOOD) - 1), flipped=st.integers(1, 255))
def test_any_changed_byte_is_taken_or_refused(scratch: Path, at: int, flipped: int) -> None:
    taken_or_refused(scratch, GOOD[:at] + bytes([GOOD[at] ^ flipped]) + GOOD[at + 1 :])


SIZES = st.sampled_from([0, 1, 2, 3, 2**31, 2**62, 2**63, 2**64 - 1, 2**64, -1])
TENSORS = st.tuples(
    st.sampled_from(["W.1", "b.1", "W.2", "__metadata__", ""]) | st.text(),
    st.sampled_from(["F16", "BF16", "F32", "F64", "I8", "F4", "F6_E2M3", "F8_E8M0", "C64", "?"]),
    st.sampled_from([[1, 2], [1]]) | st.lists(SIZES, max_size=4),
    st.sampled_from([bytes(4), bytes(8), b""]) | st.binary(max_size=16),
)


@given(tensors=st.lists(TENSORS, max_size=3))
def test_any_header_is_taken_or_refused(scratch: Path, tensors: list[Tensor]) -> None:
    taken_or_refused(scratch, packed(*tensors))
