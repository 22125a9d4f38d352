"""Makes the commands and options for typer, which prints their help, and reports errors in the command line.

`fast_args.py` parses most command lines without this module. `commands.py` lists the commands and carries them out;
`options.py` declares their options, whose headings are typer's panels.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterable
from functools import partial
from inspect import Parameter, Signature
from types import SimpleNamespace
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from nfrun.cli.commands import all_commands, execute, find_command
from nfrun.cli.commands import version as print_version
from nfrun.cli.completion import VARIABLE, answer_shell, completer, help_for_shells
from nfrun.cli.exit_codes import EXIT_FAILED, EXIT_OK, print_json, report_errors
from nfrun.cli.lookback_commands import LOOKBACK_COMMANDS
from nfrun.core.errors import UsageError
from nfrun.core.text import escape_controls
from nfrun.core.values import MISSING, Field, fields
from nfrun.session.options import Options, plain_words, tells_github
from nfrun.system.std_streams import Messages, prepare_std_streams


def keep_texts(params: Iterable[Any]) -> None:
    """Let typer make no values of the texts on a command line: it imports pydantic for it, which takes 100 ms."""
    for param in params:
        param.process_value = lambda ctx, value: value


class Command(TyperCommand):
    """A command that takes words in the forms of `plain_words`, too."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the words behind the name of the command: those that must be given without braces."""
        pieces = [piece.replace("{", "").replace("}", "") for piece in super().collect_usage_pieces(ctx)]
        takes_file = any("--pipeline" in param.opts for param in self.get_params(ctx))
        return [*pieces[:1], *["[FILE]"] * takes_file, *pieces[1:]]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words in the forms that typer knows. Of an option that is given twice, the last value counts."""
        found = find_command(str(self.name))
        assert found is not None
        if ctx.resilient_parsing:  # a shell asks for the next word, of which it tells no part
            keep_texts(self.get_params(ctx))
            words = plain_words(found[1], [*args, "next"])
            valued = [flag for param in self.params if not getattr(param, "is_flag", False) for flag in param.opts]
            return super().parse_args(ctx, words if args and args[-1] in valued else words[:-1])
        return super().parse_args(ctx, plain_words(found[1], args))

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """Return the options that begin so, for a shell."""
        found: list[Any] = super().shell_complete(ctx, incomplete)
        for item in found:
            item.help = help_for_shells(item.help or "")
        return found


class Commands(TyperGroup):
    """All commands."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words before a command."""
        if ctx.resilient_parsing:
            keep_texts(self.get_params(ctx))
        return super().parse_args(ctx, args)


app = typer.Typer(
    name="nfrun",
    cls=Commands,
    help="Run data and AI pipelines written in YAML: in parallel, on this machine, without copying tables.",
    epilog="'nfrun COMMAND -h' explains a command. To begin: nfrun init etl shop",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


# The base class of typer's command-line errors, which typer does not export.
_UsageError: Any = typer.BadParameter.__mro__[1]


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", metavar=" ", help="Show the version.", is_eager=True)] = False,
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
    if option.metadata["kind"] is bool:
        settings = {"metavar": " ", **settings}  # and not "<bool>", as if it took a value
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
    register = app.command(command, cls=Command, help=command_help, rich_help_panel=heading)
    register(_callback(command, command_options))


def main() -> NoReturn:
    """Run the command line in `sys.argv` and exit. Called for lines that `parse_plain` does not parse."""
    prepare_std_streams()
    if VARIABLE in os.environ:
        answer_shell(app, os.environ)
    words = sys.argv[1:]
    with report_errors() as messages:  # it flushes stdout, help too, where a full disk can still be reported
        try:
            help_of = [*words[1:], "--help"] if words[:1] == ["help"] else words  # `help run` is `run --help`
            code = app(help_of, prog_name="nfrun", standalone_mode=False)
        except _UsageError as error:
            if words and words[0].endswith((".yaml", ".yml")) and error.message.startswith("No such command"):
                error.message = f"No such command '{words[0]}'. Did you mean 'run {words[0]}'?"
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
