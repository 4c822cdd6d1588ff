"""How each framework takes arrays, differentiates, and can be made to round at random.

A framework is a module with

``Runnable(call, differentiates, wanted, device)``
    A function of leaves; the leaves `wanted` are what its gradients are by.
``Runnable.run(values, noise, instead_of)``
    Calls it with the framework's own arrays. What it returned; or, if it is to be
    differentiated, the loss and its gradients by leaf. With `noise`, a `Rounding`,
    every operation that the framework shows rounds at random. `instead_of` is the name of
    the comparison's dtype if the values are in float64 instead, None if they are not: where code
    names its own dtype it is to have float64 there too.
``Runnable.is_watched``
    Whether the framework shows the function's operations at all.
``Runnable.is_seen``
    Whether all that it returned in its last rerun had been rounded by them.
``Runnable.draws``
    The operation by which the function is known to draw random numbers; None if none was seen.
``Runnable.lowered``
    The dtype to which the framework was told to lower others than float64, as by torch.autocast, in what
    it was seen to run in float64; absent where there is no such thing.
``to_numpy(value)``
    An array of the framework as NumPy's; None if it is none.
``unstopped()``
    A scope in which what a user calls to stop gradients does not; only where there is such a thing.
"""
