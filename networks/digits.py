"""Real handwriting: the 1,797 digits of 8x8 pixels that scikit-learn carries with it.

Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI
Machine Learning Repository, 1998 (the test part). Grey values are 0 to 16.
"""

from .batches import Batch, choose_rows, one_hot
from .errors import InvalidInput
from .spec import Network


def digits_batch(network: Network, batch_size: int, seed: int) -> Batch:
    """Draw digits by `seed`: ``x (B, 64)`` scaled to 0..1, one-hot ``y (B, 10)``.

    Raises
    ------
    InvalidInput
        If scikit-learn is not installed, or there are fewer samples than asked for.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise InvalidInput(
            'the digits come with scikit-learn, which is not installed: pip install "crossgrad[digits]"'
        ) from None
    data = load_digits()
    rows = choose_rows(len(data.target), batch_size, seed, "digits")
    return Batch(data.data[rows] / 16, one_hot(data.target[rows], 10))
