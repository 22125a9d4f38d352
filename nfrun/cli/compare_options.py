"""Declares the options of `nfrun bench`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from nfrun.cli.option_values import parse_number, parse_slots
from nfrun.cli.options import Options, _color, _flag, _json, _option, _options, _params, _pipeline, _slots


@_options
class BenchOptions(Options):
    """The options of `nfrun bench`.

    If `pipeline` is None, the two bundled pipelines are compared. `slots` is how many nodes run at once; None means as
    `nfrun run` has it, or for the bundled pipelines the number of nodes, because their nodes only wait.
    """

    pipeline: Path | None = _pipeline(
        help="The pipeline file. Left out: two that come with nfrun, of 5 and of 20 nodes."
    )
    given: Mapping[str, str] = _params()
    slots: int | None = _slots(
        parse=lambda slots: None if slots == "auto" else parse_slots(slots),
        help="How many nodes run at once. auto: as `nfrun run` has it; all nodes of the two that come with nfrun.",
    )
    repeat: int = _option(
        "--repeat",
        default="3",
        parse=partial(parse_number, most=1_000),
        wrong="not a number from 1 to 1,000",
        metavar="N",
        help="How often each variant is run.",
    )
    json: bool = _json()
    yes: bool = _flag("-y", "--yes", help="Do not ask before a pipeline that writes or runs scripts.")
    color: str = _color()
