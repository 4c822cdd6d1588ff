"""A batch in a safetensors file: every bit comes back, commands take it, and what is not right is refused."""

import json
from pathlib import Path

import numpy as np
import pytest

import crossgrad
from crossgrad import InvalidInput, load_batch, save_batch
from crossgrad.cli.app import run
from crossgrad.networks.dtypes import find_dtype
from crossgrad.networks.pickles import BATCH, PARAMETERS

pytest.importorskip("safetensors")

X, Y = np.linspace(-2, 2, 12).reshape(4, 3), np.linspace(0, 1, 8).reshape(4, 2)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    save_batch(tmp_path / "batch.safetensors", (X, Y))
    return tmp_path / "batch.safetensors"


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_every_bit_comes_back(file: Path, dtype: str) -> None:
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes")
    x, y = X.astype(find_dtype(dtype).storage), Y.astype(find_dtype(dtype).storage)
    save_batch(file, (x, y))
    found = load_batch(file)
    assert np.array_equal(found.x, x.astype(np.float64))
    assert np.array_equal(found.y, y.astype(np.float64))


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, bool, np.longdouble], ids=lambda dtype: dtype.__name__)
def test_pixels_and_labels_are_saved_as_real_numbers(file: Path, dtype: type) -> None:
    x = np.arange(6).reshape(2, 3).astype(dtype)
    save_batch(file, (x, x))
    assert np.array_equal(load_batch(file).x, x)


@pytest.mark.parametrize("command", ["check", "trace"])
def test_commands_run_on_it(command: str, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["3-2", "-b", "numpy", "--dtype", "float64", "--batch", str(file), "--format", "json"]
    assert run([command, *arguments]) == 0
    document = json.loads(capsys.readouterr().out)
    case = document["cases"][0] if command == "check" else document
    assert case["batch_size"] == 4
    if command == "trace":
        (engine,) = document["engines"]
        found = engine["quantities"]
        residual = np.array(found["a.1"]["values"]) - Y
        assert np.allclose(found["da.1"]["values"], 2 * residual / Y.size, rtol=1e-14, atol=0)


def test_a_reduction_begins_with_it(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text("def gradients(params, x, y):\n    return 0.0, [(0 * W + 1, 0 * b) for W, b in params]\n")
    arguments = ["3-2", "--candidate", str(mine), "--batch", str(file), "--no-isolate"]
    assert run(["reduce", *arguments]) == 1
    assert "# original: 3-2, batch 4, 8 parameters" in capsys.readouterr().out


def test_python_takes_what_was_loaded(file: Path) -> None:
    report = crossgrad.check("3-2", batch=load_batch(file), backends=["numpy"], dtypes=["float64"])
    assert report.verdict == "agree"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--batch-size 3", "batch size 3: the batch given has x of shape (4, 3)"),
        ("--mnist .", "mnist . and batch are both data: leave one out"),
        ("--case 3-2_b4_float32_mse_w1_s0", "leave out NETWORK, --batch"),
    ],
)
def test_a_contradiction_is_refused(
    file: Path, options: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["check", "3-2", "-b", "numpy", "--batch", str(file), *options.split()]) == 2
    assert said in capsys.readouterr().err


def test_a_batch_of_another_network_is_refused(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", "2-1", "-b", "numpy", "--batch", str(file)]) == 2
    err = capsys.readouterr().err
    assert "the batch does not fit network 2-1" in err
    assert "x: expected (4, 2), got (4, 3)" in err


def test_a_number_is_taken_for_a_batch_size(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", "2-1", "-b", "numpy", "--batch", "64"]) == 2
    assert "so many samples are --batch-size 64" in capsys.readouterr().err


def test_parameters_are_no_batch(tmp_path: Path) -> None:
    path = tmp_path / "p.safetensors"
    crossgrad.save_parameters(path, [crossgrad.DenseParameters(X, None)])
    with pytest.raises(InvalidInput, match=r"does not hold a batch, .*: missing x, y; unexpected 'W\.1'"):
        load_batch(path)


def test_a_file_larger_than_memory_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crossgrad.networks.batch_files.available_bytes", lambda: 2**22)
    path = tmp_path / "huge.safetensors"
    with open(path, "wb") as sparse:
        sparse.truncate(2**40)
    monkeypatch.setattr("crossgrad.networks.files._read", lambda *_: pytest.fail("the file was read"))
    with pytest.raises(InvalidInput, match=r"has 1,099,511,627,776 bytes: expected a batch"):
        load_batch(path)


def test_files_that_run_code_have_lines_for_a_batch() -> None:
    assert BATCH.keys() == PARAMETERS.keys()
    with pytest.raises(
        InvalidInput, match=r"can run code[\s\S]*crossgrad\.save_batch\('data\.safetensors', \(x, y\)\)"
    ):
        load_batch("data.pkl")


def test_the_lines_for_numpy_do_what_they_say(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    np.savez(path, x=X, y=Y)
    with pytest.raises(InvalidInput, match="is no safetensors file") as caught:
        load_batch(path)
    names = {"np": np, "crossgrad": crossgrad}
    for line in str(caught.value).splitlines()[1:]:
        exec(line.strip(), names)
    found = load_batch(path.with_suffix(".safetensors"))
    assert np.array_equal(found.x, X)
    assert np.array_equal(found.y, Y)
