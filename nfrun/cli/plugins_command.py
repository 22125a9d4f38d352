"""Carries out `nfrun plugins`: lists the kinds of node that installed packages have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nfrun.cli.exit_codes import EXIT_OK, EXIT_USAGE, print_json
from nfrun.core.text import on_one_line
from nfrun.session.option_fields import Options, command_options, flag

if TYPE_CHECKING:
    from nfrun.core.static_half import StaticHalf
    from nfrun.system.std_streams import Messages


@command_options
class PluginsOptions(Options):
    """The options of `nfrun plugins`."""

    json: bool = flag("--json", help="One JSON document, with the static half of each kind.")


def plugins(options: PluginsOptions, messages: Messages) -> int:
    """List the kinds of plug-ins with their version, package and description. Returns 2 if one is not usable."""
    from nfrun.nodes.plugins import PluginError, installed_kinds, read_kind

    rows: list[tuple[str, str, str, str]] = []
    found: list[dict[str, Any]] = []
    code = EXIT_OK
    for name, entries in installed_kinds().items():
        try:
            half = read_kind(name, entries)
        except PluginError as error:
            code = EXIT_USAGE
            found.append({"name": name, "error": str(error), "hint": error.hint})
            if not options.json:
                messages(f"{error} ({error.hint})" if error.hint else str(error))
            continue
        found.append(_as_written(half))
        rows.append((half.name, half.version, half.package, half.description))
    if options.json:
        print_json({"kinds": found})
        return code
    if not found:
        messages("no installed package has kinds of node; docs/plugins.md says how to write one")
    widths = [max((len(row[i]) for row in rows), default=0) for i in range(3)]
    for row in rows:
        head = "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=False))
        print(on_one_line(f"{head}  {row[3]}").rstrip())
    return code


def _as_written(half: StaticHalf) -> dict[str, Any]:
    """Return a static half by the keys that its file has, with the name of the kind and its package."""
    inputs = {"min": half.least, "max": half.most, "types": [*half.forms]}
    return {
        **{"name": half.name, "package": half.package, "version": half.version, "revision": half.revision},
        **{"description": half.description, "with": dict(half.values), "inputs": inputs, "outputs": dict(half.outputs)},
        **{"map": half.maps, "executor": [*half.executors], "effects": half.effects, "external": half.external},
        "env": [*half.env],
    }
