"""Runs Python on given names: a prompt on a terminal, IPython if it is installed, and otherwise a script from stdin."""

from __future__ import annotations

import linecache
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any

_SCRIPT = "<stdin>"


def run_prompt(names: dict[str, Any], banner: str, say: Callable[[str], object]) -> int:
    """Let the user work with `names`, and return the exit code. `say` shows a message; `banner` is for a terminal."""
    try:
        if not sys.stdin.isatty():
            return _run_script(sys.stdin.buffer.read(), names, say)
        say(banner)
        if not _ipython(names):
            _plain_prompt(names)
    except SystemExit as end:
        if end.code is not None and not isinstance(end.code, int):
            say(str(end.code))
            return 1
        return end.code or 0
    return 0


def _run_script(source: bytes, names: dict[str, Any], say: Callable[[str], object]) -> int:
    """Run a script to its end. An error in it is shown with its own traceback, and gives the exit code 1."""
    lines = source.decode(errors="replace").splitlines(keepends=True)
    linecache.cache[_SCRIPT] = (len(source), None, lines, _SCRIPT)  # so that tracebacks show them
    try:
        exec(compile(source, _SCRIPT, "exec"), names)
    except (SystemExit, KeyboardInterrupt, BrokenPipeError):
        raise
    except BaseException as error:
        own = error.__traceback__ and error.__traceback__.tb_next  # without the frame of this function
        say("".join(traceback.format_exception(type(error), error, own)).rstrip("\n"))
        return 1
    return 0


def _ipython(names: dict[str, Any]) -> bool:
    """Start IPython. Returns False if it is not installed."""
    try:
        ipython: Any = import_module("IPython")
    except ImportError:
        return False
    ipython.start_ipython(argv=["--no-banner"], user_ns=names)
    return True


def _plain_prompt(names: dict[str, Any]) -> None:
    import code

    with suppress(ImportError):  # some builds of Python have no readline
        import readline
        import rlcompleter

        readline.set_completer(rlcompleter.Completer(names).complete)
        readline.parse_and_bind("tab: complete")
    code.interact(banner="", local=names, exitmsg="")
