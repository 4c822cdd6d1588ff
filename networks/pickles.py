"""Files that run code when they are opened: refused, with the way to files that only hold numbers.

Unpickling calls whatever functions the file names, and so do the formats that
have pickles in them. They are not opened here, also not to look inside: a
person who trusts one converts it once.
"""

from pathlib import Path

from .errors import InvalidInput

_TORCH = """
    model.load_state_dict(torch.load({name!r}, weights_only=True))  # into the module that it was saved from
    crossgrad.save_parameters({safe!r}, crossgrad.from_torch(model).parameters)"""

_KERAS = """
    model = keras.saving.load_model({name!r})
    crossgrad.save_parameters({safe!r}, crossgrad.from_keras(model).parameters)"""

_PICKLE = """
    params = READER  # must be pairs (W (O, I), b (O,)) of arrays, one a layer
    crossgrad.save_parameters({safe!r}, params)"""

CONVERSIONS = {
    **dict.fromkeys((".pt", ".pth", ".ckpt"), _TORCH),
    **dict.fromkeys((".keras", ".h5", ".hdf5"), _KERAS),
    **dict.fromkeys((".pkl", ".pickle"), _PICKLE.replace("READER", 'pickle.load(open({name!r}, "rb"))')),
    ".joblib": _PICKLE.replace("READER", "joblib.load({name!r})"),
}
"""By suffix: the lines that make a safetensors file of such a file."""

ARCHIVE = _PICKLE.replace("READER", "list(zip(*[iter(np.load({name!r}).values())] * 2))")
"""Of a ``.npz``, a zip too: its arrays in the order W, b, W, b, ..., without ``allow_pickle``."""

BEGINNINGS = {b"PK\x03\x04": ".pt", b"\x80": ".pkl", b"\x89HDF\r\n\x1a\n": ".h5"}
"""First bytes of a zip archive (torch.save), a pickle from protocol 2 on, and HDF5, with a suffix of each."""

REASON = "can run code when they are loaded"


def refuse_pickle(path: str | Path) -> None:
    """Refuse a file whose name says that it may run code, before it is opened.

    Raises
    ------
    InvalidInput
        With the reason, and the lines that convert such a file.
    """
    suffix = Path(path).suffix.lower()
    if suffix in CONVERSIONS:
        raise _refusal(path, f"is not opened: {suffix} files {REASON}", suffix)


def refuse_pickled(path: str | Path, content: bytes, expected: str) -> None:
    """Say it of a file that could not be read as `expected`, if it begins as one that may run code.

    Raises
    ------
    InvalidInput
        As `refuse_pickle`.
    """
    if Path(path).suffix.lower() == ".npz":
        raise InvalidInput(f"{path} is no {expected}: convert it once:{_lines(path, ARCHIVE)}")
    for beginning, suffix in BEGINNINGS.items():
        if content.startswith(beginning):
            reason = f"is no intact {expected}: it begins like {suffix} files, which {REASON}"
            raise _refusal(path, reason, suffix)


def _refusal(path: str | Path, reason: str, suffix: str) -> InvalidInput:
    lines = _lines(path, CONVERSIONS[suffix])
    return InvalidInput(f"{path} {reason}. If you trust it, convert it once:{lines}")


def _lines(path: str | Path, form: str) -> str:
    """The two lines, for this file; what they write is never the file that they read."""
    safe = Path(path).with_suffix(".safetensors")
    if safe == Path(path):
        safe = safe.with_stem(f"{safe.stem}-converted")
    return form.format(name=str(path), safe=str(safe))
