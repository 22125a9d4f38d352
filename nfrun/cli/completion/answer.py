"""Answers a shell that completes a command line: prints what may stand at the cursor.

The answer has lines. The first is `values`, or what kind of files the shell shall look for, and `nospace` if no blank
follows. The second is `>` with what the shell keeps of the word, the third `>` with what it completes of it. Then come
the candidates, each with a tab and what it is; for bash without that.
"""

from __future__ import annotations

from collections.abc import Mapping

from nfrun.cli.completion.candidates import candidates_at
from nfrun.cli.completion.command_line import Line, place_of, split_line
from nfrun.core.text import ellipsize, escape_controls
from nfrun.system.std_streams import Messages, prepare_std_streams

VARIABLE = "_NFRUN_COMPLETE"
_MOST_HELP = 80  # characters


def answer_shell(environ: Mapping[str, str]) -> None:
    """Print the answer to the shell whose question is in the environment. Whatever goes wrong, it is just shorter."""
    try:
        prepare_std_streams()
        print(answer(environ[VARIABLE], _line(environ)), end="", flush=True)
    except Exception as error:  # a shell would show it in the middle of the line
        if environ.get("NFRUN_DEBUG"):
            Messages()(f"{type(error).__name__}: {error}")


def _line(environ: Mapping[str, str]) -> Line:
    if environ[VARIABLE] == "bash":
        return split_line(environ["_NFRUN_LINE"], environ.get("_NFRUN_BREAKS", ""))
    return Line(tuple(environ["_NFRUN_WORDS"].split("\n")), environ.get("_NFRUN_CURRENT", ""))


def answer(shell: str, line: Line) -> str:
    """Return the answer for `bash`, `zsh` or `fish`. Raises all that reading files and runs raises."""
    found = candidates_at(place_of([*line.words[1:]], line.current))
    kept = line.current[: found.before]
    if shell == "bash":  # it replaces less than the word
        texts = [kept + text for text, _ in found.found]
        shown = [text[line.kept :] for text in texts]
        kept, completed = "", (kept + found.text)[line.kept :]
    else:
        shown = [f"{text}\t{_one_line(help)}" for text, help in found.found]
        completed = found.text
    first = (found.files or "values") + (" nospace" if found.goes_on else "")
    return "\n".join([first, f">{kept}", f">{completed}", *shown, ""])


def _one_line(text: str) -> str:
    return ellipsize(escape_controls(" ".join(text.split())), _MOST_HELP)
