"""Files that run code when they are opened: refused, with the way to files that only hold numbers.

Unpickling calls whatever functions the file names, and so do the formats that
have pickles in them. They are not opened here, also not to look inside: a
person who trusts one converts it once.
"""

from collections.abc import Mapping
from pathlib import Path

from .errors import InvalidInput

_TORCH = (".pt", ".pth", ".ckpt")
_KERAS = (".keras", ".h5", ".hdf5")
_ANYTHING = {
    ".pkl": 'pickle.load(open({name!r}, "rb"))',
    ".pickle": 'pickle.load(open({name!r}, "rb"))',
    ".joblib": "joblib.load({name!r})",
}
"""Files that may hold whatever there is, and what reads them."""

NUMPY = ".npz"
"""A zip archive too, and harmless without ``allow_pickle``; its arrays have names that say nothing."""

_TORCH_MODEL = """
    model.load_state_dict(torch.load({name!r}, weights_only=True))  # into the module that it was saved from
    crossgrad.save_parameters({safe!r}, crossgrad.from_torch(model).parameters)"""

_KERAS_MODEL = """
    model = keras.saving.load_model({name!r})
    crossgrad.save_parameters({safe!r}, crossgrad.from_keras(model).parameters)"""

_PARAMETERS = """
    params = READER  # must be pairs (W (O, I), b (O,)) of arrays, one a layer
    crossgrad.save_parameters({safe!r}, params)"""

_BATCH = """
    x, y = READER  # must be arrays x (B, I) and y (B, O)
    crossgrad.save_batch({safe!r}, (x, y))"""

Conversions = Mapping[str, str]
"""By suffix: the two lines that make a safetensors file of such a file."""

PARAMETERS: Conversions = {
    **dict.fromkeys(_TORCH, _TORCH_MODEL),
    **dict.fromkeys(_KERAS, _KERAS_MODEL),
    **{suffix: _PARAMETERS.replace("READER", reader) for suffix, reader in _ANYTHING.items()},
    NUMPY: _PARAMETERS.replace("READER", "list(zip(*[iter(np.load({name!r}).values())] * 2))"),
}
"""Of parameters: an archive's arrays are taken in the order W, b, W, b, ..."""

BATCH: Conversions = {
    **dict.fromkeys(_TORCH, _BATCH.replace("READER", "torch.load({name!r}, weights_only=True)")),
    **dict.fromkeys(_KERAS, _BATCH.replace("READER", '(h5py.File({name!r})[key][:] for key in ("x", "y"))')),
    **{suffix: _BATCH.replace("READER", reader) for suffix, reader in _ANYTHING.items()},
    NUMPY: _BATCH.replace("READER", '(np.load({name!r})[key] for key in ("x", "y"))'),
}
"""Of a batch."""

BEGINNINGS = {b"PK\x03\x04": ".pt", b"\x80": ".pkl", b"\x89HDF\r\n\x1a\n": ".h5"}
"""First bytes of a zip archive (torch.save), a pickle from protocol 2 on, and HDF5, with a suffix of each."""

REASON = "can run code when they are loaded"


def refuse_pickle(path: str | Path, conversions: Conversions = PARAMETERS) -> None:
    """Refuse a file whose name says that it may run code, before it is opened.

    Raises
    ------
    InvalidInput
        With the reason, and the lines that convert such a file.
    """
    suffix = Path(path).suffix.lower()
    if suffix in conversions and suffix != NUMPY:
        raise _refusal(path, f"is not opened: {suffix} files {REASON}", conversions[suffix])


def refuse_pickled(
    path: str | Path, content: bytes, expected: str, conversions: Conversions = PARAMETERS
) -> None:
    """Say it of a file that could not be read as `expected`, if it begins as one that may run code.

    Raises
    ------
    InvalidInput
        As `refuse_pickle`.
    """
    if Path(path).suffix.lower() == NUMPY:
        raise InvalidInput(f"{path} is no {expected}: convert it once:{_lines(path, conversions[NUMPY])}")
    for beginning, suffix in BEGINNINGS.items():
        if content.startswith(beginning):
            reason = f"is no intact {expected}: it begins like {suffix} files, which {REASON}"
            raise _refusal(path, reason, conversions[suffix])


def _refusal(path: str | Path, reason: str, lines: str) -> InvalidInput:
    return InvalidInput(f"{path} {reason}. If you trust it, convert it once:{_lines(path, lines)}")


def _lines(path: str | Path, form: str) -> str:
    """The two lines, for this file; what they write is never the file that they read."""
    safe = Path(path).with_suffix(".safetensors")
    if safe == Path(path):
        safe = safe.with_stem(f"{safe.stem}-converted")
    return form.format(name=str(path), safe=str(safe))
