"""Puts the repository on the path: the suite shares the tests' engines, ids and skips."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
