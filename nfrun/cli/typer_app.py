"""Makes the commands and options for typer, which prints their help, and reports errors in the command line.

`fast_args.py` parses most command lines without this module. `commands.py` lists the commands and carries them out;
`options.py` declares their options.
"""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Callable, Sequence
from functools import partial
from inspect import Parameter, Signature
from types import SimpleNamespace
from typing import Annotated, Any, NoReturn

import typer

from nfrun.cli.commands import all_commands, execute, find_command
from nfrun.cli.commands import version as print_version
from nfrun.cli.completion.candidates import ROOT_FLAGS
from nfrun.cli.completion.command_line import SHELL_FLAGS
from nfrun.cli.completion.shell_scripts import SCRIPTS, script_of, shell_of_user
from nfrun.cli.completion.shell_scripts import install as install_completion
from nfrun.cli.exit_codes import EXIT_FAILED, EXIT_OK, print_json, report_errors
from nfrun.cli.help_text import CommandHelp, GroupHelp
from nfrun.cli.lookback_commands import LOOKBACK_COMMANDS
from nfrun.cli.other_words import argument_hint, command_hint, option_hint
from nfrun.core.errors import UsageError
from nfrun.core.text import escape_controls
from nfrun.core.values import MISSING, Field, fields
from nfrun.session.option_fields import Options, plain_words
from nfrun.session.option_values import tells_github
from nfrun.system.std_streams import Messages, prepare_std_streams

app = typer.Typer(
    name="nfrun",
    cls=GroupHelp,
    help="Run data and AI pipelines written in YAML: in parallel, on this machine, without copying tables.",
    epilog="'nfrun COMMAND -h' explains a command. To begin: nfrun init etl shop",
    no_args_is_help=True,
    add_completion=False,  # its scripts let the shell evaluate what files say, and its start takes 150 ms
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _shell_option(flag: str) -> Any:
    return typer.Option(flag, metavar="[SHELL]", show_default=False, help=ROOT_FLAGS[flag], is_eager=True)


# The base class of typer's command-line errors, which typer does not export.
_UsageError: Any = typer.BadParameter.__mro__[1]


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help=ROOT_FLAGS["--version"], is_eager=True)] = False,
    install: Annotated[str | None, _shell_option("--install-completion")] = None,
    show: Annotated[str | None, _shell_option("--show-completion")] = None,
) -> None:
    """Handle the options that come before a command."""
    if version:
        raise typer.Exit(print_version())
    if install is not None:
        files = install_completion(_shell(install, "--install-completion"), os.environ)
        print(escape_controls(f"wrote {' and '.join(map(str, files))}: shells that start from now on complete nfrun"))
        raise typer.Exit(EXIT_OK)
    if show is not None:
        print(script_of(_shell(show, "--show-completion")), end="")
        raise typer.Exit(EXIT_OK)


def _shell(given: str, option: str) -> str:
    """Return the shell that an option of completion names, or in which nfrun runs. Raises BadParameter."""
    shell = given or shell_of_user(os.environ)
    if shell in SCRIPTS:
        return shell
    what = f"{given!r} is not one of {', '.join(map(repr, SCRIPTS))}." if given else "name the shell: bash, zsh or fish"
    raise typer.BadParameter(escape_controls(what), param_hint=option)


def _callback(name: str, options: type[Options]) -> Callable[..., None]:
    """Return the function that typer calls for a command. Typer reads the options from its signature."""

    def call(**given: Any) -> None:
        try:
            code = execute(name, {option: value for option, value in given.items() if value is not None})
        except UsageError as error:
            if tells_github(SimpleNamespace(**given), os.environ):
                from nfrun.cli.github import annotate

                annotate(Messages(), (), "error", f"{error.option}: {error}")
            # Escape here, before typer, which strips what looks like a colour.
            raise typer.BadParameter(escape_controls(str(error)), param_hint=error.option) from None
        raise typer.Exit(code)

    call.__signature__ = Signature([*map(_parameter, fields(options))])  # type: ignore[attr-defined]
    return call


def _parameter(option: Field[Any]) -> Parameter:
    flags, choices, settings = option.metadata["flags"], option.metadata["choices"], option.metadata["settings"]
    make = partial(typer.Option, *flags) if flags else partial(typer.Argument, show_default=False)
    default = {MISSING: Parameter.empty, (): None}.get(option.default, option.default)
    settings = {"rich_help_panel": option.metadata["group"] or None, **settings}
    offered: Any = option.metadata["kind"] if default is not None else option.metadata["kind"] | None
    if choices:  # they are checked in `options.py`
        settings = {"metavar": f"<{'|'.join(choices)}>", **settings}
    annotation = Annotated[offered, make(**settings)]
    return Parameter(option.name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


heading = "Make and run a pipeline"
for command, (_, command_options, command_help) in all_commands().items():
    if command in LOOKBACK_COMMANDS:
        heading = "Look at runs"
    elif heading == "Look at runs":
        heading = "More"
    register = app.command(command, cls=CommandHelp, help=command_help, rich_help_panel=heading)
    register(_callback(command, command_options))


def _words(words: Sequence[str]) -> list[str]:
    """Return the words of a command line in the forms that typer knows. `help run` is `run --help`."""
    if words and words[0] == "help":
        return [*words[1:], "--help"]
    if words and words[0] in SHELL_FLAGS:
        return [f"{words[0]}={''.join(words[1:2])}", *words[2:]]
    command = find_command(words[0]) if words else None
    return [*words[:1], *plain_words(command[1], words[1:])] if command else [*words]


def _hint(error: Any) -> str:
    """Return what to type in place of a command that is not there, or of an argument too many."""
    if error.ctx is None:
        return ""
    if error.ctx.parent is None:
        return command_hint(sys.argv[1]) if error.message.startswith("No such command") else ""
    extra = re.fullmatch(r"Got unexpected extra argument\(s\) \((.*\S.*)\)", error.message)
    flags = {flag for param in error.ctx.command.params for flag in param.opts}
    return argument_hint(extra[1], flags) if extra else ""


def main() -> NoReturn:
    """Run the command line in `sys.argv` and exit. Called for what `parse_plain` does not parse."""
    prepare_std_streams()
    with report_errors() as messages:  # it flushes stdout, help too, where a full disk can still be reported
        try:
            code = app(_words(sys.argv[1:]), standalone_mode=False)
        except _UsageError as error:
            if hint := option_hint(getattr(error, "option_name", "")) or _hint(error):
                error.message, error.possibilities = f"{error.message.partition('. Did')[0].rstrip('.')}. {hint}", None
            buffer = io.StringIO()
            error.show(buffer)
            messages(buffer.getvalue(), end="")
            if "--json" in sys.argv:
                print_json({"status": "failed", "error": error.format_message(), "problems": []})
            code = error.exit_code
        except typer.Abort:
            messages("Aborted!")
            code = EXIT_FAILED
        if code:
            sys.exit(code)  # the error has been printed
    sys.exit(EXIT_OK)
