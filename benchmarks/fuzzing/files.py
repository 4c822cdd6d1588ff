"""Files: networks, parameters, and the original MNIST's images."""

import gzip
import json
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import numpy as np

from crossgrad.networks.dtypes import find_dtype
from crossgrad.networks.mnist import read_idx
from crossgrad.networks.network_files import load_network
from crossgrad.networks.parameter_files import load_parameters
from crossgrad.networks.spec import Dense, Network

from .target import Target, emptied, refuses, words

NETWORK = Network(3, (Dense(2), Dense(1, bias=False)))


def read_file(load: Callable[[Path], object], name: str, data: bytes, folder: Path) -> bool:
    path = emptied(folder) / name
    path.write_bytes(data)
    return not refuses(lambda folder: load(path), folder)


def _load_network(path: Path) -> None:
    assert isinstance(load_network(path), Network)


def _load_parameters(path: Path) -> None:
    for (W, b), layer, shape in zip(
        load_parameters(path, NETWORK), NETWORK.layers, NETWORK.shapes, strict=True
    ):
        assert W.shape == shape
        assert (None if b is None else b.shape) == (shape[:1] if layer.bias else None)
        assert np.isfinite(W).all()


def _read_images(data: bytes, folder: Path) -> bool:
    name = "train.gz" if data.startswith(b"\x1f\x8b") else "train"
    return read_file(_load_images, name, data, folder)


def _load_images(path: Path) -> None:
    images = read_idx(path, 3)
    assert images.ndim == 3
    assert images.size


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


_IMAGES = bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 1]) + bytes(range(6))

NETWORKS = Target(
    partial(read_file, _load_network, "network.toml"),
    seeds=(
        b'inputs = 784\n[[layers]]\nunits=9\nactivation = "sigmoid"\nbias = true\n[[layers]]\nunits=1\n',
        b'inputs=2\nlayers=[{units=3, bias=false}, {units=1,activation="sigmoid"}]\n',
    ),
    words=words('inputs [[layers]] units activation "sigmoid" bias false = 1e400 -1 \\u0000'),
)
PARAMETERS = Target(
    partial(read_file, _load_parameters, "parameters.safetensors"),
    seeds=(
        safetensors_file(_tensors("F32", "float32")),
        safetensors_file(_tensors("F64", "float64"), __metadata__={"format": "np"}),
        safetensors_file(_tensors("F16", "float16")),
    ),
    words=words('"W.1" "b.1" "W.2" "dtype": "F32" "F8_E4M3" "BOOL" "shape": "data_offsets": "__metadata__":')
    + words("18446744073709551615 [0,0] \\u0000"),
)
IMAGES = Target(
    _read_images,
    seeds=(_IMAGES, gzip.compress(_IMAGES, mtime=0), _IMAGES[:-1]),
    words=(_IMAGES[:4], b"\x1f\x8b\x08", b"\xff\xff\xff\xff", b"\x00\x00\x00\x01"),
)
