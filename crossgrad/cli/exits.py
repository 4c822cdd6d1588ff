"""Exit codes, and which of them a verdict stands for."""

OK = 0
DISAGREE = 1
BAD_INPUT = 2
ENGINE_FAILED = 3
SLOWER = 4
INTERRUPTED = 130
PIPE_CLOSED = 141
"""As of a process that SIGPIPE ended, when the reader of the output has gone."""

TABLE = """\
Exit codes: 0 all agree · 1 something disagrees · 2 wrong usage or bad input ·
3 an engine failed, or was asked for and is missing, nothing could be
compared, or merged runs lack cases · 4 a benchmark is slower than before ·
130 interrupted"""


def of_verdict(verdict: str) -> int:
    """The exit code of a report's verdict: 0 also where part of it could not be decided."""
    from ..verdict import WRONG  # heavy

    return DISAGREE if verdict in WRONG else ENGINE_FAILED if verdict == "failed" else OK
