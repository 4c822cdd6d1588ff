"""Which samples a gradient counts: one dropped, repeated, in the place of another, or alone.

dW and db are sums over the samples, ``sum_s w_s g_s`` with w_s = 1 for all.
What is missing, ``D = right - got``, is ``sum_s (1 - w_s) g_s``, and how well a
choice of weights explains it follows from the products ``g_s . g_t`` and
``g_s . D`` alone: ``g_s . g_t = (dz_s . dz_t) (a_s . a_t)`` for dW, without the
second factor for db. So every sample, every pair and every block is tried at
the price of a few products.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from ..arithmetic import Uncertain
from ..networks.dtypes import Array
from .elements import samples_named
from .explanation import Explanation
from .measure import strayed
from .record import BIAS_NOT_SUMMED, SAMPLE_DROPPED, SAMPLE_REPEATED
from .site import Site

LARGEST_BATCH = 2048
"""The table of products has its square of entries."""


class Part(NamedTuple):
    """A gradient that is wrong: where, what was got, what it should be."""

    site: Site
    got: Array
    right: Uncertain


class SampleFault(NamedTuple):
    """How often each sample was counted, and what to call it."""

    cause: str
    text: str
    weights: Array

    def explain(self, site: Site) -> Explanation:
        """What a gradient, or the loss, is with these weights."""
        if site.kind == "loss":
            return Explanation(self.cause, self.text, self._loss(site), detail=self.text)
        dz, column = site.here("dz"), self.weights[:, np.newaxis]
        counted = Uncertain(column * dz.value, np.square(column) * dz.variance)
        made = (
            site.bias_gradient(counted)
            if site.kind == "db"
            else site.weight_gradient(counted, site.below("a"))
        )
        return Explanation(self.cause, self.text, made, detail=self.text)

    def _loss(self, site: Site) -> Uncertain:
        """Residuals by the roots of the weights: the losses are quadratic."""
        y, right = site.steps.y, site.steps.loss(site.output())
        residual = np.sqrt(np.maximum(self.weights, 0))[:, np.newaxis] * (site.output().value - y)
        return Uncertain(np.asarray(site.steps.loss_rule.value(y + residual, y)), right.variance)


def find_samples(parts: Sequence[Part]) -> Iterator[SampleFault]:
    """Propose which samples were miscounted in all these gradients alike."""
    if not parts or not 1 < parts[0].site.case.batch_size <= LARGEST_BATCH:
        return
    with np.errstate(all="ignore"):
        products, missing = _products(parts)
        if not np.isfinite(products).all() or not np.isfinite(missing).all():
            return
        choices = list(_choices(products, missing))
    for weights in choices:
        yield _named(weights)


def bias_alone(fault: SampleFault, dW: Part) -> SampleFault:
    """Call it a fault of db, unless dW would look the same with these weights.

    One sample alone, out of more than two, is a sum that was forgotten, whatever dW says.
    """
    alone = np.sum(fault.weights) == 1 and len(fault.weights) > 2
    if not alone and strayed(dW.got, fault.explain(dW.site).predicted) <= 1:
        return fault
    return fault._replace(cause=BIAS_NOT_SUMMED)


def _products(parts: Sequence[Part]) -> tuple[Array, Array]:
    """``g_s . g_t (B, B)`` and ``g_s . D (B,)``, each gradient in units of its noise."""
    count = parts[0].site.case.batch_size
    products, missing = np.zeros((count, count)), np.zeros(count)
    for site, got, right in parts:
        dz, unit = site.here("dz").value, np.mean(right.variance)
        table, along = dz @ dz.T, dz @ (right.value - got)
        if site.kind == "dW":
            a = site.below("a").value
            table, along = table * (a @ a.T), np.sum(along * a, axis=1)
        products += table / unit
        missing += along / unit
    return products, missing


def _choices(products: Array, missing: Array) -> Iterator[Array]:
    """The best of each kind: one out, one twice, one for another, one alone, a block out, any at all."""
    count, own = len(missing), np.diagonal(products)
    ones, out, twice = np.ones(count), own - 2 * missing, own + 2 * missing
    yield _with(ones, {int(np.argmin(out)): 0})
    yield _with(ones, {int(np.argmin(twice)): 2})
    swapped = out[:, np.newaxis] + twice - 2 * products
    np.fill_diagonal(swapped, np.inf)
    i, j = np.unravel_index(int(np.argmin(swapped)), swapped.shape)
    yield _with(ones, {int(i): 0, int(j): 2})
    alone = own - 2 * (products.sum(axis=1) - missing)
    yield _with(np.zeros(count), {int(np.argmin(alone)): 1})
    for order in (np.arange(count), np.arange(count)[::-1]):
        blocks = products[np.ix_(order, order)].cumsum(axis=0).cumsum(axis=1)
        spare = np.diagonal(blocks) - 2 * missing[order].cumsum()
        yield _with(ones, dict.fromkeys(order[: int(np.argmin(spare[:-1])) + 1].tolist(), 0))
    solved = np.rint(1 - np.linalg.lstsq(products, missing, rcond=1e-10)[0])
    if solved.min() >= 0 and len(np.unique(solved)) > 1 and solved.max() < 10:
        yield solved


def _with(weights: Array, changes: dict[int, int]) -> Array:
    changed = weights.copy()
    for index, weight in changes.items():
        changed[index] = weight
    return changed


def _named(weights: Array) -> SampleFault:
    dropped, repeated = np.flatnonzero(weights == 0), np.flatnonzero(weights > 1)
    if len(dropped) == len(weights) - 1 and not len(repeated):
        text = f"counts {samples_named(np.flatnonzero(weights))} alone"
    elif len(dropped) and len(repeated):
        text = f"counts {samples_named(repeated)} in the place of {samples_named(dropped)}"
    elif len(dropped):
        text = f"leaves out {samples_named(dropped)}"
    else:
        text = f"counts {samples_named(repeated)} more than once"
    cause = SAMPLE_REPEATED if len(repeated) else SAMPLE_DROPPED
    return SampleFault(cause, text, weights)
