"""Lays out help as plain text, with commands and options under headings, and refuses options that are given twice.

The headings are typer's panels, which typer itself prints with rich: that would take longer than all else of the help.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from typer import BadParameter
from typer.core import TyperCommand, TyperGroup

from nfrun.cli.commands import find_command
from nfrun.cli.completion import help_for_shells
from nfrun.session.option_fields import plain_words

_MOST_IN_ONE = 12  # options without headings
_COLUMN = 30  # characters of the names; a longer one has a line of its own


def keep_texts(params: Iterable[Any]) -> None:
    """Let typer make no values of the texts on a command line: it imports pydantic for it, which takes 100 ms."""
    for param in params:
        param.process_value = lambda ctx, value: value


class CommandHelp(TyperCommand):
    """A command whose options are listed under their panels."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the words behind the name of the command: those that must be given without braces."""
        pieces = [piece.replace("{", "").replace("}", "") for piece in super().collect_usage_pieces(ctx)]
        takes_file = any("--pipeline" in param.opts for param in self.get_params(ctx))
        return [*pieces[:1], *["[FILE]"] * takes_file, *pieces[1:]]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words in the forms that typer knows, and refuse options given twice. Raises BadParameter."""
        found = find_command(str(self.name))
        assert found is not None
        if ctx.resilient_parsing:  # a shell asks for the next word, of which it tells no part
            keep_texts(self.get_params(ctx))
            words = plain_words(found[1], [*args, "next"])
            valued = [flag for param in self.params if not getattr(param, "is_flag", False) for flag in param.opts]
            return super().parse_args(ctx, words if args and args[-1] in valued else words[:-1])
        args = plain_words(found[1], args)
        *_, order = self.make_parser(ctx).parse_args([*args])
        left = super().parse_args(ctx, args)
        for param in order:
            is_flag = getattr(param, "is_flag", False)
            takes_one = param.param_type_name == "option" and not param.multiple and not is_flag
            if takes_one and order.count(param) > 1:
                also = ": a pipeline file that stands first is one, too" if "--pipeline" in param.opts else ""
                what = f"it is given more than once, and takes one value{also}"
                raise BadParameter(what, ctx=ctx, param_hint=param.opts[0])
        return left

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """Return the options that begin so, for a shell."""
        found: list[Any] = super().shell_complete(ctx, incomplete)
        for item in found:
            item.help = help_for_shells(item.help or "")
        return found

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments and the options."""
        arguments, options = [], []
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record and param.param_type_name == "argument":
                arguments.append(("Arguments", (record[0].partition(" <")[0], record[1])))
            elif record:
                options.append((getattr(param, "rich_help_panel", None) or "Options", record))
        if len(options) <= _MOST_IN_ONE:
            options = [("Options", record) for _, record in options]
        _write(formatter, arguments)
        _write(formatter, options)


class GroupHelp(TyperGroup):
    """A group whose commands are listed first, under their panels."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words before a command."""
        if ctx.resilient_parsing:
            keep_texts(self.get_params(ctx))
        return super().parse_args(ctx, args)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the commands and the options."""
        self.format_commands(ctx, formatter)
        found = [param.get_help_record(ctx) for param in self.get_params(ctx)]
        _write(formatter, [("Options", record) for record in found if record])

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands, each with its help, which is one line."""
        commands: Mapping[str, Any] = self.commands
        _write(formatter, [(command.rich_help_panel, (name, command.help)) for name, command in commands.items()])


def _write(formatter: Any, records: Iterable[tuple[str, tuple[str, str]]]) -> None:
    """Write sections with names and their texts, all in the same two columns."""
    sections: dict[str, list[tuple[str, str]]] = {}
    for heading, record in records:
        sections.setdefault(heading, []).append(record)
    width = max((len(name) for rows in sections.values() for name, _ in rows if len(name) <= _COLUMN), default=0)
    for heading, rows in sections.items():
        with formatter.section(heading):
            formatter.write_dl([(name.ljust(width), text) for name, text in rows], col_max=width)
