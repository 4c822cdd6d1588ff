"""Code that nobody here wrote, as scenarios for ``benchmarks/wild.py``: one file a package.

Each file has `SCENARIOS`: a model or a function of the package, and what it
is held against (``scenario.py``). Equivalents by hand are in PyTorch, whose
autograd and whose kernels share nothing with the package.
"""
