"""Who comes after whom in a round."""


def turn_order(number: int, count: int) -> list[int]:
    """The order of a round's turns, of `count` that take part.

    What a turn leaves behind, full caches or a warm core, is the next one's: with turns always
    in the same order, one engine alone would pay for another's. So rounds are rows of Williams's
    square [1]_, in which each comes in every place, and right after every other, equally often:
    in `count` rounds if that is even, else in twice as many.

    References
    ----------
    .. [1] E. J. Williams, Experimental designs balanced for the estimation of residual effects of
       treatments, Australian Journal of Scientific Research A 2 (1949), 149-168.
    """
    zigzag = [(step + 1) // 2 if step % 2 else -step // 2 for step in range(count)]  # 0, 1, -1, 2, -2, ...
    row = [(number + step) % count for step in zigzag]
    return row[::-1] if number // max(1, count) % 2 else row
