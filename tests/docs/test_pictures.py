"""The pictures of the README and the tutorial are small, load nothing, and are made from what a terminal was sent."""

from __future__ import annotations

import re
import runpy

import pytest

from tests.docs.pages import ROOT

PICTURES = ROOT / "docs" / "pictures"


@pytest.mark.parametrize("name", ["live.svg", "report.png", "report-dark.png"])
def test_a_picture_is_small(name: str) -> None:
    assert 5_000 < (PICTURES / name).stat().st_size <= 150_000


def test_the_live_view_loads_nothing() -> None:
    svg = (PICTURES / "live.svg").read_text(encoding="utf-8")
    assert not re.search(r"(href|src)=|url\((?!#)|@import|@font-face", svg)
    assert re.search(r"running", svg)


def test_frames_are_lines_that_stay_and_the_view_below_them() -> None:
    make_pictures = runpy.run_path(str(ROOT / "docs" / "make_pictures.py"))
    sent = (
        "\x1b[?25l\nx 0/2 nodes\r\x1b[1A\r\x1b[J+ a 1/3 rows\n\nx 1/2 nodes\nb 1/3 rows\r\x1b[2A\r\x1b[J\x1b[?25h+ b\n"
    )
    first, second = make_pictures["frames"](sent)
    assert (first.lines, first.view, first.is_under_way) == ("", "x 0/2 nodes", False)
    assert (second.lines, second.view, second.is_under_way) == ("+ a 1/3 rows\n", "x 1/2 nodes\nb 1/3 rows", True)
