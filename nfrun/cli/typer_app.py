"""Makes the commands and options for typer, which prints their help, and reports errors in the command line.

`fast_args.py` parses most command lines without this module. `commands.py` lists the commands and carries them out;
`options.py` declares their options.
"""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Callable
from functools import partial
from inspect import Parameter, Signature
from types import SimpleNamespace
from typing import Annotated, Any, NoReturn

import typer

from nfrun.cli.commands import all_commands, execute
from nfrun.cli.commands import version as print_version
from nfrun.cli.completion import VARIABLE, answer_shell, completer
from nfrun.cli.exit_codes import EXIT_FAILED, EXIT_OK, print_json, report_errors
from nfrun.cli.help_text import CommandHelp, GroupHelp
from nfrun.cli.lookback_commands import LOOKBACK_COMMANDS
from nfrun.cli.other_words import argument_hint, command_hint, option_hint
from nfrun.core.errors import UsageError
from nfrun.core.text import escape_controls
from nfrun.core.values import MISSING, Field, fields
from nfrun.session.option_fields import Options
from nfrun.session.option_values import tells_github
from nfrun.system.std_streams import Messages, prepare_std_streams

app = typer.Typer(
    name="nfrun",
    cls=GroupHelp,
    help="Run data and AI pipelines written in YAML: in parallel, on this machine, without copying tables.",
    epilog="'nfrun COMMAND -h' explains a command. To begin: nfrun init etl shop",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


# The base class of typer's command-line errors, which typer does not export.
_UsageError: Any = typer.BadParameter.__mro__[1]


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Show the version and leave.", is_eager=True)] = False,
) -> None:
    """Handle the options that come before a command."""
    if version:
        raise typer.Exit(print_version())


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
    annotation = Annotated[offered, make(autocompletion=completer(option), **settings)]
    return Parameter(option.name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


heading = "Make and run a pipeline"
for command, (_, command_options, command_help) in all_commands().items():
    if command in LOOKBACK_COMMANDS:
        heading = "Look at runs"
    elif heading == "Look at runs":
        heading = "More"
    register = app.command(command, cls=CommandHelp, help=command_help, rich_help_panel=heading)
    register(_callback(command, command_options))


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
    if VARIABLE in os.environ:
        answer_shell(app, os.environ)
    words = sys.argv[1:]
    with report_errors() as messages:  # it flushes stdout, help too, where a full disk can still be reported
        try:
            help_of = [*words[1:], "--help"] if words[:1] == ["help"] else words  # `help run` is `run --help`
            code = app(help_of, prog_name="nfrun", standalone_mode=False)
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
