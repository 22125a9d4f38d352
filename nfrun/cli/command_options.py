"""Declares the options of `nfrun clean`, `nfrun plugins`, `nfrun schema` and `nfrun bench`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from nfrun.session.option_fields import (
    Options,
    cache_size_option,
    color_option,
    command_options,
    declare,
    flag,
    json_option,
    params_option,
    parse_number,
    parse_slots,
    pipeline_option,
    refuse_idle,
    slots_option,
    work_option,
)


@command_options
class CleanOptions(Options):
    """The options of `nfrun clean`."""

    pipeline: Path | None = pipeline_option(
        help="The pipeline file whose work folder is meant. Left out: .nfrun in the working directory."
    )
    work: Path | None = work_option()
    cache_size: int | None = cache_size_option()
    all: bool = flag("--all", help="Remove all runs, or those of PIPELINE, with tables of 'cache: true' nodes too.")
    dry_run: bool = flag("--dry-run", help="Only list what would be removed.")

    def __post_init__(self) -> None:
        Options.__post_init__(self)
        refuse_idle(("--cache-size", self.all and self.cache_size is not None, "--all removes all tables"))


@command_options
class PluginsOptions(Options):
    """The options of `nfrun plugins`."""

    json: bool = flag("--json", help="One JSON document, with the static half of each kind.")


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


@command_options
class BenchOptions(Options):
    """The options of `nfrun bench`.

    If `pipeline` is None, the two bundled pipelines are compared. `slots` is how many nodes run at once; None means as
    `nfrun run` has it, or for the bundled pipelines the number of nodes, because their nodes only wait.
    """

    pipeline: Path | None = pipeline_option(
        help="The pipeline file. Left out: two that come with nfrun, of 5 and of 20 nodes."
    )
    given: Mapping[str, str] = params_option()
    slots: int | None = slots_option(
        parse=lambda slots: None if slots == "auto" else parse_slots(slots),
        help="How many nodes run at once. auto: as `nfrun run` has it; all nodes of the two that come with nfrun.",
    )
    repeat: int = declare(
        "--repeat",
        default="3",
        parse=partial(parse_number, most=1_000),
        wrong="not a number from 1 to 1,000",
        metavar="N",
        help="How often each variant is run.",
    )
    json: bool = json_option()
    yes: bool = flag("-y", "--yes", help="Do not ask before a pipeline that writes or runs scripts.")
    color: str = color_option()
