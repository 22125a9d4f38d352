"""Declares the options of `nfrun schema`."""

from __future__ import annotations

from nfrun.session.option_fields import Options, command_options, declare


@command_options
class SchemaOptions(Options):
    """The options of `nfrun schema`."""

    what: str = declare(
        default="pipeline",
        choices=("pipeline", "kind", "plan", "run", "show", "validate"),
        metavar="WHAT",
        help="pipeline: a pipeline file, the default; kind: the static half of a plug-in; plan, run, show, validate: "
        "what these commands print with --json.",
    )
