"""Gradients that hold something besides this step's: an earlier gradient that was not set to zero.

What an earlier step left is not known, so this is a guess by elimination: dz is
right, dW and db are both wrong, and nothing else explains them. It can be
refuted where there are few samples: a gradient of B samples is a sum of B
products ``dz_s a_s^T``, so a leftover, with or without the gradient that it
replaced, has rank 2 B at most.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from ..arithmetic import Uncertain
from .explanation import Explanation
from .record import STALE_GRADIENT
from .samples import Part
from .updates import STEPS, as_step

GUESS, CONFIRMED, REFUTED = 0.6, 0.85, 0.3
"""Confidence where the rank says nothing, where it is as low as it should be, and where it is not."""

AGAINST_ODDS = 0.45

LARGEST = 1_000_000
"""Elements of a matrix whose rank is looked at."""


def find_stale(part: Part, layer: Sequence[Part], odd: bool) -> Iterator[Explanation]:
    """Explain a gradient or an updated parameter by something left from an earlier step.

    Parameters
    ----------
    layer
        The weights' and the bias's part, where both are wrong in themselves in some layer.
    odd
        Whether in some layer one of them is wrong and the other right, which speaks against it.
    """
    if len(layer) < 2:
        return
    guess = AGAINST_ODDS if odd else GUESS
    if part.site.kind in STEPS:
        _, got, right = as_step(*part)
        text = "is not made of this step's gradient alone: momentum, or a gradient of an earlier step?"
        yield Explanation(STALE_GRADIENT, text, Uncertain(got, right.variance), None, guess)
    elif part.site.kind in ("dW", "db"):
        text = (
            f"is not the gradient of this step, although dz.{part.site.layer} is right: "
            "accumulated from an earlier step, not set to zero?"
        )
        by_rank = _by_rank(*layer)
        as_got = Uncertain(part.got, part.right.variance)
        yield Explanation(STALE_GRADIENT, text, as_got, None, min(guess, by_rank) if odd else by_rank)


def _by_rank(dW: Part, db: Part) -> float:
    leftover = np.column_stack([dW.got - dW.right.value, db.got - db.right.value])
    rank = 2 * dW.site.case.batch_size
    if 2 * rank > min(leftover.shape) or leftover.size > LARGEST or not np.isfinite(leftover).all():
        return GUESS
    strength = np.linalg.svd(leftover, compute_uv=False)
    noise = np.sqrt(max(np.max(dW.right.variance), np.max(db.right.variance)))
    within_noise = strength[rank] <= 4 * noise * sum(np.sqrt(leftover.shape))
    return CONFIRMED if within_noise else REFUTED
