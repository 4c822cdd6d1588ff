"""The original MNIST files, read from a folder that the user names; nothing is downloaded.

Format (LeCun, Cortes, Burges, The MNIST database, "File formats"): two zero
bytes, a type byte (8: unsigned byte), the number of dimensions, each
dimension as a big-endian 32-bit integer, then the values, row after row.
"""

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np

from .batches import Batch, choose_rows, one_hot
from .dtypes import Array
from .errors import InvalidInput
from .files import is_there, unreadable
from .spec import Network

IMAGES = "train-images-idx3-ubyte"
LABELS = "train-labels-idx1-ubyte"
MAX_VALUES = 2**30
CHUNK = 2**20


def mnist_batch(folder: Path, network: Network, batch_size: int, seed: int) -> Batch:
    """Draw images by `seed`: ``x (B, 784)`` scaled to 0..1, one-hot ``y (B, 10)``.

    Raises
    ------
    InvalidInput
        If a file is missing or not what its header says, if images and labels
        do not belong together, or if `network` does not take them.
    """
    images, labels = read_idx(_find(folder, IMAGES), 3), read_idx(_find(folder, LABELS), 1)
    if len(images) != len(labels):
        raise InvalidInput(f"{folder} holds {len(images)} images but {len(labels)} labels: expected as many")
    pixels = images.shape[1] * images.shape[2]
    if (network.inputs, network.widths[-1]) != (pixels, 10):
        raise InvalidInput(
            f"network {network} does not take MNIST: expected {pixels} inputs and 10 outputs, "
            f"as in {pixels}-100-10"
        )
    if labels.size and labels.max() > 9:
        raise InvalidInput(f"{folder}/{LABELS} holds the label {labels.max()}: expected 0 to 9")
    rows = choose_rows(len(images), batch_size, seed, str(folder))
    return Batch(images[rows].reshape(batch_size, pixels) / 255, one_hot(labels[rows], 10))


def _find(folder: Path, stem: str) -> Path:
    names = [stem, stem + ".gz", stem.replace("-idx", ".idx"), stem.replace("-idx", ".idx") + ".gz"]
    for name in names:
        if is_there(folder / name, Path.is_file):
            return folder / name
    if not is_there(folder, Path.is_dir):
        raise InvalidInput(f"{folder} is no folder: expected one that holds the original MNIST files")
    raise InvalidInput(f"no {stem} in {folder}: expected one of {', '.join(names)}")


def read_idx(path: Path, dimensions: int) -> Array:
    """Read an IDX file of unsigned bytes with the given number of dimensions, gzipped or not.

    Raises
    ------
    InvalidInput
        If the header is of another type, or the file is shorter or longer than it says.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            header = file.read(4 + 4 * dimensions)
            if len(header) < 4 + 4 * dimensions or header[:4] != bytes([0, 0, 8, dimensions]):
                raise InvalidInput(
                    f"{path} is no IDX file of unsigned bytes in {dimensions} dimensions: "
                    f"it begins with {header[:4].hex(' ') or 'nothing'}, expected 00 00 08 {dimensions:02x}"
                )
            shape = struct.unpack(f">{dimensions}I", header[4:])
            expected = int(np.prod(shape, dtype=object))
            if not 1 <= expected <= MAX_VALUES:
                raise InvalidInput(f"{path} announces {expected:,} values: expected 1 to {MAX_VALUES:,}")
            body = bytearray()  # grows with what is there: a header may announce far more
            while chunk := file.read(min(CHUNK, expected + 1 - len(body))):
                body += chunk
    except (OSError, EOFError, zlib.error) as error:
        raise unreadable(path, error) from None
    if len(body) != expected:
        got = "more" if len(body) > expected else f"{len(body):,}"
        raise InvalidInput(f"{path} announces {expected:,} values for shape {shape}, but holds {got}")
    return np.frombuffer(body, np.uint8).reshape(shape)
