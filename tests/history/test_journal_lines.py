"""Tests of what the journal says of outputs."""

from __future__ import annotations

from pathlib import Path

from nfrun.core.events import OutputRef
from nfrun.core.pipeline import OutputId
from nfrun.history.cache.journal_writer import finished_output


def test_an_output_in_a_shared_place_has_its_address_and_its_checksum_and_no_file() -> None:
    ref = OutputRef(OutputId("a"), 1, 2, "n: int64", stored="s3://b/data/x.arrow", checksum="c", size=3)
    found = finished_output(ref, Path("/r"), ["a"])
    assert (found.file, found.stored, found.checksum, found.size) == (None, "s3://b/data/x.arrow", "c", 3)


def test_an_output_that_is_also_in_the_folder_of_the_run_is_taken_from_there() -> None:
    ref = OutputRef(OutputId("a"), 1, 2, "n: int64", "/r/a.1.arrow", stored="s3://b/data/x.arrow", checksum="c")
    found = finished_output(ref, Path("/r"), ())
    assert (found.file, found.stored) == ("a.1.arrow", "")
