"""Who comes after whom: each in every place, and right after every other, equally often."""

from collections import Counter
from itertools import pairwise

import pytest

from crossgrad.bench.turns import turn_order


@pytest.mark.parametrize("count", range(1, 10))
def test_every_place_and_every_predecessor_comes_equally_often(count: int) -> None:
    rounds = count if count % 2 == 0 else 2 * count
    orders = [turn_order(number, count) for number in range(rounds)]
    places = Counter((place, who) for order in orders for place, who in enumerate(order))
    after = Counter((one, next_) for order in orders for one, next_ in pairwise(order))
    assert len(places) == count * count
    assert len(after) == count * (count - 1)
    assert len(set(places.values())) == 1
    assert len(set(after.values())) == (1 if count > 1 else 0)


def test_nobody_takes_part() -> None:
    assert turn_order(3, 0) == []
