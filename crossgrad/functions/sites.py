"""Where in the code an operation is called, which is one place for all turns of a loop.

A place is the whole chain of calls: a function that is called from two lines has two.
"""

import sys
from types import FrameType


def call_site() -> int:
    """A hash of the chain of Python's calls that led here."""
    frame: FrameType | None = sys._getframe(1)
    chain = []
    while frame is not None:
        # By identity: a code object's hash is that of all its instructions. Those of a chain are alive.
        chain.append((id(frame.f_code), frame.f_lasti))
        frame = frame.f_back
    return hash(tuple(chain))
