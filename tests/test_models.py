"""What all models share: the record, missing libraries, and files that could run code."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import crossgrad
from crossgrad import InvalidInput, Network
from crossgrad.cli.app import run
from crossgrad.models import libraries
from crossgrad.networks.pickles import NUMPY, PARAMETERS

from .ported import forbid_reading

READERS = {
    "torch": crossgrad.from_torch,
    "flax": crossgrad.from_flax,
    "equinox": crossgrad.from_equinox,
    "keras": crossgrad.from_keras,
    "onnx": crossgrad.from_onnx,
    "jax": lambda model: crossgrad.to_jax(Network.from_widths("1-1"), model),
}
FILE_READERS = {
    "safetensors": lambda path: crossgrad.load_parameters(path, Network.from_widths("2-1")),
    "onnx": crossgrad.from_onnx,
}
CODE_RUNNING = [".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".keras", ".h5", ".hdf5"]


# Libraries


@pytest.mark.parametrize("name", READERS)
def test_a_missing_library_is_named_with_its_command(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries, "find_spec", lambda name: None)
    with pytest.raises(InvalidInput, match=rf'need the package {name}: pip install "crossgrad\[{name}\]"$'):
        READERS[name]([])


def test_a_library_that_cannot_be_imported_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> Any:
        raise ModuleNotFoundError("No module named 'tensorflow'")

    monkeypatch.setattr(libraries, "find_spec", lambda name: True)
    monkeypatch.setattr(libraries, "import_module", fail)
    with pytest.raises(InvalidInput, match="No module named 'tensorflow': set KERAS_BACKEND to torch or jax"):
        crossgrad.from_keras(None)


def test_the_functions_import_no_library() -> None:
    heavy = ["torch", "jax", "flax", "equinox", "keras", "onnx", "google"]
    code = (
        "import crossgrad, sys; [getattr(crossgrad, name) for name in crossgrad.__all__];"
        f"print([name for name in {heavy} if name in sys.modules and name != 'google'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# Files that could run code


class Bomb:
    def __reduce__(self) -> Any:
        return Path.touch, (Path("exploded"),)


@pytest.mark.parametrize("suffix", CODE_RUNNING)
@pytest.mark.parametrize("reader", FILE_READERS)
def test_files_that_may_run_code_are_not_opened(
    reader: str, suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(reader)
    path = tmp_path / f"my model{suffix.upper()}"
    path.write_bytes(b"")
    forbid_reading(monkeypatch, path)
    with pytest.raises(InvalidInput) as caught:
        FILE_READERS[reader](path)
    first, *lines = str(caught.value).splitlines()
    assert first == (
        f"{path} is not opened: {suffix} files can run code when they are loaded. "
        "If you trust it, convert it once:"
    )
    assert len(lines) == 2
    for line in lines:
        compile(line.strip(), "line", "exec")
    assert repr(str(path)) in lines[0]
    assert repr(str(tmp_path / "my model.safetensors")) in lines[1]


def test_an_archive_of_numpy_has_lines_that_work(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    path = tmp_path / "mine.npz"
    W, b = np.ones((1, 2), np.float32), np.zeros(1, np.float32)
    np.savez(path, W, b)
    with pytest.raises(InvalidInput, match="is no safetensors file") as caught:
        crossgrad.load_parameters(path, Network.from_widths("2-1"))
    first, *lines = str(caught.value).splitlines()
    assert "can run code" not in first
    names = {"np": np, "crossgrad": crossgrad}
    for line in lines:
        exec(line.strip(), names)
    ((found, bias),) = crossgrad.load_parameters(path.with_suffix(".safetensors"), Network.from_widths("2-1"))
    assert (found == W).all()
    assert (bias == b).all()


def test_the_lines_never_write_over_the_file_that_they_read(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    path = tmp_path / "disguised.safetensors"
    path.write_bytes(b"\x80\x04\x95" + bytes(99))
    with pytest.raises(InvalidInput, match="can run code") as caught:
        crossgrad.load_parameters(path, Network.from_widths("2-1"))
    assert repr(str(path)) in str(caught.value)
    assert "disguised-converted.safetensors" in str(caught.value)


def test_every_such_suffix_is_known() -> None:
    assert set(CODE_RUNNING) == set(PARAMETERS) - {NUMPY}


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"PK\x03\x04" + bytes(99), ".pt"),
        (b"\x80\x04\x95" + bytes(99), ".pkl"),
        (b"\x89HDF\r\n\x1a\n" + bytes(9), ".h5"),
    ],
    ids=["zip", "pickle", "hdf5"],
)
@pytest.mark.parametrize("reader", FILE_READERS)
def test_other_names_do_not_hide_them(reader: str, content: bytes, kind: str, tmp_path: Path) -> None:
    pytest.importorskip(reader)
    path = tmp_path / "model"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=f"it begins like {kind} files, which can run code") as caught:
        FILE_READERS[reader](path)
    assert f"{path} is no intact" in str(caught.value)


def test_nothing_in_a_pickle_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pickle

    monkeypatch.chdir(tmp_path)
    Path("bomb").write_bytes(pickle.dumps(Bomb()))
    for read in FILE_READERS.values():
        with pytest.raises(InvalidInput):
            read("bomb")
    assert not Path("exploded").exists()


def test_a_safetensors_file_may_begin_as_a_pickle_does(tmp_path: Path) -> None:
    """Its first byte is that of its header's length: here 128 or 384."""
    pytest.importorskip("safetensors")
    header = b'{"W.1": {"dtype": "F32", "shape": [1, 1], "data_offsets": [0, 4]}, '
    header += b'"b.1": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}'
    header = header.ljust(384)
    path = tmp_path / "p.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    assert path.read_bytes()[:1] == b"\x80"
    assert crossgrad.load_parameters(path, Network.from_widths("1-1"))[0].W == 0


def test_the_command_line_says_it_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", "2-1", "-b", "numpy", "--params", str(tmp_path / "m.pt")]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert "m.pt is not opened: .pt files can run code when they are loaded" in err
    assert "crossgrad.save_parameters(" in err


def test_the_lines_for_torch_do_what_they_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("safetensors")
    monkeypatch.chdir(tmp_path)
    made = torch.nn.Sequential(torch.nn.Linear(2, 1), torch.nn.Sigmoid())
    torch.save(made.state_dict(), "m.pt")
    model = torch.nn.Sequential(torch.nn.Linear(2, 1), torch.nn.Sigmoid())
    with pytest.raises(InvalidInput) as caught:
        crossgrad.load_parameters("m.pt", Network.from_widths("2-1"))
    for line in str(caught.value).splitlines()[1:]:
        exec(line.strip(), {"torch": torch, "crossgrad": crossgrad, "model": model})
    ((W, b),) = crossgrad.load_parameters("m.safetensors", Network.from_widths("2-1"))
    assert (made[0].weight.detach().numpy() == W).all()
    assert (made[0].bias.detach().numpy() == b).all()
