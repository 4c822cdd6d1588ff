"""What a user would write instead of crossgrad: one loss-and-gradients step in each framework's plain words.

Each module has ``build(layers, x, y, device)``: from a case's NumPy arrays, ``[(W, b), ...]``,
x and y, and ``cpu`` or ``cuda``, it makes ``(step, wait)``. ``step()`` gives the mean squared
error of a network of sigmoid layers and its gradients; ``wait()`` returns when what was started
has ended. The two ``..._products`` run the same matrix products and nothing else.
"""
