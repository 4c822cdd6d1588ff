"""Any gradient function of any framework, compared with any other.

A `Function` (``function.py``) says what a callable is. Its arguments are trees
of arrays (``trees.py``), which reach it as its framework's own
(``frameworks/``). It is run in the arrays' dtype, in float64, and some times in
float64 with a random error wherever the framework rounds (``runs.py``): what
that moves is the rounding noise of correct arithmetic (``measuring.py``). Leaves are
matched by path (``matching.py``) and judged like any quantity (``judging.py``);
what a narrow dtype's noise hides, float64 shows (``hidden.py``);
who is wrong, the loss itself tells, by differences (``arbiter.py``).
"""
