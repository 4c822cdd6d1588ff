"""What a certificate costs, said before it is computed: for choosing another judge in time."""

from ...networks.spec import Network
from .layer import BLOCKED, padded_rows

PER_STEP = 1e-3
PER_PARAMETER = 2.4e-6
PER_ACTIVATION = 7.5e-6
PER_PLAIN_PRODUCT = 27e-9
PER_BLOCKED_PRODUCT = 13e-9


CHEAP_BITS = 512
"""Up to here more bits cost next to nothing; beyond, a pass takes longer in proportion."""


def predicted_seconds(network: Network, batch_size: int, bits: int = 113) -> float:
    """Seconds that one pass takes, as measured on one core of a 2.6 GHz EPYC.

    With P parameters, S = B * (sum of the layers' widths) activations, and for
    each layer Q multiplications of balls, ``B I O`` for each of z, dW, the
    updated z and (after the first layer) da, and those of the update's own term,

        seconds = 1 ms + 2.4 us P + 7.5 us S + sum over layers of 27 ns Q or 13 ns Q,

    the smaller price where FLINT multiplies through integer matrices. P pays for
    turning weights into balls three times, dW and W_new into doubles; S for two
    exponentials and six conversions.

    Fitted by non-negative relative least squares to 97 timings of 13 networks
    from 1-1-1 to 512-512-512 at batches from 1 to 256 (numpy 2.4, python-flint
    0.9) at 113 bits: nine of ten lie between 0.6 and 1.3 of what was measured.
    """
    seconds = PER_STEP + PER_PARAMETER * network.parameter_count
    seconds += PER_ACTIVATION * batch_size * sum(network.widths[1:])
    for number, (outputs, inputs) in enumerate(network.shapes, start=1):
        height = padded_rows(batch_size, (outputs, inputs))
        products = float(height) * inputs * outputs * (3 + (number > 1))
        products += float(height) * min(height * (inputs + outputs), 2 * inputs * outputs)
        blocked = min(height, inputs, outputs) >= BLOCKED
        seconds += products * (PER_BLOCKED_PRODUCT if blocked else PER_PLAIN_PRODUCT)
    return seconds * max(1.0, bits / CHEAP_BITS)
