"""Declares the options of `nfrun bench`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from nfrun.session.option_fields import (
    Options,
    color_option,
    command_options,
    declare,
    flag,
    json_option,
    params_option,
    pipeline_option,
    slots_option,
)
from nfrun.session.option_values import parse_number, parse_slots


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
