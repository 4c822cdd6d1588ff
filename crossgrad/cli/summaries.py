"""The summary of a run, as several commands end."""

from pathlib import Path

from .. import escape
from . import exits, options
from .output import say, write


def show_summary(path: Path, form: options.Format, quiet: bool, whole: bool = False) -> int:
    """Write the summary of a run and return the exit code that it stands for.

    A run that is to be `whole` has failed if cases are missing: they may be those that disagree.
    """
    from ..sweep.info import read_info
    from ..sweep.store import read_records
    from ..sweep.summary import summarise
    from ..sweep.text import closing_line, summary_text

    info = read_info(path)
    found = summarise(info, read_records(path, lambda sentence: None))
    if form is options.Format.json:
        write(escape.json(found.model_dump_json(indent=1)) + "\n")
    else:
        write("" if quiet else summary_text(path, info, found) + "\n")
        say(closing_line(path, found) + "\n")
    code = exits.of_verdict(found.verdict)
    return exits.ENGINE_FAILED if whole and code == exits.OK and found.done < found.planned else code
