"""Declares the options of `nfrun schema`."""

from __future__ import annotations

from nfrun.running.option_fields import Options, command_options, declare


@command_options
class SchemaOptions(Options):
    """The options of `nfrun schema`."""

    what: str = declare(
        default="pipeline",
        choices=("pipeline", "kind", "plan", "run", "show", "validate"),
        help="Of what: pipeline files; static halves of plug-ins (kind); what plan, run, … print with --json.",
    )
