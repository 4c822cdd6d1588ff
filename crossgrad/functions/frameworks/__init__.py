"""How each framework takes arrays, differentiates, and can be made to round at random.

A framework is a module with three functions:

``run(call, differentiates, values, wanted, device, noise)``
    Calls a function of leaves, given as the framework's own arrays, and returns what it
    returned, or the loss and its gradients by the leaves `wanted` if it is to be differentiated.
``to_numpy(value)``
    An array of the framework as NumPy's; None if it is none.
``Noise``
    What every rounding is disturbed by (``noise.py`` of the package above).

The reference for rounding at random is Monte-Carlo arithmetic (Parker 1997):
an operation's result in float64, with a random relative error of the unit
roundoff of the format under test.
"""
