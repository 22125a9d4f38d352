"""Declares the options of `nfrun clean`."""

from __future__ import annotations

from pathlib import Path

from nfrun.session.option_fields import (
    Options,
    cache_size_option,
    command_options,
    flag,
    pipeline_option,
    refuse_idle,
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
