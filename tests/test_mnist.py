"""MNIST's original files: read as they are, scaled, one-hot; and everything that can be wrong with them."""

import gzip
import json
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import crossgrad
from crossgrad import InvalidInput, Network
from crossgrad.cli.app import run
from crossgrad.networks.mnist import IMAGES, LABELS, mnist_batch, read_idx

COUNT = 40
NETWORK = Network.from_widths("784-30-10")


def idx(array: np.ndarray, shape: tuple[int, ...] | None = None) -> bytes:
    """An IDX file of unsigned bytes; its header announces `shape`, by default the array's own."""
    shape = array.shape if shape is None else shape
    return (
        bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + array.astype("u1").tobytes()
    )


def samples() -> tuple[np.ndarray, np.ndarray]:
    """Images whose first pixel is their number, and labels that are not in order."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (COUNT, 28, 28))
    images[:, 0, 0] = np.arange(COUNT)
    images[:, 0, 1:3] = [0, 255]
    return images, np.arange(COUNT) * 7 % 10


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The two files, plain, right."""
    images, labels = samples()
    (tmp_path / IMAGES).write_bytes(idx(images))
    (tmp_path / LABELS).write_bytes(idx(labels))
    return tmp_path


@pytest.mark.parametrize("suffix", ["", ".gz"], ids=["plain", "gz"])
@pytest.mark.parametrize("separator", ["-", "."], ids=["dash", "dot"])
def test_samples_are_read_scaled_and_one_hot(tmp_path: Path, separator: str, suffix: str) -> None:
    images, labels = samples()
    pack = gzip.compress if suffix else bytes
    for stem, array in ((IMAGES, images), (LABELS, labels)):
        (tmp_path / (stem.replace("-idx", f"{separator}idx") + suffix)).write_bytes(pack(idx(array)))

    batch = mnist_batch(tmp_path, NETWORK, COUNT, seed=0)

    rows = np.rint(batch.x[:, 0] * 255).astype(int)
    assert sorted(rows) == list(range(COUNT))
    np.testing.assert_array_equal(batch.x, images[rows].reshape(COUNT, 784) / 255)
    assert set(batch.x[:, 1]) == {0.0}
    assert set(batch.x[:, 2]) == {1.0}
    np.testing.assert_array_equal(batch.y.sum(axis=1), 1)
    np.testing.assert_array_equal(batch.y.argmax(axis=1), labels[rows])


def test_seed_decides_which_samples(folder: Path) -> None:
    first, again, other = (mnist_batch(folder, NETWORK, 8, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.x, again.x)
    assert (first.x != other.x).any()
    assert len(np.unique(first.x[:, 0])) == 8


def set_images(content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / IMAGES).write_bytes(content)


def set_labels(content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / LABELS).write_bytes(content)


def zipped_images(content: bytes) -> Callable[[Path], object]:
    def write(folder: Path) -> None:
        (folder / IMAGES).unlink()
        (folder / f"{IMAGES}.gz").write_bytes(content)

    return write


PIXELS, DIGITS = samples()
TEN = np.append(DIGITS[1:], 10)

DEFECTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "images-missing": (lambda folder: (folder / IMAGES).unlink(), f"no {IMAGES} in "),
    "labels-missing": (lambda folder: (folder / LABELS).unlink(), f"expected one of {LABELS}, {LABELS}.gz"),
    "images-empty": (set_images(b""), "begins with nothing, expected 00 00 08 03"),
    "labels-empty": (set_labels(b""), "begins with nothing, expected 00 00 08 01"),
    "header-truncated": (set_images(idx(PIXELS)[:9]), "is no IDX file"),
    "magic-of-text": (set_images(b"<html><body>not found</body>"), "begins with 3c 68 74 6d"),
    "magic-of-floats": (set_images(b"\0\0\x0d" + idx(PIXELS)[3:]), "begins with 00 00 0d 03"),
    "labels-for-images": (set_images(idx(DIGITS)), "in 3 dimensions: it begins with 00 00 08 01"),
    "images-truncated": (
        set_images(idx(PIXELS)[:-1]),
        "announces 31,360 values",
    ),
    "images-longer": (set_images(idx(PIXELS) + b"\0"), "for shape (40, 28, 28), but holds more"),
    "labels-truncated": (set_labels(idx(DIGITS)[:-3]), "announces 40 values for shape (40,), but holds 37"),
    "labels-longer": (set_labels(idx(DIGITS) + b"\0"), "but holds more"),
    "giant-header": (set_images(idx(PIXELS, 3 * (2**32 - 1,))), "expected 1 to 1,073,741,824"),
    "large-header": (set_images(idx(PIXELS, (2**20, 32, 32))), "announces 1,073,741,824 values"),
    "no-image": (set_images(idx(PIXELS[:0])), "announces 0 values: expected 1"),
    "no-pixel": (set_images(idx(PIXELS[:, :0])), "announces 0 values: expected 1"),
    "fewer-labels": (set_labels(idx(DIGITS[:-1])), "holds 40 images but 39 labels"),
    "label-10": (set_labels(idx(TEN)), "holds the label 10: expected 0 to 9"),
    "smaller-images": (
        set_images(idx(PIXELS[:, :14, :14])),
        "expected 196 inputs and 10 outputs, as in 196-100-10",
    ),
    "gz-of-text": (zipped_images(b"<html>"), "Not a gzipped file"),
    "gz-truncated": (zipped_images(gzip.compress(idx(PIXELS))[:-20]), "cannot read "),
    "gz-corrupted": (zipped_images(gzip.compress(idx(PIXELS))[:40] + bytes(99)), "cannot read "),
    "gz-empty": (zipped_images(b""), "begins with nothing"),
}


@pytest.mark.parametrize(("spoil", "said"), DEFECTS.values(), ids=DEFECTS)
def test_defect_is_named(folder: Path, spoil: Callable[[Path], object], said: str) -> None:
    spoil(folder)
    with pytest.raises(InvalidInput) as caught:
        mnist_batch(folder, NETWORK, 8, seed=0)
    assert said in str(caught.value)
    assert str(folder) in str(caught.value) or "network" in str(caught.value)


@pytest.mark.parametrize("name", ["missing", IMAGES], ids=["missing", "file"])
def test_what_is_no_folder_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match="is no folder: expected one that holds the original MNIST files"):
        mnist_batch(folder / name, NETWORK, 8, seed=0)


@pytest.mark.parametrize("name", [300 * "n", "\0", "\ud800"], ids=["long", "nul", "surrogate"])
def test_what_cannot_be_a_folder_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match=r"cannot read|is no folder"):
        mnist_batch(Path(name), NETWORK, 8, seed=0)


def test_batch_larger_than_the_data_is_refused(folder: Path) -> None:
    with pytest.raises(InvalidInput, match=f"batch size {COUNT + 1}: .* has {COUNT} samples"):
        mnist_batch(folder, NETWORK, COUNT + 1, seed=0)


@pytest.mark.parametrize("widths", ["64-10", "784-100", "1-1-1", "10-784"])
def test_network_of_other_widths_is_refused(folder: Path, widths: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        mnist_batch(folder, Network.from_widths(widths), 8, seed=0)
    assert f"network {widths} does not take MNIST: expected 784 inputs and 10 outputs" in str(caught.value)


@pytest.mark.parametrize("suffix", ["", ".gz"], ids=["plain", "gz"])
def test_announced_size_costs_no_memory(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"images{suffix}"
    content = idx(PIXELS, (2**20, 32, 32))
    path.write_bytes(gzip.compress(content) if suffix else content)
    tracemalloc.start()
    try:
        with pytest.raises(InvalidInput, match="announces 1,073,741,824 values"):
            read_idx(path, 3)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**24


def test_zip_bomb_is_read_no_further_than_announced(tmp_path: Path) -> None:
    path = tmp_path / "labels.gz"
    path.write_bytes(gzip.compress(idx(np.zeros(2**25, "u1"), (10,))))
    tracemalloc.start()
    try:
        with pytest.raises(InvalidInput, match="but holds more"):
            read_idx(path, 1)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**20


# The command line


@pytest.mark.parametrize(
    "network", [[], ["784-20-10"], ["mnist-shape"]], ids=["default", "widths", "catalogue"]
)
def test_check_runs_on_the_files(
    folder: Path, network: list[str], capsys: pytest.CaptureFixture[str], valid_report: Any
) -> None:
    options = ["--mnist", str(folder), "-b", "numpy", "--dtype", "float32", "--format", "json"]
    assert run(["check", *network, *options]) == 0
    (case,) = valid_report(capsys.readouterr().out)["cases"]
    assert case["name"] == f"{(network or ['mnist-shape'])[0]}+mnist"
    assert case["verdict"] == "agree"
    assert case["batch_size"] == 32


@pytest.mark.parametrize("path", [str, Path])
def test_python_runs_the_same_network_on_the_files(folder: Path, path: Callable[[Path], Any]) -> None:
    report = crossgrad.check(mnist=path(folder), backends=["numpy"], dtypes=["float32"])
    assert [(case.name, case.verdict) for case in report.cases] == [("mnist-shape+mnist", "agree")]


def test_two_kinds_of_data_are_refused(folder: Path) -> None:
    with pytest.raises(InvalidInput, match="and batch are both data: leave one out"):
        crossgrad.check("mnist-shape", mnist=folder, batch=(np.ones((1, 784)), np.ones((1, 10))))


def test_pixels_of_the_files_are_those_that_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On black images no weight of the first layer has a gradient, but its bias has."""
    (folder / IMAGES).write_bytes(idx(np.zeros((COUNT, 28, 28))))
    assert run(["trace", "784-10", "--mnist", str(folder), "-b", "numpy", "--format", "json"]) == 0
    (engine,) = json.loads(capsys.readouterr().out)["engines"]
    assert not np.any(engine["quantities"]["dW.1"]["values"])
    assert np.all(engine["quantities"]["db.1"]["values"])


@pytest.mark.parametrize("network", ["article", "digits", "64-10"])
def test_network_that_does_not_take_mnist_ends_with_exit_code_2(
    folder: Path, network: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["check", network, "--mnist", str(folder), "-b", "numpy"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "does not take MNIST: expected 784 inputs and 10 outputs, as in 784-100-10" in err


def test_bad_file_ends_with_exit_code_2(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / LABELS).write_bytes(idx(TEN))
    assert run(["check", "--mnist", str(folder), "-b", "numpy"]) == 2
    assert "holds the label 10" in capsys.readouterr().err
